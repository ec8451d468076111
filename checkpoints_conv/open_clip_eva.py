"""EVA-CLIP in the open_clip layout with a timm image tower (`visual.trunk`), as published on the Hugging Face hub.

Reference: open_clip `CustomTextCLIP` with `TimmModel`, timm `timm/models/eva.py`.
"""

from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules

NAME = "open_clip_eva"
MARKERS = ("visual.trunk.cls_token", "visual.trunk.patch_embed.proj.bias", "text.token_embedding.weight")

_SOURCE = "visual.trunk.blocks.{i}"
_TARGET = "image/blocks"
_ATTENTION = f"{_TARGET}/attention"
# EVA02 B and L have a norm inside the attention, keep q, k and v apart and gate the MLP; the others do none of it.
_INNER_NORM = f"{_ATTENTION}/norm/scale"
_GATE = f"{_TARGET}/mlp/gate/kernel"

TABLE: Table = (
    Rule("visual.trunk.cls_token", ("image/class_token",), "squeeze_lead"),
    Rule("visual.trunk.pos_embed", ("image/position",), "squeeze_lead"),
    Rule("visual.trunk.patch_embed.proj.weight", ("image/patch_embed/kernel",), "conv"),
    Rule("visual.trunk.patch_embed.proj.bias", ("image/patch_embed/bias",)),
    *norm_rules(f"{_SOURCE}.norm1", f"{_TARGET}/norm1"),
    Rule(
        f"{_SOURCE}.attn.qkv.weight",
        tuple(f"{_ATTENTION}/{name}/kernel" for name in "qkv"),
        "split_linear",
        unless=_INNER_NORM,
    ),
    *(Rule(f"{_SOURCE}.attn.{name}_bias", (f"{_ATTENTION}/{name}/bias",), unless=_INNER_NORM) for name in "qv"),
    *(row for name in "qkv" for row in linear_rules(f"{_SOURCE}.attn.{name}_proj", f"{_ATTENTION}/{name}")),
    *norm_rules(f"{_SOURCE}.attn.norm", f"{_ATTENTION}/norm"),
    *linear_rules(f"{_SOURCE}.attn.proj", f"{_ATTENTION}/out"),
    *norm_rules(f"{_SOURCE}.norm2", f"{_TARGET}/norm2"),
    *linear_rules(f"{_SOURCE}.mlp.fc1", f"{_TARGET}/mlp/up", unless=_GATE),
    *linear_rules(f"{_SOURCE}.mlp.fc1_g", f"{_TARGET}/mlp/gate"),
    *linear_rules(f"{_SOURCE}.mlp.fc1_x", f"{_TARGET}/mlp/up"),
    *norm_rules(f"{_SOURCE}.mlp.norm", f"{_TARGET}/mlp/norm"),
    *linear_rules(f"{_SOURCE}.mlp.fc2", f"{_TARGET}/mlp/down"),
    *norm_rules("visual.trunk.norm", "image/norm"),
    *linear_rules("visual.trunk.head", "image/head"),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
)
