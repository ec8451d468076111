"""Zero-shot classification of the 324 zoom views of every image: which of them are right, and what several tell."""

import dataclasses
import functools
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from tqdm import tqdm

from lrjax.config import Zoom
from lrjax.data.images import ImageError
from lrjax.data.pixels import PixelBatch, pixel_batches
from lrjax.errors import UserError
from lrjax.metrics.aggregation import AGGREGATES, CROPS
from lrjax.metrics.label_sets import NO_LABEL, in_label_set
from lrjax.metrics.zoom import GROUPS, STANDARD_VIEW
from lrjax.models.build import similarities
from lrjax.models.predict import Predictor, check_finite
from lrjax.ops.zoom import ANCHORS, CENTRE_SCALES, SCALES, VIEWS, centre_zoom_specs, crop_spec, zoom_spec
from lrjax.questions import Measurement, Outcome
from lrjax.questions.zeroshot import LOGIT_SCALE
from lrjax.questions.zoom.covers import read_cover
from lrjax.questions.zoom.views import view_maker
from lrjax.results.shards import Shards
from lrjax.sharding import batch_sharding, from_first, put_batch, replicated
from lrjax.types import Array

VERSION = 3
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_TOP_VIEWS = 5
_RENORMALISED: weakref.WeakKeyDictionary[Predictor, Predictor] = weakref.WeakKeyDictionary()
_STORED = {"confidence": np.float16} | dict.fromkeys(("guess", "crops", "centre", "aggregated"), np.int16)
_MOST_CLASSES = np.iinfo(np.int16).max + 1


def inputs(options: Zoom, *, model: str, variant: str) -> dict[str, np.ndarray]:
    """Reads the files that the options name.

    Args:
        options: see `Zoom`.
        model: name of the backbone.
        variant: "vanilla", "lr_tk0", ...

    Returns:
        Further arguments of `run`.

    Raises:
        UserError: a file is missing or wrong, or has nothing of the model.
    """
    return {"aggregate": read_cover(options.aggregate, model=model, variant=variant)} if options.aggregate else {}


def run(
    predictor: Predictor,
    source: Any,
    classifier: np.ndarray,
    *,
    batch_size: int,
    resolutions: Sequence[int | str] = ("hr",),
    options: Zoom | None = None,
    aggregate: np.ndarray | None = None,
    shards: Shards | None = None,
    lr_tokens: Array | None = None,
    on_error: str = "error",
    workers: int = 0,
    title: str = "",
) -> Outcome:
    """Classifies all views of every image; a view is as large as the model's input (`ops.zoom.zoom_spec`).

    Images of up to 1024 pixels a side are resized on the devices, larger ones by Pillow, with equal pixels
    (`zoom_views.view_maker` tells the memory).

    Args:
        predictor: the backbone.
        source: random-access examples {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints}. A guess
            is right if it is among the labels.
        classifier: float32 [K, E] of `Predictor.classifier`, one row per class of the data set. Of a classifier of more
            classes, the rows of the data set's: the others never win, which is the published mask of the label space.
        batch_size: images per batch over all processes; a multiple of the number of devices.
        resolutions: ("hr",): zooming has no low resolutions.
        options: see `Zoom`.
        aggregate: views whose probabilities are combined, int [M], M >= 1; the number of views does not show in memory,
            which holds the largest probability and the sum of each class for an image and group of views.
        shards: where finished images are stored and found; None computes everything.
        lr_tokens: float [L + 1, N, D], or None for the vanilla model.
        on_error: what a damaged image does, "error" or "skip"; a skipped image counts nowhere.
        workers: decoding threads of this process.
        title: text of the progress bar.

    Returns:
        "zoom_acc1" of the published standard view, "zoom_upper_bound", the share of images that any view gets right,
        and "zoom_acc1_ROW_COLUMN_SCALE" of the five most accurate views; "zoom_5crop_RULE" and "zoom_10crop_RULE", RULE
        max or mean of probabilities, "zoom_centre_SCALE" of centre crops, and with `aggregate` "zoom_in_RULE",
        "zoom_out_RULE" and "zoom_224_RULE" of its views in each group. Per-example arrays: "index"; "label", [N], or
        [N, M] filled with -1 where there are sets of labels; "correct", uint8 [N, 41], the 324 views as bits
        (`np.packbits`); what `options.keep` names, [N, 324]; and int16 guesses, -1 for none: "crops" [N, 4] (`CROPS`),
        "centre" [N, 11] (`CENTRE_SCALES`), "aggregated" [N, 6] (`AGGREGATES`). Views are numbered as in `ops.zoom`.

    Raises:
        UserError: the data set is empty or has more than 32,768 classes, every image is damaged, the batch does not
            divide over the devices, low resolutions are asked for, a stored shard is damaged, or an
            embedding is not finite.
        ImageError: an image is damaged and `on_error` is "error".

    Reference:
        Taesiri et al. 2023, arXiv 2304.05538, section 4.1; Tables A5, A6 and A10; Figure A11.
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
    if len(classifier) > _MOST_CLASSES:
        raise UserError(
            f"the evaluator 'zoom' keeps guesses in 16 bits, of up to {_MOST_CLASSES} classes, but the data set has "
            f"{len(classifier)}; leave 'zoom' out of config.evaluation.evaluators"
        )
    members = _members(aggregate)
    classify = _classifier(predictor, classifier, options, lr_tokens, members=members, workers=workers)
    names = (*options.keep, *(("crops", "centre") * options.crops), *(("aggregated",) * (aggregate is not None)))
    step = -(-options.shard_size // batch_size) * batch_size
    ranges = [range(first, min(first + step, len(source))) for first in range(0, len(source), step)]
    finished = from_first(np.array([shards is not None and shards.has(_name(part)) for part in ranges]))
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
            parts.append(_shard(found, names))
            if shards is not None and jax.process_index() == 0:
                shards.add(_name(part), parts[-1])
    skipped = np.concatenate([part.pop("skipped") for part in parts])
    damaged = tuple(_damaged_name(source, int(index)) for index in skipped)
    samples = _joined(parts)
    if len(skipped) == len(source):
        raise ImageError(f"all {len(damaged)} images are damaged, the first is {damaged[0]}", damaged[0])
    if not np.array_equal(np.sort(np.concatenate([samples["index"], skipped])), np.arange(len(source))):
        raise AssertionError(f"{len(samples['index'])} images counted and {len(skipped)} skipped of {len(source)}")
    return Outcome(measurements=_measurements(samples), samples={"hr": samples}, skipped=damaged)


def _classifier(
    predictor: Predictor,
    classifier: np.ndarray,
    options: Zoom,
    lr_tokens: Array | None,
    *,
    members: np.ndarray,
    workers: int,
) -> Callable[[PixelBatch], dict[str, np.ndarray]]:
    """The function that classifies all views of a batch, on the mesh; its arrays have the rows of all processes."""
    mesh, row = predictor.mesh, predictor.row
    if options.normalisation == "imagenet":
        predictor = _with_imagenet_constants(predictor)
    shared = {"size": row.spec.image.size, "pass_order": row.preprocess.pass_order}
    zooms = [zoom_spec(scale, **shared) for scale in SCALES]
    ascending = np.argsort(SCALES)  # scales that are rendered together need similar numbers of taps
    weights = jax.device_put(classifier, replicated(mesh))
    score, score_crops, decide, gather = _programs(mesh)

    def classify(batch: PixelBatch) -> dict[str, np.ndarray]:
        width = int(_of_all(np.array([batch.labels.shape[1]])).max())
        labels = np.pad(batch.labels, ((0, 0), (0, width - batch.labels.shape[1])), constant_values=-1)
        placed = put_batch({"label": labels, "mask": batch.mask, "index": batch.index}, mesh)
        views = view_maker(batch, mesh, sizes=_of_all(batch.sizes), any_large=_any(batch.large), workers=workers)
        empty = np.zeros((len(labels), members.shape[2], len(classifier)), np.float32)
        totals, found = put_batch((empty, empty), mesh), []
        for group in ascending.reshape(-1, options.scales_at_once):
            embedded = predictor.image(views([zooms[scale] for scale in group]), lr_tokens)
            one, totals = score(embedded, weights, placed["label"], members[group], totals)
            found.append(one)
            jax.block_until_ready(found[-2:-1])  # views of two groups at most are in memory
        placed = gather(placed) | {"aggregated": decide(totals)}
        if options.crops:
            crops = views([crop_spec(mirrored=True, **shared)], list(centre_zoom_specs(**shared)))
            placed |= score_crops(predictor.image(crops, lr_tokens), weights)
        found, placed = jax.device_get((found, placed))
        finite = np.all([one.pop("finite") for one in found], axis=0)
        check_finite(finite | ~placed["mask"], row.name, lambda n: f"image {placed['index'][n]} of the data set")
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
def _programs(mesh: Mesh) -> tuple[Callable, Callable, Callable, Callable]:
    """The jitted functions that score and gather, compiled once for all data sets."""
    whole = replicated(mesh)
    return (
        jax.jit(_score, out_shardings=(whole, batch_sharding(mesh))),
        jax.jit(_score_crops, out_shardings=whole),
        jax.jit(_decide, out_shardings=whole),
        jax.jit(lambda tree: tree, out_shardings=whole),
    )


def _score(
    embedded: Array, weights: Array, label: Array, members: Array, totals: tuple[Array, Array]
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """The guesses of the views of some scales, and the largest probabilities and their sums [B, G, K] so far."""
    logits = similarities(LOGIT_SCALE * embedded, weights)  # [B, V, K]
    probabilities = jax.nn.softmax(logits, axis=-1)
    guess, confidence = jnp.argmax(logits, axis=-1).astype(jnp.int32), probabilities.max(axis=-1)
    correct = (guess[:, :, None] == label[:, None, :]).any(axis=-1)
    by_view = members.reshape(1, guess.shape[1], members.shape[2], 1)  # by scale and anchor, as the views are
    chosen = jnp.where(by_view, probabilities[:, :, None], 0)  # [B, V, G, K]
    totals = jnp.maximum(totals[0], chosen.max(axis=1)), totals[1] + chosen.sum(axis=1)
    finite = jnp.isfinite(embedded).all(axis=(1, 2))
    return {"correct": correct, "confidence": confidence, "guess": guess, "finite": finite}, totals


def _score_crops(embedded: Array, weights: Array) -> dict[str, Array]:
    probabilities = jax.nn.softmax(similarities(LOGIT_SCALE * embedded, weights), axis=-1)
    crops, centre = probabilities[:, :10], probabilities[:, 10:]
    combined = [rule(crops[:, :count], axis=1) for count in (5, 10) for rule in (jnp.max, jnp.mean)]  # as in CROPS
    return {"crops": _guess(jnp.stack(combined, axis=1)), "centre": _guess(centre)}


def _decide(totals: tuple[Array, Array]) -> Array:
    """Guesses in the order of `AGGREGATES`, [B, 2 G]."""
    images, groups, classes = totals[0].shape
    return _guess(jnp.stack(totals, axis=2).reshape(images, 2 * groups, classes))


def _guess(probabilities: Array) -> Array:
    """The most probable class, `NO_LABEL` where there is none: no view, or numbers that overflowed."""
    guess = jnp.argmax(probabilities, axis=-1).astype(jnp.int32)
    return jnp.where(probabilities.max(axis=-1) > 0, guess, NO_LABEL)


def _members(views: np.ndarray | None) -> np.ndarray:
    """Which view counts in which of the G groups, bool [36, 9, G], by scale and anchor; G is 0 without a set."""
    if views is None:
        return np.zeros((len(SCALES), len(ANCHORS), 0), bool)
    member = [np.isin(np.arange(VIEWS), np.intersect1d(views, group)) for group in GROUPS.values()]
    return np.stack(member, axis=1).reshape(len(ANCHORS), len(SCALES), -1).swapaxes(0, 1)


def _in_order(groups: list[np.ndarray], scales: np.ndarray) -> np.ndarray:
    """Views by scale, [B, s * 9] each, the scales in any order, as views in the order of `ops.zoom`, [B, 324]."""
    by_scale = np.concatenate(groups, axis=1).reshape(len(groups[0]), len(SCALES), len(ANCHORS))
    ordered = np.empty_like(by_scale)
    ordered[:, scales] = by_scale
    return ordered.swapaxes(1, 2).reshape(-1, VIEWS)


def _shard(found: list[dict[str, np.ndarray]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """What is stored of some batches; rows without an image are left out."""
    rows = _joined(found)
    mask = rows["mask"]
    arrays = {name: rows[name][mask] for name in ("index", "label")}
    arrays["correct"] = np.packbits(rows["correct"][mask], axis=1)
    arrays |= {name: rows[name][mask].astype(_STORED[name]) for name in names}
    return arrays | {"skipped": rows["index"][~mask & (rows["index"] >= 0)]}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several batches or shards; sets of labels are filled up with -1, and single labels are [N]."""
    labels = [part["label"] if part["label"].ndim == 2 else part["label"][:, None] for part in parts]
    width = max(rows.shape[1] for rows in labels)
    labels = [np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1) for rows in labels]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "label"}
    label = np.concatenate(labels)
    return joined | {"label": label[:, 0] if width == 1 else label}


def _measurements(samples: dict[str, np.ndarray]) -> tuple[Measurement, ...]:
    table = np.unpackbits(samples["correct"], axis=1, count=VIEWS).astype(bool)
    count, hits = len(table), table.sum(axis=0)

    def one(name: str, right: int) -> Measurement:
        return Measurement(f"zoom_{name}", "hr", int(right) / count, count)

    best = [
        one("acc1_{}_{}_{}".format(*ANCHORS[view // len(SCALES)], SCALES[view % len(SCALES)]), hits[view])
        for view in np.argsort(-hits, kind="stable")[:_TOP_VIEWS]
    ]
    centre = [f"centre {scale}" for scale in CENTRE_SCALES]
    more = [
        one(name.removeprefix("zoom-").replace("-", "").replace(" ", "_"), in_label_set(guess, samples["label"]).sum())
        for metrics, array in ((CROPS, "crops"), (centre, "centre"), (AGGREGATES, "aggregated"))
        if array in samples
        for name, guess in zip(metrics, samples[array].T, strict=True)
        if (guess != NO_LABEL).any()
    ]
    return one("acc1", hits[STANDARD_VIEW]), one("upper_bound", table.any(axis=1).sum()), *best, *more


def _name(part: range) -> str:
    return f"{part.start}-{part.stop}"


def _damaged_name(source: Any, index: int) -> str:
    try:
        return str(source[index]["id"])
    except ImageError as error:
        return error.name


def _any(things: Collection) -> bool:
    """Whether any process has any."""
    return bool(_of_all(np.array([len(things)])).any())


def _of_all(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes."""
    if jax.process_count() == 1:
        return rows
    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))
