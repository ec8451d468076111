"""Evaluators: one module per question, found by name; each has a VERSION and a `run`.

One with a group of config keys of its own has `inputs` too, which reads the files that they name.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from lrjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One number at one resolution.

    Attributes:
        metric: name, for instance "acc1".
        resolution: LR side in pixels, or "hr".
        value: the number; accuracies are fractions in [0, 1].
        n: examples behind it.
    """

    metric: str
    resolution: int | str
    value: float
    n: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an evaluator found on one data set.

    Attributes:
        measurements: the numbers.
        samples: per resolution, arrays by name with one entry per example, in the order of the data set.
        skipped: names of the damaged images that were left out.
    """

    measurements: tuple[Measurement, ...]
    samples: dict[int | str, dict[str, np.ndarray]]
    skipped: tuple[str, ...]


def names() -> Iterator[str]:
    """Yields the names of all evaluators."""
    return (module.name for module in pkgutil.iter_modules(__path__) if hasattr(find(module.name), "run"))


def find(name: str) -> ModuleType:
    """Returns the evaluator module of a name.

    Raises:
        UserError: there is no such evaluator.
    """
    path = f"{__name__}.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        known = ", ".join(module.name for module in pkgutil.iter_modules(__path__))
        raise UserError(f"unknown evaluator {name!r} in config.evaluation.evaluators; use one of {known}") from error
