"""Batches of decoded images: evaluation in order and exactly once, training shuffled and endless."""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, UInt8
from PIL import Image

from lrjax.data.images import RGB, ImageError, prepare, render_view, to_rgb, whole
from lrjax.data.memory import MEMORY
from lrjax.data.source import Examples
from lrjax.errors import UserError
from lrjax.ops.preprocess import ViewSpec, canvas_side

_EMPTY_SIDE = 64


@dataclass(frozen=True)
class Batch:
    """Images of different sizes in the upper left corners of one canvas, and beside it those that are not on it.

    Either views are wanted, then Pillow has rendered those of the images that the device cannot resample; or whole
    images are, then the large ones stay as they are.

    Args:
        images: 0..255, black outside the images and in rows without pixels; None where no row has pixels. S is the
            largest side where whole images are wanted.
        sizes: height and width in pixels; 0 for rows without pixels.
        specs: the R views of every image; none where whole images are wanted.
        on_host: True for the images whose views Pillow has rendered, see `images.prepare`.
        views: black in the other rows; None where Pillow has rendered none.
        large: by row, RGB, the whole images of which a side is longer than `LARGEST_CANVAS`.
        labels: sets where an image has several; -1 fills sets and rows without an image or label. M is a power of two.
        mask: False for rows without an image: padding and skipped images.
        index: position in the source; -1 for padding.
        ids: B ids; "" for rows without an image.
        damaged: why images of this batch are skipped.
    """

    images: UInt8[np.ndarray, "B S S 3"] | None
    sizes: Int32[np.ndarray, "B 2"]
    specs: tuple[ViewSpec, ...]
    on_host: Bool[np.ndarray, "B"]
    views: UInt8[np.ndarray, "B R size size 3"] | None
    large: Mapping[int, Image.Image]
    labels: Int32[np.ndarray, "B"] | Int32[np.ndarray, "B M"]
    mask: Bool[np.ndarray, "B"]
    index: Int64[np.ndarray, "B"]
    ids: tuple[str, ...]
    damaged: tuple[ImageError, ...]


class _Decoding(NamedTuple):
    layouts: tuple[tuple[ViewSpec, ...], ...]
    rgb: str
    host: bool


def batches(
    source: Examples,
    batch_size: int,
    *,
    specs: Sequence[ViewSpec],
    rgb: str = "after",
    host: bool = False,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
    on_error: str = "error",
    indices: Sequence[int] | Int[np.ndarray, "n"] | None = None,
) -> Iterator[Batch]:
    """Reads images as `joint_batches` does, in one layout.

    Args:
        source: as in `joint_batches`, as are the others but `specs`.
        specs: the views that are wanted of every image, of one size; without any, whole images are.
    """
    options = {"shard": shard, "workers": workers, "on_error": on_error, "indices": indices}
    found = joint_batches(source, batch_size, layouts=[specs], rgb=rgb, host=host, **options)
    return (batch for (batch,) in found)


def joint_batches(
    source: Examples,
    batch_size: int,
    *,
    layouts: Sequence[Sequence[ViewSpec]],
    rgb: str = "after",
    host: bool = False,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
    on_error: str = "error",
    indices: Sequence[int] | Int[np.ndarray, "n"] | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """Reads every image exactly once over all shards, in order, decoded ahead by threads.

    Step b of shard i holds rows i * batch_size to (i + 1) * batch_size of the b-th global batch, so that the shards
    side by side are the global batch. All shards have equally many batches; what is missing at the end is padding with
    mask False.

    Args:
        source: `len(source)` and `source[i] -> {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints,
            "id": str}`, the label being optional.
        batch_size: rows per shard.
        layouts: one or more; the views that are wanted of every image, of one size, or none for whole images.
        rgb: "after" converts to RGB after the resizes, "before" before them.
        host: whether Pillow renders the views of all images in the decoding threads, not only of those that the device
            cannot resample.
        shard: index of this shard and number of shards.
        workers: decoding threads; 0 decodes in the caller's.
        on_error: "error" raises for a damaged image, unless only some of several layouts cannot show it; "skip" masks
            its row and keeps the error in `damaged`.
        indices: positions to read, in this order; all by default.

    Returns:
        An iterator of ceil(n / (batch_size * shards)) times a batch in each layout.

    Raises:
        UserError: an argument is out of range, a file cannot be read, or memory is too short.
        ImageError: an image is damaged and `on_error` is "error".
    """
    plan, wanted = shard_positions(source, batch_size, shard, indices), tuple(map(tuple, layouts))
    if on_error not in ("error", "skip"):
        raise UserError(f"on_error '{on_error}' is unknown; give 'error' or 'skip'")
    if rgb not in RGB:
        raise UserError(f"rgb '{rgb}' is unknown; give 'after' or 'before'")
    if workers < 0:
        raise UserError(f"workers {workers} is negative; give the number of decoding threads, or 0")
    for specs in wanted:
        if len(sizes := {spec.size for spec in specs}) > 1:
            raise UserError(f"views of sizes {sorted(sizes)} fit no batch; give those of one size")
    return _read(source, plan, batch_size, workers, on_error, _Decoding(wanted, rgb, host))


def training_batches(
    source: Examples,
    batch_size: int,
    *,
    seed: int,
    size: int,
    rows: Sequence[int] | Int[np.ndarray, "B"] | None = None,
    start: int = 0,
    workers: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Return an endless iterator of shuffled square training images.

    Every epoch has its own order. The images of one global batch are distinct: an epoch leaves out the remainder that
    fills no global batch, another one each time. Batch n holds the same images in the same order however its rows are
    shared out. An image of another size than size x size is resized (Pillow, bicubic) to the shortest side `size` and
    cropped at its centre.

    Args:
        source: `len(source)` and `source[i] -> {"image": PIL image or uint8 [H, W, 3], "id": str}`, optionally with
            "label" and "caption".
        batch_size: rows of a global batch.
        seed: of the order, 0 to 2**32 - 1.
        size: side of the images in pixels.
        rows: which rows of every global batch to read, B of them in this order; None reads all.
        start: number of batches to leave out at the beginning.
        workers: decoding threads; 0 decodes in the caller's.

    Returns:
        An iterator of dictionaries with "image" uint8 [B, size, size, 3], "id" str [B] and "index" int64 [B], and
        "label" int [B] and "caption" str [B] where the source has them.

    Raises:
        UserError: an argument is out of range, or the source holds fewer images than a global batch.
    """
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is not positive; give the rows of a batch")
    if size < 1:
        raise UserError(f"image size {size} is not positive; give the side in pixels")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed {seed} is out of range; give 0 to {2**32 - 1}")
    if len(source) < batch_size:
        raise UserError(
            f"the data set has {len(source)} images, fewer than the global batch of {batch_size}; use a smaller "
            "batch or more images"
        )
    order = grain.MapDataset.range(len(source)).seed(seed).shuffle()[: len(source) // batch_size * batch_size].repeat()
    wanted = _Rows(order, batch_size, range(batch_size) if rows is None else [int(row) for row in rows], start)
    images = grain.MapDataset.source(wanted).map(functools.partial(_training_row, source, size))
    own = len(wanted.rows)
    return iter(images.to_iter_dataset(_read_options(workers, own)).batch(own))


@dataclass(frozen=True)
class _Rows:
    """Some rows of every batch of an endless order, one batch after the other."""

    order: grain.MapDataset
    batch_size: int
    rows: Sequence[int]
    start: int

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> int:
        step, row = divmod(index, len(self.rows))
        number = self.order[(self.start + step) * self.batch_size + self.rows[row]]
        assert number is not None  # a dataset of grain may have left elements out
        return number


def _check(batch_size: int, shard: tuple[int, int]) -> None:
    index, shards = shard
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is not positive; give the rows per shard")
    if not 0 <= index < shards:
        raise UserError(f"shard {index} of {shards} does not exist; give 0 <= index < count")


def shard_positions(
    source: Examples,
    batch_size: int,
    shard: tuple[int, int],
    indices: Sequence[int] | Int[np.ndarray, "n"] | None = None,
) -> Int64[np.ndarray, "rows"]:
    """Return the positions in the source that a shard reads, in batches that side by side are the global ones.

    Args:
        source: has a length.
        batch_size: rows per shard.
        shard: index of this shard and number of shards.
        indices: positions to read, in this order; all by default.

    Returns:
        A multiple of the batch size, -1 for padding at the end.

    Raises:
        UserError: an argument is out of range.
    """
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
    source: Examples,
    plan: Int64[np.ndarray, "rows"],
    batch_size: int,
    workers: int,
    on_error: str,
    wanted: _Decoding,
) -> Iterator[tuple[Batch, ...]]:
    if len(plan) == 0:
        return
    rows = (
        grain.MapDataset.source(plan.tolist())
        .map(functools.partial(_row, source, wanted))
        .to_iter_dataset(_read_options(workers, batch_size))
    )
    group, last_sides = [], [_EMPTY_SIDE] * len(wanted.layouts)
    for index, forms in rows:
        damage = [form for form in forms if isinstance(form, ImageError)]
        if on_error == "error" and damage and len(damage) == len(forms):
            raise damage[0]
        group.append((index, forms))
        large = [form["image"] for _, forms in group for form in forms if isinstance(form, dict)]
        large = [image for image in large if isinstance(image, Image.Image)]
        MEMORY.check(sum(4 * image.width * image.height for image in large), "a batch of large images")
        if len(group) == batch_size:
            found = []
            for number, specs in enumerate(wanted.layouts):
                own = [(index, forms[number]) for index, forms in group]
                batch = _collate(own, specs, wanted.host, last_sides[number])
                last_sides[number] = last_sides[number] if batch.images is None else batch.images.shape[1]
                found.append(batch)
            yield tuple(found)
            group = []


def _row(source: Examples, wanted: _Decoding, index: int) -> tuple[int, list[dict[str, Any] | ImageError | None]]:
    """An image in every layout. Errors are values here: the policy is applied in order, in the caller's thread."""
    if index < 0:
        return -1, [None] * len(wanted.layouts)
    with MEMORY.hold():
        try:
            row = source[index]
        except ImageError as error:
            return index, [error] * len(wanted.layouts)
        return index, [_in_layout(row, specs, wanted) for specs in wanted.layouts]


def _in_layout(row: dict[str, Any], specs: Sequence[ViewSpec], wanted: _Decoding) -> dict[str, Any] | ImageError:
    try:
        if not specs:
            return row | {"image": whole(row["image"], name=row["id"]), "views": None}
        pixels, rendered = prepare(row["image"], specs, rgb=wanted.rgb, host=wanted.host, name=row["id"])
    except ImageError as error:
        return error
    return row | {"image": pixels, "views": rendered}


def _collate(rows: list, specs: tuple[ViewSpec, ...], host: bool, last_side: int) -> Batch:
    count = len(rows)
    found = [(position, row) for position, (_, row) in enumerate(rows) if isinstance(row, dict)]
    large = {position: row["image"] for position, row in found if isinstance(row["image"], Image.Image)}
    on_host, mask, sizes = np.zeros(count, bool), np.zeros(count, bool), np.zeros((count, 2), np.int32)
    ids, labels = [""] * count, [-1] * count
    for position, row in found:
        mask[position], ids[position], labels[position] = True, row["id"], row.get("label", -1)
        on_host[position] = row["views"] is not None
        if not on_host[position] and position not in large:
            sizes[position] = row["image"].shape[:2]
    images = rendered = None
    if specs and (host or on_host.any()):
        rendered = np.zeros((count, len(specs), specs[0].size, specs[0].size, 3), np.uint8)
        for position, row in found:
            if on_host[position]:
                rendered[position] = row["views"]
    if rendered is None or sizes.any():
        side = canvas_side(sizes[sizes.any(axis=1)]) if sizes.any() else last_side
        side = side if specs else max(1, int(sizes.max()))
        images = np.zeros((count, side, side, 3), np.uint8)
        for position, row in found:
            if not on_host[position] and position not in large:
                height, width = sizes[position]
                images[position, :height, :width] = row["image"]
    return Batch(
        images=images,
        sizes=sizes,
        specs=specs,
        on_host=on_host,
        views=rendered,
        large=large,
        labels=_label_array(labels),
        mask=mask,
        index=np.array([index for index, _ in rows], np.int64),
        ids=tuple(ids),
        damaged=tuple(row for _, row in rows if isinstance(row, ImageError)),
    )


def _label_array(
    labels: Sequence[int | tuple[int, ...]],
) -> Int32[np.ndarray, "B"] | Int32[np.ndarray, "B M"]:
    if not any(isinstance(label, tuple) for label in labels):
        return np.array(labels, np.int32)
    sets = [label if isinstance(label, tuple) else (label,) for label in labels]
    largest = max(1, *map(len, sets))
    array = np.full((len(sets), 1 << (largest - 1).bit_length()), -1, np.int32)  # few widths, so few compilations
    for row, members in zip(array, sets, strict=True):
        row[: len(members)] = members
    return array


def _training_row(source: Examples, size: int, index: int) -> dict[str, Any]:
    with MEMORY.hold():
        row = source[int(index)]
        image = _square(to_rgb(row["image"]), size)
    extra = {key: row[key] for key in ("label", "caption") if key in row}
    return {"image": image, "id": row["id"], "index": np.int64(index), **extra}


def _square(image: UInt8[np.ndarray, "H W 3"], size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    return image if image.shape[:2] == (size, size) else to_rgb(render_view(Image.fromarray(image), ViewSpec(size)))
