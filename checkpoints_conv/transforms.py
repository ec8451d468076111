"""Changes of layout between the tensors of a checkpoint and the leaves of the canonical tree."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Transform(NamedTuple):
    """A change of layout: `split` makes leaves of a source tensor, `join` undoes it, `shapes` lists allowed sources."""

    split: Callable[[np.ndarray, int], Sequence[np.ndarray]]
    join: Callable[[Sequence[np.ndarray]], np.ndarray]
    shapes: Callable[[Sequence[Shape]], tuple[Shape, ...]]


TRANSFORMS: dict[str, Transform] = {
    "identity": Transform(lambda x, _: [x], lambda xs: xs[0], lambda shapes: (shapes[0],)),
    # torch Linear (out, in) <-> kernel (in, out)
    "linear": Transform(lambda x, _: [x.T], lambda xs: xs[0].T, lambda shapes: (shapes[0][::-1],)),
    # fused torch Linear, rows q, k, v <-> kernels of equal size
    "split_linear": Transform(
        lambda x, parts: [part.T for part in np.split(x, parts)],
        lambda xs: np.concatenate([x.T for x in xs]),
        lambda shapes: ((sum(out for _, out in shapes), shapes[0][0]),),
    ),
    "split_vector": Transform(
        lambda x, parts: np.split(x, parts), np.concatenate, lambda shapes: ((sum(size for (size,) in shapes),),)
    ),
    # torch Conv2d (out, in, height, width) <-> kernel (height, width, in, out)
    "conv": Transform(
        lambda x, _: [x.transpose(2, 3, 1, 0)],
        lambda xs: xs[0].transpose(3, 2, 0, 1),
        lambda shapes: ((shapes[0][3], shapes[0][2], *shapes[0][:2]),),
    ),
    # (1, 1, D) <-> (D) and (1, N, D) <-> (N, D)
    "squeeze_lead": Transform(
        lambda x, _: [x],
        lambda xs: xs[0].reshape((1,) * (3 - xs[0].ndim) + xs[0].shape),
        lambda shapes: ((1,) * (3 - len(shapes[0])) + shapes[0],),
    ),
    # () or (1,) <-> (); () is written
    "scalar": Transform(lambda x, _: [x], lambda xs: xs[0], lambda shapes: (shapes[0], (1,))),
    # () or (1,) <-> (); (1,) is written
    "one_element": Transform(lambda x, _: [x], lambda xs: xs[0].reshape(1), lambda shapes: ((1,), shapes[0])),
}
