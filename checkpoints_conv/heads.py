"""Flax attention layers, whose kernels keep the heads on an axis of their own."""

from collections.abc import Sequence

import numpy as np

from checkpoints_conv.rules import Rule, Shape, Table, Transform
from lrjax.errors import UserError

_PROJECTIONS = {"query": "q", "key": "k", "value": "v"}


def split_heads(axis: int, heads: int | None) -> Transform:
    """Return the transform between a source with axes [..., A, width / A, ...] and a leaf with [..., width, ...].

    Args:
        axis: negative axis of the leaf that the source has in two parts.
        heads: number of heads A; None reads any number and cannot write.
    """

    def shape(leaf: Shape, count: int) -> Shape:
        at = len(leaf) + axis
        return (*leaf[:at], count, leaf[at] // count, *leaf[at + 1 :])

    def join(leaves: Sequence[np.ndarray]) -> np.ndarray:
        if heads is None:
            raise UserError("this format keeps attention heads apart; name the model, which says how many there are")
        return leaves[0].reshape(shape(leaves[0].shape, heads))

    def shapes(leaves: Sequence[Shape]) -> tuple[Shape, ...]:
        width = leaves[0][axis]
        counts = range(1, width + 1) if heads is None else (heads,)
        return tuple(shape(leaves[0], count) for count in counts if width % count == 0)

    return Transform(lambda source, _: [source], join, shapes)


def flax_attention_rules(source: str, target: str, heads: int | None) -> Table:
    """Return the rows of a flax `MultiHeadDotProductAttention`.

    Args:
        source: its path in the flax tree.
        target: path of the canonical attention.
        heads: number of heads; None reads any number.
    """
    last = split_heads(-1, heads)
    return (
        *(
            Rule(f"{source}/{name}/{leaf}", (f"{target}/{projection}/{leaf}",), last)
            for name, projection in _PROJECTIONS.items()
            for leaf in ("kernel", "bias")
        ),
        Rule(f"{source}/out/kernel", (f"{target}/out/kernel",), split_heads(-2, heads)),
        Rule(f"{source}/out/bias", (f"{target}/out/bias",)),
    )


def flax_rules(source: str, target: str, *names: str) -> Table:
    """Return rows that copy the named leaves of a flax layer, whose kernels are (in, out) like the canonical ones."""
    return tuple(Rule(f"{source}/{name}", (f"{target}/{name}",)) for name in names)
