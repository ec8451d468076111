"""Batches of whole images in the order of their source, for evaluations that look at every part of an image."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from PIL import Image

from lrjax.data.images import ImageError, to_rgb
from lrjax.data.loader import shard_positions
from lrjax.data.memory import MEMORY
from lrjax.ops.preprocess import LARGEST_CANVAS

_LONGEST = 100
"""Ratio of the sides up to which a large image can be zoomed without a strip of more pixels than Pillow's limit."""


@dataclass(frozen=True)
class PixelBatch:
    """Images of different sizes in the upper left corners of one canvas, and beside it the large ones.

    Attributes:
        images: uint8 [B, S, S, 3], 0..255, black elsewhere; S is the largest side of an image on the canvas, at most
            `LARGEST_CANVAS`.
        sizes: int32 [B, 2], height and width in pixels; 1 for rows without an image on the canvas.
        large: by row, RGB, the images of which a side is longer than `LARGEST_CANVAS`.
        labels: int32 [B, M], the right classes of every image, filled with -1.
        mask: bool [B], False for rows without an image: padding and damaged images.
        index: int32 [B], position in the source; -1 for padding.
    """

    images: np.ndarray
    sizes: np.ndarray
    large: Mapping[int, Image.Image]
    labels: np.ndarray
    mask: np.ndarray
    index: np.ndarray


def pixel_batches(
    source: Any,
    batch_size: int,
    *,
    indices: Sequence[int],
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
    on_error: str = "error",
) -> Iterator[PixelBatch]:
    """Reads every image exactly once over all shards, in order, decoded ahead by threads and converted to RGB.

    Step b of shard i holds rows i * batch_size to (i + 1) * batch_size of the b-th global batch. All shards have
    equally many batches; what is missing at the end is padding with mask False.

    Args:
        source: `len(source)` and `source[i] -> {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints,
            "id": str}`.
        batch_size: rows per shard.
        indices: positions to read, in this order.
        shard: index of this shard and number of shards.
        workers: decoding threads; 0 decodes in the caller's.
        on_error: "error" raises for a damaged image, "skip" masks its row.

    Raises:
        ImageError: an image is damaged, or large and extremely elongated, and `on_error` is "error".
    """
    plan = shard_positions(source, batch_size, shard, indices)
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    rows = grain.MapDataset.source(plan).map(functools.partial(_row, source, on_error)).to_iter_dataset(options)
    group = []
    for row in rows:
        if isinstance(row[1], ImageError):
            raise row[1]
        group.append(row)
        large = [one["image"] for _, one in group if one and isinstance(one["image"], Image.Image)]
        MEMORY.check(sum(4 * image.width * image.height for image in large), "a batch of large images")
        if len(group) == batch_size:
            yield _collate(group)
            group = []


def _row(source: Any, on_error: str, index: int) -> tuple[int, dict[str, Any] | ImageError | None]:
    if index < 0:
        return -1, None
    try:
        with MEMORY.hold():
            row = source[int(index)]
            pixels = to_rgb(row["image"])
        height, width = pixels.shape[:2]
        if max(height, width) > max(LARGEST_CANVAS, _LONGEST * min(height, width)):
            raise ImageError(
                f"image '{row['id']}' is too elongated to be zoomed, {width} x {height} pixels; remove it, or skip "
                "damaged images (config.data.on_error 'skip')",
                row["id"],
            )
        image = Image.fromarray(pixels) if max(height, width) > LARGEST_CANVAS else pixels
        return int(index), {"image": image, "label": np.atleast_1d(row["label"])}
    except ImageError as error:  # handed on as a value: raised in the caller's thread, in the order of the images
        return int(index), None if on_error == "skip" else error


def _collate(rows: list[tuple[int, dict[str, Any] | None]]) -> PixelBatch:
    found = [(position, row) for position, (_, row) in enumerate(rows) if row is not None]
    large = {position: row["image"] for position, row in found if isinstance(row["image"], Image.Image)}
    side = max((max(row["image"].shape[:2]) for position, row in found if position not in large), default=1)
    width = max((len(row["label"]) for _, row in found), default=1)
    batch = PixelBatch(
        images=np.zeros((len(rows), side, side, 3), np.uint8),
        sizes=np.ones((len(rows), 2), np.int32),
        large=large,
        labels=np.full((len(rows), width), -1, np.int32),
        mask=np.array([row is not None for _, row in rows]),
        index=np.array([index for index, _ in rows], np.int32),
    )
    for position, row in found:
        if position not in large:
            height, columns = row["image"].shape[:2]
            batch.images[position, :height, :columns] = row["image"]
            batch.sizes[position] = height, columns
        batch.labels[position, : len(row["label"])] = row["label"]
    return batch
