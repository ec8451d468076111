"""CLIP as the variables of Scenic's flax model, an .npz file with one entry per parameter, vision transformers and
ResNets.

Scenic hides padding (id 0) from the text tower, other implementations do not; it matters only for a text that holds
the character "!", whose id is 0.

Reference: https://github.com/google-research/scenic, projects/baselines/clip.
"""

from checkpoints_conv.heads import flax_attention_rules, flax_rules
from checkpoints_conv.rules import Rule, Table

NAME = "scenic_clip"
MARKERS = ("params/visual/conv1/kernel", "params/text/token_embedding/embedding")
SUFFIX = ".npz"

_AFFINE = ("kernel", "bias")
_NORM = ("scale", "bias")


def _block_rules(source: str, target: str, heads: int | None) -> Table:
    layer, blocks = f"{source}/transformer/resblocks.{{i}}", f"{target}/blocks"
    return (
        *flax_rules(f"{layer}/ln_1", f"{blocks}/norm1", *_NORM),
        *flax_attention_rules(f"{layer}/attn", f"{blocks}/attention", heads),
        *flax_rules(f"{layer}/ln_2", f"{blocks}/norm2", *_NORM),
        *flax_rules(f"{layer}/mlp/c_fc", f"{blocks}/mlp/up", *_AFFINE),
        *flax_rules(f"{layer}/mlp/c_proj", f"{blocks}/mlp/down", *_AFFINE),
    )


def _convolution_rules(convolution: str, norm: str, target: str) -> Table:
    return (
        Rule(f"params/visual/{convolution}/kernel", (f"image/{target}/kernel",)),
        *flax_rules(f"params/visual/{norm}", f"image/{target}", *_NORM),
        Rule(f"batch_stats/visual/{norm}/mean", (f"image/{target}/mean",)),
        Rule(f"batch_stats/visual/{norm}/var", (f"image/{target}/variance",)),
    )


def _resnet_rules(heads: int | None) -> Table:
    rows = [row for n in (1, 2, 3) for row in _convolution_rules(f"conv{n}", f"bn{n}", f"stem{n}")]
    for number in (1, 2, 3, 4):
        for index, target in (("0", "first"), ("{i+1}", "rest")):
            source, stage = f"layer{number}/{index}", f"stage{number}/{target}"
            for n in (1, 2, 3):
                rows += _convolution_rules(f"{source}/conv{n}", f"{source}/bn{n}", f"{stage}/conv{n}")
        shortcut = f"layer{number}/0/downsample"
        rows += _convolution_rules(f"{shortcut}/0", f"{shortcut}/1", f"stage{number}/first/shortcut")
    rows.append(Rule("params/visual/attnpool/positional_embedding", ("image/position",)))
    return (*rows, *flax_attention_rules("params/visual/attnpool/attn", "image/pool", heads))


def make_table(*, image: int | None = None, pool: int | None = None, text: int | None = None) -> Table:
    """Return the rows of the format.

    Args:
        image: attention heads of the image blocks; None reads any number and cannot write.
        pool: attention heads of a ResNet's attention pooling, likewise.
        text: attention heads of the text blocks, likewise.
    """
    return (
        Rule("params/visual/conv1/kernel", ("image/patch_embed/kernel",)),
        Rule("params/visual/class_embedding", ("image/class_token",)),
        # A ResNet's table lies in its attention pooling; a vision transformer is known by its class token.
        Rule("params/visual/positional_embedding", ("image/position",), unless="image/stem1/kernel"),
        *flax_rules("params/visual/ln_pre", "image/pre_norm", *_NORM),
        *_block_rules("params/visual", "image", image),
        *flax_rules("params/visual/ln_post", "image/norm", *_NORM),
        *flax_rules("params/visual/proj", "image/head", "kernel"),
        *_resnet_rules(pool),
        *flax_rules("params/text/token_embedding", "text/token_embed", "embedding"),
        Rule("params/text/positional_embedding", ("text/position",)),
        *_block_rules("params/text", "text", text),
        *flax_rules("params/text/ln_final", "text/norm", *_NORM),
        *flax_rules("params/text/text_projection", "text/head", "kernel"),
        Rule("params/logit_scale", ("logit_scale",), "scalar"),
    )


TABLE = make_table()
