"""Zero-shot classification of the 324 zoom views of every image: which of them are right."""

import dataclasses
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec
from tqdm import tqdm

from lrjax.config import Zoom
from lrjax.data.images import ImageError
from lrjax.data.pixels import PixelBatch, pixel_batches
from lrjax.errors import UserError
from lrjax.evaluators import Measurement, Outcome
from lrjax.evaluators.zeroshot import LOGIT_SCALE
from lrjax.metrics.zoom import STANDARD_VIEW
from lrjax.ops.zoom import (
    ANCHORS,
    SCALES,
    VIEWS,
    WindowTaps,
    batch_window_taps,
    render_windows,
    round_up,
    stack_window_taps,
    window_shape,
    zoom_spec,
)
from lrjax.predict import Predictor
from lrjax.sharding import put_batch, replicated
from lrjax.shards import Shards
from lrjax.types import Array

VERSION = 1
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_TOP_VIEWS = 5
_RENORMALISED: weakref.WeakKeyDictionary[Predictor, Predictor] = weakref.WeakKeyDictionary()
_STORED = {"confidence": np.float16, "guess": np.int16}


def run(
    predictor: Predictor,
    source: Any,
    classifier: np.ndarray,
    *,
    batch_size: int,
    resolutions: Sequence[int | str] = ("hr",),
    options: Zoom | None = None,
    shards: Shards | None = None,
    lr_tokens: Array | None = None,
    on_error: str = "error",
    workers: int = 0,
    title: str = "",
) -> Outcome:
    """Classifies all views of every image; a view is as large as the model's input (`ops.zoom.zoom_spec`).

    Args:
        predictor: the backbone.
        source: random-access examples {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints}. A guess
            is right if it is among the labels.
        classifier: float32 [K, E] of `Predictor.classifier`, one row per class of the data set. Of a classifier of more
            classes, the rows of the data set's: the others never win, which is the published mask of the label space.
        batch_size: images per batch over all processes; a multiple of the number of devices.
        resolutions: ("hr",): zooming has no low resolutions.
        options: see `Zoom`.
        shards: where finished images are stored and found; None computes everything.
        lr_tokens: float [L + 1, N, D], or None for the vanilla model.
        on_error: what a damaged image does, "error" or "skip"; a skipped image counts nowhere.
        workers: decoding threads of this process.
        title: text of the progress bar.

    Returns:
        "zoom_acc1" of the published standard view, "zoom_upper_bound", the share of images that any view gets right,
        and "zoom_acc1_ROW_COLUMN_SCALE" of the five most accurate views. Per-example arrays: "index"; "label", [N], or
        [N, M] filled with -1 where there are sets of labels; "correct", uint8 [N, 41], the 324 views as bits
        (`np.packbits`); and what `options.keep` names, [N, 324]. Views are numbered as in `ops.zoom`.

    Raises:
        UserError: the data set is empty, every image is damaged, the batch does not divide over the devices, low
            resolutions are asked for, or a stored shard is damaged.
        ImageError: an image is damaged and `on_error` is "error".

    Reference:
        Taesiri et al. 2023, arXiv 2304.05538, section 4.1.
    """
    mesh, processes, options = predictor.mesh, jax.process_count(), options or Zoom()
    if batch_size % mesh.size:
        raise UserError(
            f"config.evaluation.batch_size {batch_size} does not divide over {mesh.size} devices; use a multiple of it"
        )
    if tuple(resolutions) != ("hr",):
        raise UserError("the evaluator 'zoom' knows no low resolutions; set config.evaluation.resolutions to ()")
    if len(source) == 0:
        raise UserError("the data set has no images; check its folder")
    classify = _classifier(predictor, classifier, options, lr_tokens)
    step = -(-options.shard_size // batch_size) * batch_size
    ranges = [range(first, min(first + step, len(source))) for first in range(0, len(source), step)]
    finished = _of_first([shards is not None and shards.has(_name(part)) for part in ranges])
    parts = []
    with tqdm(total=len(source), desc=title, unit="img", disable=jax.process_index() > 0) as progress:
        for part, done in zip(ranges, finished, strict=True):
            if done:
                parts.append(shards.get(_name(part)))
                progress.update(len(part))
                continue
            found = []
            for batch in pixel_batches(
                source,
                batch_size // processes,
                indices=part,
                shard=(jax.process_index(), processes),
                workers=workers,
                on_error=on_error,
            ):
                found.append(classify(batch))
                progress.update(int((found[-1]["index"] >= 0).sum()))
            parts.append(_shard(found, options.keep))
            if shards is not None and jax.process_index() == 0:
                shards.add(_name(part), parts[-1])
    skipped = np.concatenate([part.pop("skipped") for part in parts])
    names = tuple(_damaged_name(source, int(index)) for index in skipped)
    samples = _joined(parts)
    if len(skipped) == len(source):
        raise ImageError(f"all {len(names)} images are damaged, the first is {names[0]}", names[0])
    if not np.array_equal(np.sort(np.concatenate([samples["index"], skipped])), np.arange(len(source))):
        raise AssertionError(f"{len(samples['index'])} images counted and {len(skipped)} skipped of {len(source)}")
    return Outcome(measurements=_measurements(samples["correct"]), samples={"hr": samples}, skipped=names)


def _classifier(
    predictor: Predictor, classifier: np.ndarray, options: Zoom, lr_tokens: Array | None
) -> Callable[[PixelBatch], dict[str, np.ndarray]]:
    """The function that classifies all views of a batch, on the mesh; its arrays have the rows of all processes."""
    mesh, row = predictor.mesh, predictor.row
    size, count = row.spec.image.size, options.scales_at_once
    if options.normalisation == "imagenet":
        predictor = _with_imagenet_constants(predictor)
    specs = [zoom_spec(scale, size=size, pass_order=row.preprocess.pass_order) for scale in SCALES]
    ascending = np.argsort(SCALES)  # scales that are rendered together need similar numbers of taps
    weights = jax.device_put(classifier, replicated(mesh))
    render, score, gather = _programs(mesh, size)

    def classify(batch: PixelBatch) -> dict[str, np.ndarray]:
        sizes, width = _of_all(batch.sizes), int(_of_all(np.array([batch.labels.shape[1]])).max())
        margin = round_up(int(sizes.max())) - batch.images.shape[1]
        canvas = np.pad(batch.images, ((0, 0), (0, margin), (0, margin), (0, 0)))
        labels = np.pad(batch.labels, ((0, 0), (0, width - batch.labels.shape[1])), constant_values=-1)
        placed = put_batch({"label": labels, "mask": batch.mask, "index": batch.index}, mesh)
        canvas, found = put_batch(canvas, mesh), []
        for group in ascending.reshape(-1, count):
            shape = tuple(np.max([window_shape(sizes, specs[scale]) for scale in group], axis=0).tolist())
            items = stack_window_taps([batch_window_taps(batch.sizes, specs[scale], shape=shape) for scale in group])
            embedded = predictor.image(render(canvas, put_batch(items, mesh)), lr_tokens)
            found.append(score(embedded, weights, placed["label"]))
            jax.block_until_ready(found[-2:-1])  # views of two groups at most are in memory
        found, placed = jax.device_get((found, gather(placed)))
        return placed | {name: _in_order([one[name] for one in found], ascending) for name in found[0]}

    return classify


def _with_imagenet_constants(predictor: Predictor) -> Predictor:
    if predictor not in _RENORMALISED:
        row = predictor.row
        row = dataclasses.replace(row, preprocess=dataclasses.replace(row.preprocess, **_IMAGENET))
        _RENORMALISED[predictor] = Predictor(
            row,
            predictor.params,
            predictor.tokenizer,
            predictor.mesh,
            dtype=predictor.encoders.dtype,
            adaptation=predictor.adaptation,
        )
    return _RENORMALISED[predictor]


@functools.cache
def _programs(mesh: Mesh, size: int) -> tuple[Callable, Callable, Callable]:
    """The jitted functions that render, score and gather, compiled once for all data sets."""
    places, on_cpu = zoom_spec(SCALES[0], size=size).places, mesh.devices.flat[0].platform == "cpu"

    def render_rows(canvas: Array, items: WindowTaps) -> Array:
        together = 1 if on_cpu else len(canvas)
        views = render_windows(canvas, items, size=size, places=places, images_at_once=together)
        return views.reshape(len(canvas), -1, *views.shape[3:])

    # Every device loops over its own images, which a loop over the axis that is laid out over the devices would not do.
    spread = PartitionSpec("data")
    return (
        jax.jit(jax.shard_map(render_rows, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)),
        jax.jit(_score, out_shardings=replicated(mesh)),
        jax.jit(lambda tree: tree, out_shardings=replicated(mesh)),
    )


def _score(embedded: Array, weights: Array, label: Array) -> dict[str, Array]:
    logits = LOGIT_SCALE * embedded @ weights.T  # [B, V, K]
    guess = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    confidence = jax.nn.softmax(logits, axis=-1).max(axis=-1)
    correct = (guess[:, :, None] == label[:, None, :]).any(axis=-1) & ~jnp.isnan(confidence)
    return {"correct": correct, "confidence": confidence, "guess": guess}


def _in_order(groups: list[np.ndarray], scales: np.ndarray) -> np.ndarray:
    """Views by scale, [B, s * 9] each, the scales in any order, as views in the order of `ops.zoom`, [B, 324]."""
    by_scale = np.concatenate(groups, axis=1).reshape(len(groups[0]), len(SCALES), len(ANCHORS))
    ordered = np.empty_like(by_scale)
    ordered[:, scales] = by_scale
    return ordered.swapaxes(1, 2).reshape(-1, VIEWS)


def _shard(found: list[dict[str, np.ndarray]], keep: Sequence[str]) -> dict[str, np.ndarray]:
    """What is stored of some batches; rows without an image are left out."""
    rows = _joined(found)
    mask = rows["mask"]
    arrays = {name: rows[name][mask] for name in ("index", "label")}
    arrays["correct"] = np.packbits(rows["correct"][mask], axis=1)
    arrays |= {name: rows[name][mask].astype(_STORED[name]) for name in keep}
    return arrays | {"skipped": rows["index"][~mask & (rows["index"] >= 0)]}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several batches or shards; sets of labels are filled up with -1, and single labels are [N]."""
    labels = [part["label"] if part["label"].ndim == 2 else part["label"][:, None] for part in parts]
    width = max(rows.shape[1] for rows in labels)
    labels = [np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1) for rows in labels]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "label"}
    label = np.concatenate(labels)
    return joined | {"label": label[:, 0] if width == 1 else label}


def _measurements(correct: np.ndarray) -> tuple[Measurement, ...]:
    table = np.unpackbits(correct, axis=1, count=VIEWS).astype(bool)
    count, hits = len(table), table.sum(axis=0)

    def one(name: str, right: int) -> Measurement:
        return Measurement(name, "hr", int(right) / count, count)

    best = [
        one("zoom_acc1_{}_{}_{}".format(*ANCHORS[view // len(SCALES)], SCALES[view % len(SCALES)]), hits[view])
        for view in np.argsort(-hits, kind="stable")[:_TOP_VIEWS]
    ]
    bound = one("zoom_upper_bound", table.any(axis=1).sum())
    return one("zoom_acc1", hits[STANDARD_VIEW]), bound, *best


def _name(part: range) -> str:
    return f"{part.start}-{part.stop}"


def _damaged_name(source: Any, index: int) -> str:
    try:
        return str(source[index]["id"])
    except ImageError as error:
        return error.name


def _of_first(flags: list[bool]) -> list[bool]:
    """The values of process 0."""
    if jax.process_count() == 1:
        return flags
    return np.asarray(multihost_utils.broadcast_one_to_all(np.array(flags))).tolist()


def _of_all(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes."""
    if jax.process_count() == 1:
        return rows
    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))
