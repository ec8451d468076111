"""Zero-shot classification at every resolution: one decode per image, all views in the graph, exact counts."""

import collections
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from lrjax.data.images import ImageError
from lrjax.data.loader import Batch, batches
from lrjax.errors import UserError
from lrjax.evaluators import Measurement, Outcome
from lrjax.metrics.accuracy import topk_correct
from lrjax.ops.preprocess import ViewSpec, batch_view_taps
from lrjax.predict import Predictor
from lrjax.sharding import put_batch, replicated
from lrjax.types import Array

VERSION = 1
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
    workers: int = 0,
    title: str = "",
) -> Outcome:
    """Measures top-1 and top-5 accuracy.

    Args:
        predictor: the backbone.
        source: random-access examples {"image": uint8 [H, W, 3], "label": int, "id": str}.
        classifier: float32 [K, E] of `Predictor.classifier`.
        resolutions: LR sides in pixels, "hr" for the native view.
        batch_size: images per batch over all processes; a multiple of the number of devices.
        lr_tokens: float [L + 1, N, D], or None for the vanilla model.
        on_error: what a damaged image does, "error" or "skip"; a skipped image counts nowhere.
        workers: decoding threads of this process.
        title: text of the progress bar.

    Returns:
        acc1 and, with at least 5 classes, acc5 per resolution; per-example arrays "index", "label" and "top5".

    Raises:
        UserError: the data set is empty, every image is damaged, the batch does not divide over the devices, or a
            resolution is too large.
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
    weights = jax.device_put(classifier, replicated(mesh))
    score = jax.jit(functools.partial(_score, top=min(_TOP, len(classifier))), out_shardings=replicated(mesh))
    counts, parts, skipped = collections.Counter(), [], []
    loader = batches(
        source,
        batch_size // processes,
        shard=(jax.process_index(), processes),
        workers=workers,
        on_error=on_error,
    )
    with tqdm(total=len(source), desc=title, unit="img", disable=jax.process_index() > 0) as progress:
        progress.set_postfix_str("first batch, compiles what is new")
        for batch in loader:
            canvas = _common_canvas(batch)
            stages = tuple(batch_view_taps(batch.sizes, spec, canvas=canvas.shape[1]) for spec in specs)
            placed = put_batch(
                {"canvas": canvas, "stages": stages, "label": batch.labels, "mask": batch.mask, "index": batch.index},
                mesh,
            )
            views = predictor.views(placed["canvas"], placed["stages"])
            embedded = predictor.image(views, lr_tokens)
            scored = jax.device_get(score(embedded, weights, placed["label"], placed["mask"], placed["index"]))
            counts.update({name: scored[name] for name in ("acc1", "acc5", "n")})
            parts.append({name: scored[name][scored["mask"]] for name in ("index", "label", "top")})
            skipped += batch.skipped
            progress.set_postfix_str("")
            progress.update(int(scored["n"]))
    samples = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
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


def _score(embedded: Array, weights: Array, label: Array, mask: Array, index: Array, *, top: int) -> dict[str, Array]:
    logits = LOGIT_SCALE * embedded @ weights.T  # [B, R, K]
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
    }


def _common_canvas(batch: Batch) -> np.ndarray:
    """The canvas of this process's rows, enlarged to the largest side over all processes."""
    if jax.process_count() == 1:
        return batch.images
    side = int(multihost_utils.process_allgather(np.int32(batch.images.shape[1])).max())
    margin = side - batch.images.shape[1]
    return np.pad(batch.images, ((0, 0), (0, margin), (0, margin), (0, 0)))


def _all_names(names: list[str]) -> list[str]:
    """The names that all processes found."""
    if jax.process_count() == 1:
        return names
    text = np.frombuffer("\0".join(names).encode() + b"\0", np.uint8)
    length = int(multihost_utils.process_allgather(np.int32(len(text))).max())
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
