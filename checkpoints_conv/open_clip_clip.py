"""CLIP with the text tower at the root: OpenAI's files, and OpenCLIP, MetaCLIP and CLIPA in the open_clip layout.

Reference: https://github.com/openai/CLIP, clip/model.py, and open_clip `CLIP`.
"""

from checkpoints_conv.clip_image import clip_resnet_rules, clip_vit_rules
from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.rules import Drop, Rule, Table

NAME = "open_clip_clip"
MARKERS = ("visual.conv1.weight", "token_embedding.weight", "text_projection")

TABLE: Table = (
    *clip_vit_rules(),
    *clip_resnet_rules(),
    *clip_text_rules(""),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
    *(
        Drop(name, "a size that the model states itself")
        for name in ("input_resolution", "context_length", "vocab_size")
    ),
    Drop("attn_mask", "the causal mask is computed"),
)
