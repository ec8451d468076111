"""What every image tower offers."""

import abc
from collections.abc import Collection, Sequence
from typing import ClassVar

from flax import nnx
from jaxtyping import Float

from lrjax.models.adapter import Adapter
from lrjax.types import Array


class Tower(nnx.Module, abc.ABC):
    """An image tower.

    Attributes:
        taps: names of what is computed on the way and given when asked for.
    """

    taps: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def __call__(
        self,
        images: Float[Array, "B size size 3"],
        *,
        adapters: Sequence[Adapter] = (),
        taps: Collection[str] = (),
        remat: str = "none",
    ) -> dict[str, Array]:
        """Encodes normalised images.

        Args:
            images: normalised; their dtype is the compute dtype.
            adapters: what is changed on the way.
            taps: which of `taps` are given too.
            remat: what the backward pass recomputes, see `layers.run_blocks`.

        Returns:
            "embedding" [B, E], not L2-normalised, and the taps.
        """
