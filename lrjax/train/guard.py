"""What ends a training early: numbers that are no longer sensible, and SIGTERM."""

import functools
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from lrjax.config import Train
from lrjax.errors import UserError
from lrjax.sharding import put_batch, replicated
from lrjax.types import Array

_LOG = logging.getLogger(__name__)

EXPLODED = 10
"""How many times the loss of guessing is called an explosion. The contrastive loss of guessing is ln B per view."""


def loss_bound(config: Train) -> float:
    """Returns the loss above which a training has exploded: `EXPLODED` times that of guessing.

    Args:
        config: the training options; each view counts ln(batch size), with a caption classifier ln(captions) more.
    """
    guessing = math.log(max(config.batch_size, 2)) + math.log(max(config.captions, 1))
    return EXPLODED * (1 + len(config.buckets)) * guessing


def check_numbers(step: int, numbers: Mapping[str, float], *, bound: float, images: Sequence[str], newest: str) -> None:
    """Checks the numbers of a step.

    Args:
        step: counted from 1.
        numbers: "loss" and others, by name.
        bound: of `loss_bound`.
        images: ids of the batch.
        newest: the newest checkpoint in words.

    Raises:
        UserError: one is not finite, or the loss is above the bound.
    """
    wrong = [f"{name} {value}" for name, value in numbers.items() if not math.isfinite(value)]
    if not wrong and numbers["loss"] > bound:
        wrong = [f"loss {numbers['loss']:.4g} above {bound:.4g}, {EXPLODED} times that of guessing"]
    if wrong:
        raise UserError(
            f"the training diverged at step {step}: {', '.join(wrong)}; {newest}; lower config.train.learning_rate or "
            f"look at the images of the batch: {', '.join(map(str, images))}"
        )


class Stop:
    """Whether SIGTERM has arrived.

    Attributes:
        asked: whether it has, in this process.
        saved: what is saved, in words, while nothing would be lost: SIGTERM then ends the process where it is.
    """

    def __init__(self):
        self.asked, self.saved = False, ""

    def __call__(self, *_: Any) -> None:
        self.asked = True
        if self.saved:
            self.leave()

    def anywhere(self, mesh: Mesh) -> Array | bool:
        """Whether it has in any process, which all of them learn at the same place; asked for long before it is read.

        Args:
            mesh: the devices.
        """
        if jax.process_count() == 1:
            return self.asked
        return _any(mesh)(put_batch(np.full(jax.local_device_count(), self.asked), mesh))

    def leave(self) -> NoReturn:
        """Ends the process with the status that shells give to SIGTERM, 143."""
        _LOG.warning(
            "stopped by SIGTERM; %s; run again to continue from there", self.saved or "the training is finished"
        )
        raise SystemExit(128 + signal.SIGTERM)


@functools.cache
def _any(mesh: Mesh) -> Callable[[Array], Array]:
    return jax.jit(jnp.any, out_shardings=replicated(mesh))


@contextmanager
def listen() -> Iterator[Stop]:
    """Notes SIGTERM instead of dying from it, where Python lets a thread do so: in the main thread only."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
    if stop.asked:  # too late to be heeded above
        stop.leave()
