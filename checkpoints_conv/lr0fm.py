"""LR tokens as the official LR0.FM code keeps them: one entry per table in the state dict of the model.

The names of the tables at the input of the blocks are known for all three variants of that code, that of the table
after patchify for EVA only; the others are written with the same name, and read with either likely one.

Reference: LR0.FM (arXiv 2502.03950), section 5, and its official code.
"""

import re
from collections.abc import Sequence

import numpy as np

from checkpoints_conv.rules import Reader, check_usable
from lrjax.errors import UserError

LAYOUTS = {"lr0fm_eva": "visual", "lr0fm_open_clip": "visual.transformer", "lr0fm_metaclip": "visual.transformer"}
"""The variants, with the module that holds the tables of the blocks."""
FAMILIES = {
    "EVA-CLIP": "lr0fm_eva",
    "OpenCLIP": "lr0fm_open_clip",
    "CLIPA": "lr0fm_open_clip",
    "MetaCLIP": "lr0fm_metaclip",
}
"""The variant that each family of backbones was trained with."""

_FIRST = re.compile(r"visual\.(transformer\.)?spatial_tokens")
_BLOCK = re.compile(r"visual\.(transformer\.)?blocks_spatial_tokens\.(\d+)")


def export_tokens(tokens: np.ndarray, layout: str) -> dict[str, np.ndarray]:
    """Return LR tokens by the names and in the shapes of the official code.

    Args:
        tokens: float32 [L + 1, N, D].
        layout: a key of `LAYOUTS`.

    Returns:
        L + 1 arrays [1, N, D]; for "lr0fm_metaclip", whose blocks run with the rows first, those of the blocks are
        [N, 1, D].
    """
    first, *blocks = np.asarray(tokens, np.float32)
    axis = 1 if layout == "lr0fm_metaclip" else 0
    return {
        "visual.spatial_tokens": first[None],
        **{f"{LAYOUTS[layout]}.blocks_spatial_tokens.{i}": np.expand_dims(t, axis) for i, t in enumerate(blocks)},
    }


def import_tokens(
    reader: Reader, shape: tuple[int, int, int], *, source: object, model: str
) -> tuple[np.ndarray, str, int]:
    """Read LR tokens from a checkpoint of the official code, with or without the rest of the model.

    Args:
        reader: the open checkpoint.
        shape: L + 1, N and D of the backbone.
        source: the file, for messages.
        model: name of the backbone, for messages.

    Returns:
        float32 [L + 1, N, D], the layout, and how many other keys the checkpoint holds.

    Raises:
        UserError: tables are missing, or do not fit the backbone.
    """
    first = [key for key in reader.keys() if _FIRST.fullmatch(key)]  # noqa: SIM118
    blocks = {int(match[2]): key for key in reader.keys() if (match := _BLOCK.fullmatch(key))}  # noqa: SIM118
    if not blocks:
        raise UserError(
            f"{source} holds no LR tokens of the LR0.FM code, which are called visual.blocks_spatial_tokens.0 and so "
            "on; name one of its checkpoints"
        )
    if len(first) != 1 or sorted(blocks) != list(range(shape[0] - 1)):
        raise UserError(
            f"{source} holds {len(first)} tables after patchify (visual.spatial_tokens) and those of the blocks "
            f"{_ranges(sorted(blocks))}, but {model} needs one and those of 0 to {shape[0] - 2}; name its backbone as "
            "--model"
        )
    keys = [first[0], *(blocks[index] for index in range(shape[0] - 1))]
    batch_first, rows_first = (1, *shape[1:]), (shape[1], 1, shape[2])
    turned = "transformer" in keys[1] and reader.shape(keys[1]) == rows_first != batch_first
    for key in keys:
        wanted = {rows_first} if turned else {batch_first}
        if turned and key == keys[0]:  # what this variant does with it is not known
            wanted = {rows_first, batch_first}
        if reader.shape(key) not in wanted:
            raise UserError(
                f"{key} of {source} has the shape {list(reader.shape(key))}, but {model} needs "
                f"{' or '.join(str(list(one)) for one in sorted(wanted))}; name its backbone as --model, with @SIZE "
                "behind it for another input size"
            )
    tokens = np.stack([np.asarray(reader.read(key), np.float32).reshape(shape[1:]) for key in keys])
    check_usable(tokens, f"{source}")
    variant = "metaclip" if turned else "open_clip" if "transformer" in keys[1] else "eva"
    return tokens, f"lr0fm_{variant}", len(reader.keys()) - len(keys)


def _ranges(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]} ({len(numbers)})"
