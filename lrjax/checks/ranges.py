"""Ranges of the numbers of a configuration, declared in the annotations of its fields."""

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from lrjax.checks.text import brief
from lrjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """Where a number lies; infinite numbers and NaN lie nowhere.

    Attributes:
        low: the least.
        high: the largest.
        above: whether the least is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def missed(self, value: float) -> str | None:
        """What a number must be, or None where it is that."""
        if isinstance(value, float) and not math.isfinite(value):
            return "a finite number"
        if value < self.low or (self.above and value == self.low):
            return f"{'above' if self.above else 'at least'} {self.low}"
        if value > self.high:
            return f"at most {self.high}"
        return None


Count = Annotated[int, Range(0, 2**31 - 1)]
Positive = Annotated[int, Range(1, 2**31 - 1)]
Side = Annotated[int, Range(1, 2**14)]
"""Pixels."""
Batch = Annotated[int, Range(1, 2**20)]
Seed = Annotated[int, Range(0, 2**32 - 2)]
Amount = Annotated[float, Range(0, 10**6)]
Fraction = Annotated[float, Range(0, 1)]


def check_ranges(config: Any, key: str = "config") -> None:
    """Checks the numbers of a configuration.

    Args:
        config: a dataclass, with groups that are dataclasses.
        key: what messages call it.

    Raises:
        UserError: a number lies outside of the range that its annotation declares, or is not finite.
    """
    for name, value, limits in _numbers(key, config, type(config)):
        if (missed := limits.missed(value)) is not None:
            raise UserError(f"{name} is {brief(value)}; it must be {missed}")


def _numbers(key: str, value: Any, kind: Any) -> Iterator[tuple[str, Any, Range]]:
    """Yields every number with its key and range."""
    inner = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            yield from _numbers(f"{key}.{field.name}", getattr(value, field.name), hints[field.name])
    elif isinstance(value, Mapping) and inner:
        for name, item in value.items():
            yield from _numbers(f"{key}.{name}", item, inner[1])
    elif isinstance(value, tuple | list) and inner:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        for item, item_kind in zip(value, kinds, strict=False):
            yield from _numbers(key, item, item_kind)
    elif typing.get_origin(kind) is Annotated:
        yield key, value, kind.__metadata__[0]
    elif kind is float:
        yield key, value, Range()
    elif value is not None and inner and type(None) in inner:
        yield from _numbers(key, value, inner[0])
