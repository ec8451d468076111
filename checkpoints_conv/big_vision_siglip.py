"""SigLIP as its authors publish it: the .npz files of big_vision, one entry per parameter and block.

The weights were trained with the tanh approximation of GELU; open_clip and the rows of the zoo use the exact one.

Reference: https://github.com/google-research/big_vision, models/vit.py and models/proj/image_text.
"""

from checkpoints_conv.heads import flax_attention_rules, flax_rules
from checkpoints_conv.rules import Rule, Table

NAME = "big_vision_siglip"
MARKERS = ("params/img/Transformer/encoderblock_0/LayerNorm_0/scale", "params/img/MAPHead_0/probe")
POSITIONS = "linear_corners"
SUFFIX = ".npz"

_AFFINE = ("kernel", "bias")
_NORM = ("scale", "bias")


def _mlp_rules(source: str, target: str) -> Table:
    return (
        *flax_rules(f"{source}/Dense_0", f"{target}/up", *_AFFINE),
        *flax_rules(f"{source}/Dense_1", f"{target}/down", *_AFFINE),
    )


def _encoder_rules(source: str, block: str, target: str, heads: int | None) -> Table:
    layer, blocks = f"{source}/{block}", f"{target}/blocks"
    return (
        *flax_rules(f"{layer}/LayerNorm_0", f"{blocks}/norm1", *_NORM),
        *flax_attention_rules(f"{layer}/MultiHeadDotProductAttention_0", f"{blocks}/attention", heads),
        *flax_rules(f"{layer}/LayerNorm_1", f"{blocks}/norm2", *_NORM),
        *_mlp_rules(f"{layer}/MlpBlock_0", f"{blocks}/mlp"),
        *flax_rules(f"{source}/encoder_norm", f"{target}/norm", *_NORM),
    )


def make_table(
    *, image: int | None = None, pool: int | None = None, text: int | None = None, block: str = "encoderblock_{i}"
) -> Table:
    """Return the rows of the format.

    Args:
        image: attention heads of the image blocks; None reads any number and cannot write.
        pool: attention heads of the MAP head, likewise.
        text: attention heads of the text blocks, likewise.
        block: name of a block; without `{i}` each entry holds all blocks on a leading axis.
    """
    head, pooler = "params/img/MAPHead_0", "image/pooler"
    return (
        *flax_rules("params/img/embedding", "image/patch_embed", *_AFFINE),
        Rule("params/img/pos_embedding", ("image/position",), "squeeze_lead"),
        *_encoder_rules("params/img/Transformer", block, "image", image),
        Rule(f"{head}/probe", (f"{pooler}/probe",), "squeeze_lead"),
        *flax_attention_rules(f"{head}/MultiHeadDotProductAttention_0", f"{pooler}/attention", pool),
        *flax_rules(f"{head}/LayerNorm_0", f"{pooler}/norm", *_NORM),
        *_mlp_rules(f"{head}/MlpBlock_0", f"{pooler}/mlp"),
        *flax_rules("params/txt/Embed_0", "text/token_embed", "embedding"),
        Rule("params/txt/pos_embedding", ("text/position",), "squeeze_lead"),
        *_encoder_rules("params/txt/Encoder_0", block, "text", text),
        *flax_rules("params/txt/head", "text/head", *_AFFINE),
        Rule("params/t", ("logit_scale",), "one_element"),
        Rule("params/b", ("logit_bias",), "one_element"),
    )


TABLE = make_table()
