"""LR tokens as the official LR0.FM code keeps them: one entry per table in the state dict of the model.

The code has three variants. In all of them the table after patchify is `visual.spatial_tokens` [1, N, D]; those of the
blocks lie in the module that runs the blocks.

Reference: LR0.FM (arXiv 2502.03950), section 5, and its official code.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from checkpoints_conv.readers import Renamed
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

_FIRST = "visual.spatial_tokens"
_BLOCK = re.compile(r"visual\.(transformer\.)?blocks_spatial_tokens\.(\d+)")
_TRAINING = re.compile(r"(.*\.)?(logit_scale_(lr|bridge|hr_lr)|lr_head\..*)")


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
        _FIRST: first[None],
        **{f"{LAYOUTS[layout]}.blocks_spatial_tokens.{i}": np.expand_dims(t, axis) for i, t in enumerate(blocks)},
    }


def has_tokens(keys: Iterable[str]) -> bool:
    """Tell whether LR tokens are among the keys of a checkpoint."""
    return any(_BLOCK.fullmatch(key) for key in keys)


def weights_alone(reader: Reader) -> tuple[Reader, dict[str, str]]:
    """Return a reader of the weights that were trained with the tokens, and the keys it leaves out, each with a reason.

    Args:
        reader: the open checkpoint.
    """
    reasons = {key: reason for key in reader.keys() if (reason := _reason(key))}  # noqa: SIM118
    return Renamed(reader, {key: key for key in reader.keys() if key not in reasons}), reasons  # noqa: SIM118


def import_tokens(
    reader: Reader, shape: tuple[int, int, int], *, source: object, model: str
) -> tuple[np.ndarray, str, int]:
    """Read LR tokens from a checkpoint of the official code, with or without the rest of the model.

    Without a table after patchify those of the last blocks may be there alone, as in the ablation of
    their position (Table 14 of the paper), numbered by their blocks or, which is inferred, from 0.

    Args:
        reader: the open checkpoint.
        shape: L + 1, N and D of the backbone.
        source: the file, for messages.
        model: name of the backbone, for messages.

    Returns:
        float32 [L + 1, N, D], zero where there is no table; the layout; and how many other keys the checkpoint holds.

    Raises:
        UserError: tables are missing, do not fit the backbone, or hold numbers that nothing can be computed with.
    """
    found = {int(match[2]): key for key in reader.keys() if (match := _BLOCK.fullmatch(key))}  # noqa: SIM118
    if not found:
        raise UserError(
            f"{source} holds no LR tokens of the LR0.FM code, which are called visual.blocks_spatial_tokens.0 and so "
            "on; name one of its checkpoints"
        )
    depth, numbers, first = shape[0] - 1, sorted(found), _FIRST in reader.keys()  # noqa: SIM118
    start = depth - len(numbers)  # the block of the first table
    if start < 0 or (first and start) or numbers not in ([*range(len(numbers))], [*range(start, depth)]):
        raise UserError(
            f"{source} holds {int(first)} tables after patchify ({_FIRST}) and those of the blocks {_ranges(numbers)}, "
            f"but {model} needs one and those of 0 to {depth - 1}, or those of its last blocks alone; name its "
            "backbone as --model"
        )
    keys = {start + 1 + place: found[number] for place, number in enumerate(numbers)} | ({0: _FIRST} if first else {})
    turned = _check_shapes(reader, keys, shape, source=source, model=model)
    tokens = np.zeros(shape, np.float32)
    for table, key in keys.items():
        values = reader.read(key)
        check_usable(values, f"{key!r} of {source}")
        tokens[table] = values.reshape(shape[1:])
    in_transformer = "transformer" in found[numbers[0]]
    variant = "metaclip" if turned else "open_clip" if in_transformer else "eva"
    return tokens, f"lr0fm_{variant}", len(reader.keys()) - len(keys)


def _check_shapes(
    reader: Reader, keys: Mapping[int, str], shape: tuple[int, int, int], *, source: object, model: str
) -> bool:
    """Checks the tables, and tells whether those of the blocks have the rows first, as MetaCLIP's blocks run."""
    batch_first, rows_first = (1, *shape[1:]), (shape[1], 1, shape[2])
    last = keys[max(keys)]
    turned = "transformer" in last and reader.shape(last) == rows_first != batch_first
    for key in keys.values():
        wanted = rows_first if turned and key != _FIRST else batch_first
        if reader.shape(key) != wanted:
            raise UserError(
                f"{key} of {source} has the shape {list(reader.shape(key))}, but {model} needs {list(wanted)}; name "
                "its backbone as --model, with @SIZE behind it for another input size"
            )
    return turned


def _reason(key: str) -> str:
    if key == _FIRST or _BLOCK.fullmatch(key):
        return "LR tokens, which are kept beside the weights"
    return "of the training of the LR tokens alone" if _TRAINING.fullmatch(key) else ""


def _ranges(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]} ({len(numbers)})"
