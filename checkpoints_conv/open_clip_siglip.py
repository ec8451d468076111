"""SigLIP in the open_clip layout, with a timm image tower (`visual.trunk`).

Reference: open_clip `CustomTextCLIP` with `TimmModel`, timm `AttentionPoolLatent`.
"""

from checkpoints_conv.clip_text import clip_text_rules
from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules

NAME = "open_clip_siglip"
MARKERS = ("visual.trunk.attn_pool.latent", "visual.trunk.patch_embed.proj.weight", "text.token_embedding.weight")

_SOURCE = "visual.trunk.blocks.{i}"
_TARGET = "image/blocks"
_POOL = "visual.trunk.attn_pool"

TABLE: Table = (
    Rule("visual.trunk.patch_embed.proj.weight", ("image/patch_embed/kernel",), "conv"),
    Rule("visual.trunk.patch_embed.proj.bias", ("image/patch_embed/bias",)),
    Rule("visual.trunk.pos_embed", ("image/position",), "squeeze_lead"),
    *norm_rules(f"{_SOURCE}.norm1", f"{_TARGET}/norm1"),
    Rule(f"{_SOURCE}.attn.qkv.weight", tuple(f"{_TARGET}/attention/{name}/kernel" for name in "qkv"), "split_linear"),
    Rule(f"{_SOURCE}.attn.qkv.bias", tuple(f"{_TARGET}/attention/{name}/bias" for name in "qkv"), "split_vector"),
    *linear_rules(f"{_SOURCE}.attn.proj", f"{_TARGET}/attention/out"),
    *norm_rules(f"{_SOURCE}.norm2", f"{_TARGET}/norm2"),
    *linear_rules(f"{_SOURCE}.mlp.fc1", f"{_TARGET}/mlp/up"),
    *linear_rules(f"{_SOURCE}.mlp.fc2", f"{_TARGET}/mlp/down"),
    *norm_rules("visual.trunk.norm", "image/norm"),
    Rule(f"{_POOL}.latent", ("image/pooler/probe",), "squeeze_lead"),
    *linear_rules(f"{_POOL}.q", "image/pooler/attention/q"),
    Rule(f"{_POOL}.kv.weight", tuple(f"image/pooler/attention/{name}/kernel" for name in "kv"), "split_linear"),
    Rule(f"{_POOL}.kv.bias", tuple(f"image/pooler/attention/{name}/bias" for name in "kv"), "split_vector"),
    *linear_rules(f"{_POOL}.proj", "image/pooler/attention/out"),
    *norm_rules(f"{_POOL}.norm", "image/pooler/norm"),
    *linear_rules(f"{_POOL}.mlp.fc1", "image/pooler/mlp/up"),
    *linear_rules(f"{_POOL}.mlp.fc2", "image/pooler/mlp/down"),
    *clip_text_rules("text.", linear_head=True),
    Rule("logit_scale", ("logit_scale",), "scalar"),
    Rule("logit_bias", ("logit_bias",), "scalar"),
)
