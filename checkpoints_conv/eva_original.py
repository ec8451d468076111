"""EVA-CLIP as its authors publish it: EVA01 g/14, EVA02 B/16, L/14 and E/14, EVA-CLIP 8B and 18B.

Reference: https://github.com/baaivision/EVA, EVA-CLIP/rei/eva_clip/eva_vit_model.py and EVA-CLIP-18B/shinji/eva_clip.
"""

from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.eva_image import ATTENTION, GATE, MLP, eva_image_rules
from checkpoints_conv.rules import Drop, Rule, Table, linear_rules, norm_rules

NAME = "eva_original"
MARKERS = ("visual.cls_token", "visual.patch_embed.proj.weight", "text.token_embedding.weight")
POSITIONS = "bicubic"

_BLOCK = "visual.blocks.{i}"
_ROPE = "the rotary table is computed from the grid"

TABLE: Table = (
    *eva_image_rules("visual"),
    *(Rule(f"{_BLOCK}.attn.{name}_proj.weight", (f"{ATTENTION}/{name}/kernel",), "linear") for name in "qkv"),
    *(Rule(f"{_BLOCK}.attn.{name}_bias", (f"{ATTENTION}/{name}/bias",)) for name in "qv"),
    *norm_rules(f"{_BLOCK}.attn.inner_attn_ln", f"{ATTENTION}/norm"),
    *linear_rules(f"{_BLOCK}.mlp.w1", f"{MLP}/gate"),
    *linear_rules(f"{_BLOCK}.mlp.fc2", f"{MLP}/down", unless=GATE),
    *linear_rules(f"{_BLOCK}.mlp.w2", f"{MLP}/up"),
    *norm_rules(f"{_BLOCK}.mlp.ffn_ln", f"{MLP}/norm"),
    *linear_rules(f"{_BLOCK}.mlp.w3", f"{MLP}/down"),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
    Rule("text.logit_scale", ("logit_scale",), "scalar"),  # older EVA01 files
    *(Drop(f"visual.rope.{name}", _ROPE) for name in ("freqs_cos", "freqs_sin")),
    *(Drop(f"{_BLOCK}.attn.rope.{name}", _ROPE) for name in ("freqs_cos", "freqs_sin")),
)
