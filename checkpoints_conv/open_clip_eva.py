"""EVA-CLIP in the open_clip layout with a timm image tower (`visual.trunk`), as published on the Hugging Face hub.

Reference: open_clip `CustomTextCLIP` with `TimmModel`, timm `timm/models/eva.py`.
"""

from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.eva_image import ATTENTION, INNER_NORM, MLP, eva_image_rules
from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules

NAME = "open_clip_eva"
MARKERS = ("visual.trunk.cls_token", "visual.trunk.patch_embed.proj.bias", "text.token_embedding.weight")

_BLOCK = "visual.trunk.blocks.{i}"

TABLE: Table = (
    *eva_image_rules("visual.trunk"),
    *(Rule(f"{_BLOCK}.attn.{name}_bias", (f"{ATTENTION}/{name}/bias",), unless=INNER_NORM) for name in "qv"),
    *(row for name in "qkv" for row in linear_rules(f"{_BLOCK}.attn.{name}_proj", f"{ATTENTION}/{name}")),
    *norm_rules(f"{_BLOCK}.attn.norm", f"{ATTENTION}/norm"),
    *linear_rules(f"{_BLOCK}.mlp.fc1_g", f"{MLP}/gate"),
    *linear_rules(f"{_BLOCK}.mlp.fc1_x", f"{MLP}/up"),
    *norm_rules(f"{_BLOCK}.mlp.norm", f"{MLP}/norm"),
    *linear_rules(f"{_BLOCK}.mlp.fc2", f"{MLP}/down"),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
)
