"""What ends a training early: numbers that are no longer sensible, SIGTERM and Ctrl-C."""

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
    """Whether SIGTERM or Ctrl-C has arrived.

    Attributes:
        asked: which of them has, in this process, 0 for none.
        saved: what is saved, in words, while nothing would be lost: the process then ends where it is.
    """

    def __init__(self):
        self.asked, self.saved = 0, ""

    def __call__(self, number: int, *_: Any) -> None:
        if self.asked == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        if self.saved:
            self.leave()
        if number == signal.SIGINT:
            _LOG.warning("ends after this step and saves; Ctrl-C again ends at once")

    def anywhere(self, mesh: Mesh) -> Array | bool:
        """Whether it has in any process, which all of them learn at the same place; asked for long before it is read.

        Args:
            mesh: the devices.
        """
        if jax.process_count() == 1:
            return bool(self.asked)
        return _any(mesh)(put_batch(np.full(jax.local_device_count(), bool(self.asked)), mesh))

    def leave(self) -> NoReturn:
        """Ends the process with the status that shells give to the signal, 143 for SIGTERM and 130 for Ctrl-C."""
        number = signal.Signals(self.asked or signal.SIGTERM)  # of another process where this one has none
        saved = self.saved or "the training is finished"
        _LOG.warning("stopped by %s; %s; run again to continue from there", number.name, saved)
        raise SystemExit(128 + number)


@functools.cache
def _any(mesh: Mesh) -> Callable[[Array], Array]:
    return jax.jit(jnp.any, out_shardings=replicated(mesh))


@contextmanager
def listen() -> Iterator[Stop]:
    """Notes SIGTERM and Ctrl-C instead of dying from them, where Python allows it: in the main thread only."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.asked:  # too late to be heeded above
        stop.leave()
