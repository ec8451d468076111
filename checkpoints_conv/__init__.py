"""Foreign checkpoints into the canonical parameter tree and back, by tables of key names."""

from collections.abc import Iterable

from checkpoints_conv import eva_original, open_clip_eva
from checkpoints_conv.readers import open_checkpoint
from checkpoints_conv.rules import Drop, Rule, convert, dropped, export
from lrjax.errors import UserError

__all__ = ["FORMATS", "Drop", "Rule", "convert", "dropped", "export", "open_checkpoint", "recognise"]

FORMATS = {module.NAME: module for module in (eva_original, open_clip_eva)}
"""Every format by name: a module with `NAME`, `TABLE` and `MARKERS`, the keys by which it is recognised."""


def recognise(keys: Iterable[str]) -> str:
    """Return the name of the format that a set of checkpoint keys belongs to.

    Args:
        keys: every key of the checkpoint.

    Returns:
        A key of `FORMATS`.

    Raises:
        UserError: when no format or more than one fits.
    """
    present = set(keys)
    fitting = [name for name, module in FORMATS.items() if present.issuperset(module.MARKERS)]
    if len(fitting) == 1:
        return fitting[0]
    looked_for = "; ".join(f"{name}: {', '.join(module.MARKERS)}" for name, module in FORMATS.items())
    if fitting:
        raise UserError(
            f"checkpoint fits several formats ({', '.join(fitting)}); keep the keys of one model only ({looked_for})"
        )
    raise UserError(f"checkpoint has the keys of no known format; looked for {looked_for}")
