"""Zero-shot classification at every resolution: one decode per image, all views in the graph, exact counts."""

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from tqdm import tqdm

from lrjax.data.images import ImageError
from lrjax.data.loader import Batch, batches
from lrjax.errors import UserError
from lrjax.metrics.accuracy import topk_correct
from lrjax.models.build import similarities
from lrjax.models.predict import Predictor, check_finite
from lrjax.ops.preprocess import ViewSpec
from lrjax.questions import Measurement, Outcome
from lrjax.sharding import put_batch, replicated
from lrjax.types import Array

VERSION = 2
LOGIT_SCALE = 100.0  # constant in LR0.FM's evaluation; it leaves the ranking as it is
_TOP = 5


def view_specs(predictor: Predictor, resolutions: Sequence[int | str]) -> tuple[ViewSpec, ...]:
    """Returns the view of the row's own preprocessing at every resolution ("hr" has no LR stage).

    Raises:
        UserError: a resolution is larger than the model's input.
    """
    size, native = predictor.row.spec.image.size, predictor.row.preprocess
    for side in resolutions:
        if side != "hr" and side > size:
            raise UserError(
                f"resolution {side} is larger than the {size} px input of {predictor.row.name}; "
                f"use sides up to {size} in config.evaluation.resolutions"
            )
    return tuple(
        ViewSpec(
            size=size,
            mode=native.mode,
            kernel=native.kernel,
            low=None if side == "hr" else side,
            pass_order=native.pass_order,
        )
        for side in resolutions
    )


def run(
    predictor: Predictor,
    source: Any,
    classifier: np.ndarray,
    *,
    resolutions: Sequence[int | str],
    batch_size: int,
    lr_tokens: Array | None = None,
    on_error: str = "error",
    rgb: str = "after",
    workers: int = 0,
    title: str = "",
) -> Outcome:
    """Measures top-1 and top-5 accuracy.

    Args:
        predictor: the backbone.
        source: random-access examples {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints, "id":
            str}. A guess is right if it is in the set of labels.
        classifier: float32 [K, E] of `Predictor.classifier`.
        resolutions: LR sides in pixels, "hr" for the native view.
        batch_size: images per batch over all processes; a multiple of the number of devices.
        lr_tokens: float [L + 1, N, D], or None for the vanilla model.
        on_error: what a damaged image does, "error" or "skip"; a skipped image counts nowhere.
        rgb: "after" converts images to RGB after the resizes, as LR0.FM does, "before" before them.
        workers: decoding threads of this process.
        title: text of the progress bar.

    Returns:
        acc1 and, with at least 5 classes, acc5 per resolution; per-example arrays "index", "top5" and "label", which is
        [n], or [n, M] filled with -1 where there are sets of labels.

    Raises:
        UserError: the data set is empty, every image is damaged, the batch does not divide over the devices, a
            resolution is too large, or an embedding is not finite.
        ImageError: an image is damaged and `on_error` is "error".

    Reference:
        LR0.FM (arXiv 2502.03950), section 3.
    """
    mesh, processes = predictor.mesh, jax.process_count()
    if batch_size % mesh.size:
        raise UserError(
            f"config.evaluation.batch_size {batch_size} does not divide over {mesh.size} devices; use a multiple of it"
        )
    specs = view_specs(predictor, resolutions)
    counts, parts, skipped = collections.Counter(), [], []
    loader = batches(
        source,
        batch_size // processes,
        specs=specs,
        rgb=rgb,
        host=not predictor.resamples,
        shard=(jax.process_index(), processes),
        workers=workers,
        on_error=on_error,
    )
    with tqdm(total=len(source), desc=title, unit="img", disable=jax.process_index() > 0) as progress:
        progress.set_postfix_str("first batch, compiles what is new")
        for found in _one_behind(_scores(predictor, loader, classifier, lr_tokens, skipped)):
            check_finite(
                found["finite"] | ~found["mask"], predictor.row.name, lambda n, at=found: _name(at["index"][n])
            )
            counts.update({name: found[name] for name in ("acc1", "acc5", "n")})
            parts.append({name: found[name][found["mask"]] for name in ("index", "top", "label")})
            progress.set_postfix_str("")
            progress.update(int((found["index"] >= 0).sum()))  # skipped images are done as well
    samples = _joined(parts) if parts else {}
    skipped = _all_names(skipped)
    _check_counts(source, counts, samples, skipped)
    total = int(counts["n"])
    metrics = ("acc1", "acc5") if len(classifier) >= _TOP else ("acc1",)
    return Outcome(
        measurements=tuple(
            Measurement(metric, side, float(counts[metric][i]) / total, total)
            for i, side in enumerate(resolutions)
            for metric in metrics
        ),
        samples={
            side: {"index": samples["index"], "label": samples["label"], "top5": samples["top"][:, i]}
            for i, side in enumerate(resolutions)
        },
        skipped=tuple(skipped),
    )


def _scores(
    predictor: Predictor, loader: Iterable[Batch], classifier: np.ndarray, lr_tokens: Array | None, skipped: list[str]
) -> Iterator[dict[str, Array]]:
    """The scores of every batch, on their way; the names of skipped images are appended to `skipped`."""
    mesh = predictor.mesh
    weights = jax.device_put(classifier, replicated(mesh))
    score = _program(mesh, min(_TOP, len(classifier)))
    width = 1
    for batch in loader:
        skipped += batch.skipped
        labels = batch.labels.reshape(len(batch.labels), -1)
        width = _largest(max(width, labels.shape[1]))
        labels = np.pad(labels, ((0, 0), (0, width - labels.shape[1])), constant_values=-1)
        embedded = predictor.image(predictor.views(batch), lr_tokens)
        placed = put_batch({"label": labels, "mask": batch.mask, "index": batch.index}, mesh)
        yield score(embedded, weights, **placed)


def _one_behind(scores: Iterable[dict[str, Array]]) -> Iterator[dict[str, np.ndarray]]:
    """Fetches each batch when the next one is on its way, so that the device does not wait for the host."""
    previous = None
    for one in scores:
        if previous is not None:
            yield jax.device_get(previous)
        previous = one
    if previous is not None:
        yield jax.device_get(previous)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """All examples; labels are [n] where every image has one, else [n, M]."""
    width = parts[-1]["label"].shape[1]  # it never shrinks from one batch to the next
    for part in parts:
        label = part["label"]
        part["label"] = np.pad(label, ((0, 0), (0, width - label.shape[1])), constant_values=-1)
    samples = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return samples | {"label": samples["label"][:, 0] if width == 1 else samples["label"]}


@functools.cache
def _program(mesh: Mesh, top: int) -> Callable[..., dict[str, Array]]:
    """The jitted scores, compiled once for all data sets of as many classes."""
    return jax.jit(functools.partial(_score, top=top), out_shardings=replicated(mesh))


def _score(embedded: Array, weights: Array, label: Array, mask: Array, index: Array, *, top: int) -> dict[str, Array]:
    logits = similarities(LOGIT_SCALE * embedded, weights)  # [B, R, K]
    by_resolution = jnp.swapaxes(logits, 0, 1)

    def correct(k: int) -> Array:
        return jax.vmap(lambda one: topk_correct(one, label, mask, k).sum())(by_resolution)

    return {
        "acc1": correct(1),
        "acc5": correct(top),
        "n": mask.sum(),
        "top": jax.lax.top_k(logits, top)[1].astype(jnp.int32),
        "label": label,
        "mask": mask,
        "index": index,
        "finite": jnp.isfinite(embedded).all(axis=(1, 2)),
    }


def _name(index: int) -> str:
    return f"image {index} of the data set"


def _largest(number: int) -> int:
    """The largest value of a number over all processes."""
    return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())


def _all_names(names: list[str]) -> list[str]:
    """The names that all processes found."""
    if jax.process_count() == 1:
        return names
    text = np.frombuffer("\0".join(names).encode() + b"\0", np.uint8)
    length = _largest(len(text))
    rows = multihost_utils.process_allgather(np.pad(text, (0, length - len(text))))
    return [name for row in rows for name in row.tobytes().decode().split("\0") if name]


def _check_counts(source: Any, counts: dict, samples: dict, skipped: list[str]) -> None:
    left_out = len(skipped)
    if len(source) == 0:
        raise UserError("the data set has no images; check its folder")
    if left_out == len(source):
        raise ImageError(
            f"all {left_out} images are damaged, the first is {skipped[0]}; nothing can be measured", skipped[0]
        )
    seen = np.sort(samples["index"])
    if int(counts["n"]) + left_out != len(source) or len(np.unique(seen)) != len(seen):
        raise AssertionError(f"{counts['n']} images counted and {left_out} skipped of {len(source)}")
