"""CLIP with the text tower under `text.`, as open_clip saves a `CustomTextCLIP` whose image tower is its own."""

from checkpoints_conv.clip_image import clip_resnet_rules, clip_vit_rules
from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.rules import Drop, Rule, Table

NAME = "open_clip_custom"
MARKERS = ("visual.conv1.weight", "text.token_embedding.weight", "text.text_projection")

TABLE: Table = (
    *clip_vit_rules(),
    *clip_resnet_rules(),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
    Drop("text.attn_mask", "the causal mask is computed"),
)
