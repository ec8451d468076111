"""Foreign checkpoints into the canonical parameter tree and back, by tables of key names."""

from collections.abc import Iterable
from os import PathLike
from typing import Any

from checkpoints_conv import (
    big_vision_siglip,
    big_vision_siglip_scanned,
    eva_original,
    hf_clip,
    hf_siglip,
    open_clip_clip,
    open_clip_coca,
    open_clip_custom,
    open_clip_eva,
    open_clip_siglip,
    scenic_clip,
)
from checkpoints_conv.positions import resample_positions
from checkpoints_conv.readers import open_checkpoint
from checkpoints_conv.rules import (
    Drop,
    MisfitError,
    Rule,
    Table,
    convert,
    dropped,
    export,
    exported_shapes,
    fits,
    leaf_sizes,
    read_slices,
)
from lrjax.errors import UserError

__all__ = [
    "FORMATS",
    "Drop",
    "MisfitError",
    "Rule",
    "convert",
    "dropped",
    "export",
    "exported_shapes",
    "file_suffix",
    "find_table",
    "fits",
    "leaf_sizes",
    "open_checkpoint",
    "position_kernel",
    "read_slices",
    "recognise",
    "resample_positions",
]

_SHOWN = 3

FORMATS = {
    module.NAME: module
    for module in (
        eva_original,
        open_clip_clip,
        open_clip_custom,
        open_clip_eva,
        open_clip_siglip,
        open_clip_coca,
        hf_clip,
        hf_siglip,
        big_vision_siglip,
        big_vision_siglip_scanned,
        scenic_clip,
    )
}
"""Every format by name: a module with `NAME`, `TABLE` and `MARKERS`, the keys by which it is recognised.

Where they differ from the defaults of the functions below it also has `POSITIONS`, `SUFFIX` and `make_table`.
"""


def find_table(layout: str, spec: Any = None) -> Table:
    """Return the table of a format.

    Args:
        layout: a key of `FORMATS`.
        spec: architecture of the model (`lrjax.models.spec.ModelSpec`), which says how many attention heads there are.
            Without it formats that keep the heads apart are read with any number of them and cannot be written.
    """
    make_table = getattr(FORMATS[layout], "make_table", None)
    if make_table is None or spec is None:
        return FORMATS[layout].TABLE
    transformer = spec.image.transformer  # a ResNet has heads in its attention pooling only
    pool = transformer.pool_heads if transformer else spec.image.heads
    heads = {"image": transformer.blocks.heads if transformer else None, "pool": pool or None}
    return make_table(**heads, text=spec.text.blocks.heads if spec.text else None)


def position_kernel(layout: str) -> str:
    """Return the kernel, of `positions.KERNELS`, by which the software of a format resamples position tables."""
    return getattr(FORMATS.get(layout), "POSITIONS", "bicubic_antialias")


def file_suffix(layout: str) -> str:
    """Return the suffix of the files in which a format is written, ".safetensors" or ".npz"."""
    return getattr(FORMATS[layout], "SUFFIX", ".safetensors")


def recognise(keys: Iterable[str], *, source: str | PathLike = "checkpoint") -> str:
    """Return the name of the format that a set of checkpoint keys belongs to.

    Where the markers of one fitting format contain those of another, the former is the more specific and wins.

    Args:
        keys: every key of the checkpoint.
        source: the file, for messages.

    Returns:
        A key of `FORMATS`.

    Raises:
        UserError: when no format or more than one fits.
    """
    present = set(keys)
    marked = {name: set(module.MARKERS) for name, module in FORMATS.items() if present.issuperset(module.MARKERS)}
    fitting = [name for name, own in marked.items() if not any(own < other for other in marked.values())]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{source} fits several formats ({', '.join(fitting)}); keep the keys of one model only")
    shown = ", ".join(map(repr, sorted(present)[:_SHOWN]))
    raise UserError(
        f"{source} is of no known format, with keys such as {shown}; use a checkpoint with both towers, in one of the "
        f"formats {', '.join(FORMATS)}"
    )
