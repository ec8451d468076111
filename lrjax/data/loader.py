"""Batches of decoded images: evaluation in order and exactly once, training shuffled and endless."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from PIL import Image

from lrjax.data.images import ImageError, to_rgb
from lrjax.errors import UserError
from lrjax.ops.preprocess import canvas_side, short_side_size

_EMPTY_SIDE = 64


@dataclass(frozen=True)
class Batch:
    """Images of different sizes in the upper left corners of one canvas.

    Args:
        images: uint8 [B, S, S, 3], 0..255, black outside the images.
        sizes: int32 [B, 2], height and width in pixels; S for rows without an image.
        labels: int32 [B]; -1 for rows without an image or label.
        mask: bool [B], False for rows without an image: padding and skipped images.
        index: int64 [B], position in the source; -1 for padding.
        ids: B ids; "" for rows without an image.
        skipped: names of the damaged images of this batch.
    """

    images: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    index: np.ndarray
    ids: tuple[str, ...]
    skipped: tuple[str, ...]


def batches(
    source: Any,
    batch_size: int,
    *,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
    on_error: str = "error",
    indices: Sequence[int] | np.ndarray | None = None,
    side: int | None = None,
) -> Iterator[Batch]:
    """Read every image exactly once over all shards, in order, decoded ahead by threads.

    Step b of shard i holds rows i * batch_size to (i + 1) * batch_size of the b-th global batch, so that the shards
    side by side are the global batch. All shards have equally many batches; what is missing at the end is padding with
    mask False.

    Args:
        source: `len(source)` and `source[i] -> {"image": PIL image or uint8 [H, W, 3], "label": int, "id": str}`, the
            label being optional.
        batch_size: rows per shard.
        shard: index of this shard and number of shards.
        workers: decoding threads; 0 decodes in the caller's.
        on_error: "error" raises for a damaged image, "skip" masks its row and names it in `skipped`.
        indices: positions to read, in this order; all by default.
        side: canvas side in pixels; by default chosen per batch by `canvas_side`. Programs with several shards need a
            fixed side, for equal shapes.

    Returns:
        An iterator of ceil(n / (batch_size * shards)) batches.

    Raises:
        UserError: an argument is out of range, or an image is larger than the canvas.
        ImageError: an image is damaged and `on_error` is "error".
    """
    plan = _plan(source, batch_size, shard, indices)
    if on_error not in ("error", "skip"):
        raise UserError(f"on_error '{on_error}' is unknown; give 'error' or 'skip'")
    if workers < 0:
        raise UserError(f"workers {workers} is negative; give the number of decoding threads, or 0")
    return _read(source, plan, batch_size, workers, on_error, side)


def training_batches(
    source: Any,
    batch_size: int,
    *,
    seed: int,
    size: int,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> grain.DatasetIterator:
    """Return an endless iterator of shuffled square training images whose state can be saved.

    Every epoch has its own order. The images of one global batch are distinct: an epoch leaves out the remainder that
    fills no global batch, another one each time. An image of another size than size x size is resized (Pillow, bicubic)
    to the shortest side `size` and cropped at its centre.

    Args:
        source: `len(source)` and `source[i] -> {"image": PIL image or uint8 [H, W, 3], "id": str}`, optionally with
            "label" and "caption".
        batch_size: rows per shard.
        seed: of the order, 0 to 2**32 - 1.
        size: side of the images in pixels.
        shard: index of this shard and number of shards.
        workers: decoding threads; 0 decodes in the caller's.

    Returns:
        A grain iterator of dictionaries with "image" uint8 [B, size, size, 3], "id" str [B] and "index" int64 [B], and
        "label" int [B] and "caption" str [B] where the source has them; `get_state()` and `set_state(state)` save and
        restore the position.

    Raises:
        UserError: an argument is out of range, or the source holds fewer images than a global batch.
    """
    _check(batch_size, shard)
    if size < 1:
        raise UserError(f"image size {size} is not positive; give the side in pixels")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed {seed} is out of range; give 0 to {2**32 - 1}")
    index, shards = shard
    total = batch_size * shards
    if len(source) < total:
        raise UserError(
            f"the data set has {len(source)} images, fewer than the global batch of {total}; use a smaller "
            "batch or more images"
        )
    order = grain.MapDataset.range(len(source)).seed(seed).shuffle()[: len(source) // total * total].repeat()
    rows = order[index::shards].map(functools.partial(_training_row, source, size))
    return iter(rows.to_iter_dataset(_read_options(workers, batch_size)).batch(batch_size))


def _check(batch_size: int, shard: tuple[int, int]) -> None:
    index, shards = shard
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is not positive; give the rows per shard")
    if not 0 <= index < shards:
        raise UserError(f"shard {index} of {shards} does not exist; give 0 <= index < count")


def _plan(
    source: Any, batch_size: int, shard: tuple[int, int], indices: Sequence[int] | np.ndarray | None
) -> np.ndarray:
    """Positions of this shard, [steps * batch_size], -1 for padding."""
    _check(batch_size, shard)
    index, shards = shard
    wanted = np.arange(len(source)) if indices is None else np.asarray(indices, np.int64).reshape(-1)
    outside = wanted[(wanted < 0) | (wanted >= len(source))]
    if len(outside):
        raise UserError(
            f"index {outside[0]} is outside the data set of {len(source)} images; give 0 to {len(source) - 1}"
        )
    steps = -(-len(wanted) // (batch_size * shards))
    plan = np.full(steps * shards * batch_size, -1, np.int64)
    plan[: len(wanted)] = wanted
    return plan.reshape(steps, shards, batch_size)[:, index].reshape(-1)


def _read_options(workers: int, batch_size: int) -> grain.ReadOptions:
    return grain.ReadOptions(num_threads=workers, prefetch_buffer_size=max(2 * workers, batch_size) if workers else 0)


def _read(
    source: Any, plan: np.ndarray, batch_size: int, workers: int, on_error: str, side: int | None
) -> Iterator[Batch]:
    if len(plan) == 0:
        return
    rows = (
        grain.MapDataset.source(plan)
        .map(functools.partial(_row, source))
        .to_iter_dataset(_read_options(workers, batch_size))
    )
    group, last_side = [], _EMPTY_SIDE
    for row in rows:
        if isinstance(row[1], ImageError) and on_error == "error":
            raise row[1]
        group.append(row)
        if len(group) == batch_size:
            batch = _collate(group, side, last_side)
            last_side = batch.images.shape[1]
            yield batch
            group = []


def _row(source: Any, index: int) -> tuple[int, dict[str, Any] | ImageError | None]:
    if index < 0:
        return -1, None
    try:
        row = source[int(index)]
        return int(index), row | {"image": to_rgb(row["image"])}
    except ImageError as error:  # handed on as a value: the policy is applied in order, in the caller's thread
        return int(index), error


def _collate(rows: list, side: int | None, last_side: int) -> Batch:
    count = len(rows)
    shapes = [row["image"].shape[:2] for _, row in rows if isinstance(row, dict)]
    if side is None:
        side = canvas_side(np.array(shapes, np.int32)) if shapes else last_side
    images = np.zeros((count, side, side, 3), np.uint8)
    sizes = np.full((count, 2), side, np.int32)
    labels, mask = np.full(count, -1, np.int32), np.zeros(count, bool)
    ids, skipped = [""] * count, []
    for position, (_, row) in enumerate(rows):
        if isinstance(row, ImageError):
            skipped.append(row.name)
        if not isinstance(row, dict):
            continue
        height, width = row["image"].shape[:2]
        if max(height, width) > side:
            raise UserError(
                f"image '{row['id']}' of {height} x {width} pixels is larger than the canvas of {side}; "
                "give a larger side"
            )
        images[position, :height, :width] = row["image"]
        sizes[position] = height, width
        labels[position], mask[position], ids[position] = row.get("label", -1), True, row["id"]
    index = np.array([index for index, _ in rows], np.int64)
    return Batch(
        images=images, sizes=sizes, labels=labels, mask=mask, index=index, ids=tuple(ids), skipped=tuple(skipped)
    )


def _training_row(source: Any, size: int, index: int) -> dict[str, Any]:
    row = source[int(index)]
    extra = {key: row[key] for key in ("label", "caption") if key in row}
    return {"image": _square(to_rgb(row["image"]), size), "id": row["id"], "index": np.int64(index), **extra}


def _square(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    height, width = short_side_size(*image.shape[:2], size)
    left, top = round((width - size) / 2), round((height - size) / 2)  # half to even, as torchvision's CenterCrop
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
