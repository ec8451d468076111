"""SigLIP as transformers stores it (`SiglipModel`): the files `model.safetensors` and `pytorch_model.bin` of the hub.

transformers runs these weights with the tanh approximation of GELU; open_clip and the rows of the zoo use the exact
one.

Reference: transformers `models/siglip/modeling_siglip.py`.
"""

from checkpoints_conv.hf_clip import hf_tower_rules
from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules

NAME = "hf_siglip"
MARKERS = ("vision_model.head.probe", "text_model.head.weight", "logit_bias")

_POOLER = "image/pooler"
_HEAD = "vision_model.head"

TABLE: Table = (
    Rule("vision_model.embeddings.patch_embedding.weight", ("image/patch_embed/kernel",), "conv"),
    Rule("vision_model.embeddings.patch_embedding.bias", ("image/patch_embed/bias",)),
    *hf_tower_rules("vision_model", "image"),
    *norm_rules("vision_model.post_layernorm", "image/norm"),
    Rule(f"{_HEAD}.probe", (f"{_POOLER}/probe",), "squeeze_lead"),
    Rule(
        f"{_HEAD}.attention.in_proj_weight",
        tuple(f"{_POOLER}/attention/{name}/kernel" for name in "qkv"),
        "split_linear",
    ),
    Rule(
        f"{_HEAD}.attention.in_proj_bias", tuple(f"{_POOLER}/attention/{name}/bias" for name in "qkv"), "split_vector"
    ),
    *linear_rules(f"{_HEAD}.attention.out_proj", f"{_POOLER}/attention/out"),
    *norm_rules(f"{_HEAD}.layernorm", f"{_POOLER}/norm"),
    *linear_rules(f"{_HEAD}.mlp.fc1", f"{_POOLER}/mlp/up"),
    *linear_rules(f"{_HEAD}.mlp.fc2", f"{_POOLER}/mlp/down"),
    Rule("text_model.embeddings.token_embedding.weight", ("text/token_embed/embedding",)),
    *hf_tower_rules("text_model", "text"),
    *norm_rules("text_model.final_layer_norm", "text/norm"),
    *linear_rules("text_model.head", "text/head"),
    Rule("logit_scale", ("logit_scale",), "one_element"),
    Rule("logit_bias", ("logit_bias",), "one_element"),
)
