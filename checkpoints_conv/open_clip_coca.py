"""CoCa in the open_clip layout; the captioning decoder is left out.

Reference: open_clip `CoCa` with `AttentionalPooler`.
"""

from checkpoints_conv.clip_image import clip_vit_rules
from checkpoints_conv.clip_text import LOGIT_BIAS, clip_text_rules
from checkpoints_conv.rules import Drop, Rule, Table, linear_rules, norm_rules

NAME = "open_clip_coca"
MARKERS = (
    "visual.conv1.weight",
    "visual.attn_pool.query",
    "text.cls_emb",
    "text.token_embedding.weight",
    "text.text_projection",
)

_SOURCE = "visual.attn_pool"
_TARGET = "image/pooler"
_ATTENTION = f"{_TARGET}/attention"

TABLE: Table = (
    *clip_vit_rules(),
    Rule(f"{_SOURCE}.query", (f"{_TARGET}/queries",)),
    *norm_rules(f"{_SOURCE}.ln_q", f"{_TARGET}/norm_queries"),
    *norm_rules(f"{_SOURCE}.ln_k", f"{_TARGET}/norm_rows"),
    # The queries and the rows differ in width, so the weights stand apart; the biases are of one size and joined.
    *(Rule(f"{_SOURCE}.attn.{name}_proj_weight", (f"{_ATTENTION}/{name}/kernel",), "linear") for name in "qkv"),
    Rule(f"{_SOURCE}.attn.in_proj_bias", tuple(f"{_ATTENTION}/{name}/bias" for name in "qkv"), "split_vector"),
    *linear_rules(f"{_SOURCE}.attn.out_proj", f"{_ATTENTION}/out"),
    Rule("text.cls_emb", ("text/class_token",)),
    *clip_text_rules("text."),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    LOGIT_BIAS,
    Drop("text_decoder.*", "the captioning decoder, which zero-shot classification does not use"),
    Drop("text.attn_mask", "the causal mask is computed"),
)
