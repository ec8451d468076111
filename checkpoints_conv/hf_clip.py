"""CLIP as transformers stores it (`CLIPModel`): the files `model.safetensors` and `pytorch_model.bin` of the hub.

The files do not say which GELU their weights were made for; the row of the zoo does.

Reference: transformers `models/clip/modeling_clip.py`.
"""

from checkpoints_conv.clip_text import LOGIT_BIAS
from checkpoints_conv.rules import Drop, Rule, Table, linear_rules, norm_rules

NAME = "hf_clip"
MARKERS = ("vision_model.embeddings.class_embedding", "vision_model.pre_layrnorm.weight", "text_projection.weight")

_COUNTED = "positions are counted from 0"


def hf_tower_rules(source: str, target: str) -> Table:
    """Return the rows that the towers of CLIP and SigLIP share: positions and blocks.

    Args:
        source: "vision_model" or "text_model".
        target: "image" or "text".
    """
    layer, blocks = f"{source}.encoder.layers.{{i}}", f"{target}/blocks"
    return (
        Rule(f"{source}.embeddings.position_embedding.weight", (f"{target}/position",)),
        *norm_rules(f"{layer}.layer_norm1", f"{blocks}/norm1"),
        *(
            row
            for name in ("q", "k", "v", "out")
            for row in linear_rules(f"{layer}.self_attn.{name}_proj", f"{blocks}/attention/{name}")
        ),
        *norm_rules(f"{layer}.layer_norm2", f"{blocks}/norm2"),
        *linear_rules(f"{layer}.mlp.fc1", f"{blocks}/mlp/up"),
        *linear_rules(f"{layer}.mlp.fc2", f"{blocks}/mlp/down"),
        Drop(f"{source}.embeddings.position_ids", _COUNTED),
    )


TABLE: Table = (
    Rule("vision_model.embeddings.class_embedding", ("image/class_token",)),
    Rule("vision_model.embeddings.patch_embedding.weight", ("image/patch_embed/kernel",), "conv"),
    *norm_rules("vision_model.pre_layrnorm", "image/pre_norm"),  # the name is spelt so
    *hf_tower_rules("vision_model", "image"),
    *norm_rules("vision_model.post_layernorm", "image/norm"),
    Rule("visual_projection.weight", ("image/head/kernel",), "linear"),
    Rule("text_model.embeddings.token_embedding.weight", ("text/token_embed/embedding",)),
    *hf_tower_rules("text_model", "text"),
    *norm_rules("text_model.final_layer_norm", "text/norm"),
    Rule("text_projection.weight", ("text/head/kernel",), "linear"),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
)
