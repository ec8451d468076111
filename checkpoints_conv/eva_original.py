"""EVA-CLIP as its authors publish it: EVA01 g/14, EVA02 B/16, L/14 and E/14, EVA-CLIP 8B and 18B.

Reference: https://github.com/baaivision/EVA, EVA-CLIP/rei/eva_clip/eva_vit_model.py and EVA-CLIP-18B/shinji/eva_clip.
"""

from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.rules import Drop, Rule, Table, linear_rules, norm_rules

NAME = "eva_original"
MARKERS = ("visual.cls_token", "visual.patch_embed.proj.weight", "text.token_embedding.weight")
POSITIONS = "bicubic"

_SOURCE = "visual.blocks.{i}"
_TARGET = "image/blocks"
_ATTENTION = f"{_TARGET}/attention"
# EVA02 B and L have a norm inside the attention, keep q, k and v apart and gate the MLP; the others do none of it.
_INNER_NORM = f"{_ATTENTION}/norm/scale"
_GATE = f"{_TARGET}/mlp/gate/kernel"
_ROPE = "the rotary table is computed from the grid"

TABLE: Table = (
    Rule("visual.cls_token", ("image/class_token",), "squeeze_lead"),
    Rule("visual.pos_embed", ("image/position",), "squeeze_lead"),
    Rule("visual.patch_embed.proj.weight", ("image/patch_embed/kernel",), "conv"),
    Rule("visual.patch_embed.proj.bias", ("image/patch_embed/bias",)),
    *norm_rules(f"{_SOURCE}.norm1", f"{_TARGET}/norm1"),
    Rule(
        f"{_SOURCE}.attn.qkv.weight",
        tuple(f"{_ATTENTION}/{name}/kernel" for name in "qkv"),
        "split_linear",
        unless=_INNER_NORM,
    ),
    *(Rule(f"{_SOURCE}.attn.{name}_proj.weight", (f"{_ATTENTION}/{name}/kernel",), "linear") for name in "qkv"),
    *(Rule(f"{_SOURCE}.attn.{name}_bias", (f"{_ATTENTION}/{name}/bias",)) for name in "qv"),
    *norm_rules(f"{_SOURCE}.attn.inner_attn_ln", f"{_ATTENTION}/norm"),
    *linear_rules(f"{_SOURCE}.attn.proj", f"{_ATTENTION}/out"),
    *norm_rules(f"{_SOURCE}.norm2", f"{_TARGET}/norm2"),
    *linear_rules(f"{_SOURCE}.mlp.w1", f"{_TARGET}/mlp/gate"),
    *linear_rules(f"{_SOURCE}.mlp.fc1", f"{_TARGET}/mlp/up", unless=_GATE),
    *linear_rules(f"{_SOURCE}.mlp.fc2", f"{_TARGET}/mlp/down", unless=_GATE),
    *linear_rules(f"{_SOURCE}.mlp.w2", f"{_TARGET}/mlp/up"),
    *norm_rules(f"{_SOURCE}.mlp.ffn_ln", f"{_TARGET}/mlp/norm"),
    *linear_rules(f"{_SOURCE}.mlp.w3", f"{_TARGET}/mlp/down"),
    *norm_rules("visual.norm", "image/norm"),
    *linear_rules("visual.head", "image/head"),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
    Rule("text.logit_scale", ("logit_scale",), "scalar"),  # older EVA01 files
    *(Drop(f"visual.rope.{name}", _ROPE) for name in ("freqs_cos", "freqs_sin")),
    *(Drop(f"{_SOURCE}.attn.rope.{name}", _ROPE) for name in ("freqs_cos", "freqs_sin")),
)
