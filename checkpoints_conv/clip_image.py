"""Rows of CLIP's image towers, the vision transformer and the modified ResNet.

Reference: https://github.com/openai/CLIP, clip/model.py, and open_clip `VisionTransformer` and `ModifiedResNet`.
"""

from checkpoints_conv.clip_text import clip_block_rules
from checkpoints_conv.rules import Drop, Rule, Table, batch_norm_rules, linear_rules, norm_rules


def clip_vit_rules() -> Table:
    """Return the rows of CLIP's vision transformer, all of whose keys begin with `visual.`."""
    return (
        Rule("visual.conv1.weight", ("image/patch_embed/kernel",), "conv"),
        Rule("visual.class_embedding", ("image/class_token",)),
        Rule("visual.positional_embedding", ("image/position",), unless="image/stem1/kernel"),
        *norm_rules("visual.ln_pre", "image/pre_norm"),
        *clip_block_rules("visual.transformer.resblocks.{i}", "image/blocks"),
        *norm_rules("visual.ln_post", "image/norm"),
        Rule("visual.proj", ("image/head/kernel",)),
    )


def clip_resnet_rules() -> Table:
    """Return the rows of CLIP's modified ResNet, all of whose keys begin with `visual.`."""
    stem = [_convolution(f"visual.conv{n}", f"visual.bn{n}", f"image/stem{n}") for n in (1, 2, 3)]
    stages = [
        _bottleneck(f"visual.layer{stage}.{number}", f"image/stage{stage}/{name}")
        for stage in (1, 2, 3, 4)
        for number, name in (("0", "first"), ("{i+1}", "rest"))
    ]
    pool = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "c_proj": "out"}
    return (
        *(row for rows in (*stem, *stages) for row in rows),
        Rule("visual.attnpool.positional_embedding", ("image/position",)),
        *(row for key, name in pool.items() for row in linear_rules(f"visual.attnpool.{key}", f"image/pool/{name}")),
        Drop("visual.*.num_batches_tracked", "a counter of training steps"),
    )


def _convolution(key: str, norm: str, target: str) -> Table:
    return Rule(f"{key}.weight", (f"{target}/kernel",), "conv"), *batch_norm_rules(norm, target)


def _bottleneck(source: str, target: str) -> Table:
    return (
        *(row for n in (1, 2, 3) for row in _convolution(f"{source}.conv{n}", f"{source}.bn{n}", f"{target}/conv{n}")),
        *_convolution(f"{source}.downsample.0", f"{source}.downsample.1", f"{target}/shortcut"),
    )
