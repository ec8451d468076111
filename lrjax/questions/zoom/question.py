"""Zero-shot classification of the 324 zoom views of every image: which of them are right, and what several tell."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Float32, Int, Int16, Shaped

from lrjax.config import path_field
from lrjax.data.loader import Batch
from lrjax.display.page import Page
from lrjax.errors import UserError
from lrjax.metrics.aggregation import AGGREGATES, CROPS
from lrjax.metrics.label_sets import NO_LABEL, in_label_set
from lrjax.metrics.zoom import GROUPS, STANDARD_VIEW
from lrjax.models.build import similarities
from lrjax.models.row import IMAGENET
from lrjax.ops.zoom import ANCHORS, CENTRE_SCALES, SCALES, VIEWS, centre_zoom_specs, crop_spec, zoom_spec
from lrjax.questions.base import Question
from lrjax.questions.bench import LOGIT_SCALE, Bench, Job
from lrjax.questions.case import Arrays, Case, Measurement, Need, Outcomes, Samples, Score, Setting
from lrjax.questions.zoom.covers import read_cover
from lrjax.questions.zoom.page import zoom_page
from lrjax.questions.zoom.views import view_maker
from lrjax.results.row import Row
from lrjax.sharding import batch_sharding, put_batch, replicated
from lrjax.types import Array

_TOP_VIEWS = 5
_MOST_CLASSES = np.iinfo(np.int16).max + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zoom(Question):
    """Which of the 324 zoom views of an image are right, and what several views tell together?

    A view is as large as the model's input (`ops.zoom.zoom_spec`). Images of up to 1024 pixels a side are resized on
    the devices, larger ones by Pillow, with equal pixels (`views.view_maker` tells the memory). Of a classifier of more
    classes than the data set has, the rows of the data set's are taken: the others never win, which is the published
    mask of the label space.

    Metrics: "zoom_acc1" of the published standard view, "zoom_upper_bound", the share of images that any view gets
    right, and "zoom_acc1_ROW_COLUMN_SCALE" of the five most accurate views; "zoom_5crop_RULE" and "zoom_10crop_RULE",
    RULE max or mean of probabilities, "zoom_centre_SCALE" of centre crops, and with `aggregate` "zoom_in_RULE",
    "zoom_out_RULE" and "zoom_224_RULE" of its views in each group.

    Samples: "index"; "label", [N], or [N, M] filled with -1 where there are sets of labels; "correct", uint8 [N, 41],
    the 324 views as bits (`np.packbits`), numbered as in `ops.zoom`; what `keep` names, [N, 324]; and int16 guesses, -1
    for none: "crops" [N, 4] (`CROPS`), "centre" [N, 11] (`CENTRE_SCALES`), "aggregated" [N, 6] (`AGGREGATES`).

    Attributes:
        normalisation: "imagenet" for the mean and deviation of ImageNet, with which the published evaluation normalises
            the input of CLIP too, "native" for those of the weights.
        scales_at_once: scales, of nine views each, that are rendered and classified together; a divisor of 36. Memory
            grows with it and with `evaluation.batch_size`.
        keep: what is stored of every view besides whether it is right: "confidence", the probability of the guess
            (float16), and "guess", its class.
        aggregate: file of sets of views, which `python -m lrjax.questions.zoom RESULTS --covers FILE` writes; the
            probabilities under the views of the model's set are combined, by their maximum and by their mean, while
            the views are classified. "" combines nothing.
        crops: whether 5-crop, 10-crop and centre crops at 11 scales are classified too, 21 views more.

    Reference:
        Taesiri et al. 2023, arXiv 2304.05538, section 4.1; Tables A5, A6 and A10; Figure A11.
    """

    version: ClassVar[int] = 3
    headline: ClassVar[str] = "zoom_upper_bound"
    higher_is_better: ClassVar[Mapping[str, bool]] = {"zoom_acc1": True, "zoom_upper_bound": True}

    normalisation: str = "imagenet"
    scales_at_once: int = 1
    keep: tuple[str, ...] = ()
    aggregate: str = path_field(default="")
    crops: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.normalisation not in ("imagenet", "native"):
            raise UserError(f"normalisation is {self.normalisation!r}; use 'imagenet' or 'native'")
        if not 1 <= self.scales_at_once <= 36 or 36 % self.scales_at_once:
            raise UserError(f"scales_at_once is {self.scales_at_once}; use 1, 2, 3, 4, 6, 9, 12, 18 or 36")
        if unknown := [name for name in self.keep if name not in ("confidence", "guess")]:
            raise UserError(f"keep has {unknown[0]!r}; use 'confidence' and 'guess'")

    def plan(self, setting: Setting) -> Iterable[Case]:
        """Plans a case per data set."""
        for dataset, source in setting.datasets:
            yield Case(dataset=dataset, needs={"test": Need(dataset=dataset, source=source, read="own")})

    def inputs(self, setting: Setting) -> Mapping[str, Any]:
        """Returns the views of the model's set in the file `aggregate`."""
        if not self.aggregate:
            return {}
        return {"aggregate": read_cover(self.aggregate, model=setting.model, variant=setting.variant)}

    def job(self, need: Need, setting: Setting, bench: Bench) -> Job:
        """Classifies all views of every image."""
        return Job(self._program(need, setting, bench))

    def _program(self, need: Need, setting: Setting, bench: Bench) -> Callable[[Batch, Array], Mapping[str, Array]]:
        """What is computed of a batch: the rows of all processes, on the mesh."""
        predictor, mesh, row = bench.predictor, bench.predictor.mesh, bench.predictor.row
        constants = IMAGENET if self.normalisation == "imagenet" else None
        shared = {"size": row.spec.image.size, "pass_order": row.preprocess.pass_order}
        zooms = [zoom_spec(scale, **shared) for scale in SCALES]
        ascending = np.argsort(SCALES)  # scales that are rendered together need similar numbers of taps
        head = bench.head(need.dataset)
        if len(head) > _MOST_CLASSES:
            raise UserError(
                f"zoom keeps guesses in 16 bits, of up to {_MOST_CLASSES} classes, but {need.dataset.name} has "
                f"{len(head)}; leave it out of config.questions"
            )
        weights = jax.device_put(head, replicated(mesh))
        members = _members(self.inputs(setting).get("aggregate"))
        score, score_crops, decide, order = _programs(mesh)

        def program(batch: Batch, label: Array) -> Mapping[str, Array]:
            views = view_maker(
                batch, mesh, sizes=_of_all(batch.sizes), any_large=_any(batch.large), workers=bench.workers
            )
            empty = np.zeros((len(batch.mask), members.shape[2], len(head)), np.float32)
            totals, found = put_batch((empty, empty), mesh), []
            for group in ascending.reshape(-1, self.scales_at_once):
                embedded = predictor.image(views([zooms[scale] for scale in group]), constants)
                one, totals = score(embedded, weights, label, members[group], totals)
                found.append({name: one[name] for name in ("correct", "finite", *self.keep)})
                jax.block_until_ready(found[-2:-1])  # views of two groups at most are in memory
            rows = order(found)
            if members.shape[2]:
                rows["aggregated"] = decide(totals)
            if self.crops:
                crops = views([crop_spec(mirrored=True, **shared)], list(centre_zoom_specs(**shared)))
                rows |= score_crops(predictor.image(crops, constants), weights)
            return rows

        return program

    def score(self, case: Case, records: Mapping[str, Arrays]) -> Score:
        """Counts, of the best views and of what several tell."""
        samples = records["test"]
        table = np.unpackbits(samples["correct"], axis=1, count=VIEWS).astype(bool)
        count, hits = len(table), table.sum(axis=0)

        def one(name: str, right: np.integer) -> Measurement:
            return Measurement(f"zoom_{name}", int(right) / count, count)

        best = [
            one("acc1_{}_{}_{}".format(*ANCHORS[view // len(SCALES)], SCALES[view % len(SCALES)]), hits[view])
            for view in np.argsort(-hits, kind="stable")[:_TOP_VIEWS]
        ]
        centre = [f"centre {scale}" for scale in CENTRE_SCALES]
        more = [
            one(_metric(name), in_label_set(guess, samples["label"]).sum())
            for metrics, array in ((CROPS, "crops"), (centre, "centre"), (AGGREGATES, "aggregated"))
            if array in samples
            for name, guess in zip(metrics, samples[array].T, strict=True)
            if (guess != NO_LABEL).any()
        ]
        whole = [one("acc1", hits[STANDARD_VIEW]), one("upper_bound", table.any(axis=1).sum())]
        return Score([*whole, *best, *more], {name: array for name, array in samples.items() if name != "skipped"})

    @classmethod
    def outcomes(cls, samples: Arrays) -> Mapping[str, Outcomes]:
        """Returns which images are right in the standard view, and which in any."""
        table = np.unpackbits(samples["correct"], axis=1, count=VIEWS).astype(bool)
        right = {"zoom_acc1": table[:, STANDARD_VIEW], "zoom_upper_bound": table.any(axis=1)}
        return {metric: Outcomes(samples["index"], (values,)) for metric, values in right.items()}

    @classmethod
    def page(cls, rows: Sequence[Row], samples: Samples, *, duplicates: str = "error") -> Page | None:
        """Shows upper bounds, where to look and at which scale, and the views of one image."""
        return zoom_page(rows, samples, duplicates=duplicates)


def _metric(name: str) -> str:
    return name.removeprefix("zoom-").replace("-", "").replace(" ", "_")


@functools.cache
def _programs(mesh: Mesh) -> tuple[Callable, Callable, Callable, Callable]:
    """The jitted functions that score and order, compiled once for all data sets."""
    whole = replicated(mesh)
    return (
        jax.jit(_score, out_shardings=(whole, batch_sharding(mesh))),
        jax.jit(_score_crops, out_shardings=whole),
        jax.jit(_decide, out_shardings=whole),
        jax.jit(_in_order, out_shardings=whole),
    )


def _score(
    embedded: Float32[Array, "B V E"],
    weights: Float32[Array, "K E"],
    label: Int[Array, "B M"],
    members: Bool[Array, "scales anchors G"],
    totals: tuple[Float32[Array, "B G K"], Float32[Array, "B G K"]],
) -> tuple[dict[str, Array], tuple[Float32[Array, "B G K"], Float32[Array, "B G K"]]]:
    """The guesses of the views of some scales, and the largest probabilities and their sums so far."""
    logits = similarities(LOGIT_SCALE * embedded, weights)  # [B, V, K]
    probabilities = jax.nn.softmax(logits, axis=-1)
    guess, confidence = jnp.argmax(logits, axis=-1).astype(jnp.int32), probabilities.max(axis=-1)
    correct = (guess[:, :, None] == label[:, None, :]).any(axis=-1)
    by_view = members.reshape(1, guess.shape[1], members.shape[2], 1)  # by scale and anchor, as the views are
    chosen = jnp.where(by_view, probabilities[:, :, None], 0)  # [B, V, G, K]
    totals = jnp.maximum(totals[0], chosen.max(axis=1)), totals[1] + chosen.sum(axis=1)
    finite = jnp.isfinite(embedded).all(axis=(1, 2))
    return {"correct": correct, "confidence": confidence, "guess": guess, "finite": finite}, totals


def _score_crops(embedded: Float32[Array, "B V E"], weights: Float32[Array, "K E"]) -> dict[str, Int16[Array, "B _"]]:
    probabilities = jax.nn.softmax(similarities(LOGIT_SCALE * embedded, weights), axis=-1)
    crops, centre = probabilities[:, :10], probabilities[:, 10:]
    combined = [rule(crops[:, :count], axis=1) for count in (5, 10) for rule in (jnp.max, jnp.mean)]  # as in CROPS
    return {"crops": _guess(jnp.stack(combined, axis=1)), "centre": _guess(centre)}


def _decide(totals: tuple[Float32[Array, "B G K"], Float32[Array, "B G K"]]) -> Int16[Array, "B 2*G"]:
    """Guesses in the order of `AGGREGATES`."""
    images, groups, classes = totals[0].shape
    return _guess(jnp.stack(totals, axis=2).reshape(images, 2 * groups, classes))


def _guess(probabilities: Float[Array, "B V K"]) -> Int16[Array, "B V"]:
    """The most probable class, `NO_LABEL` where there is none: no view, or numbers that overflowed."""
    guess = jnp.argmax(probabilities, axis=-1)
    return jnp.where(probabilities.max(axis=-1) > 0, guess, NO_LABEL).astype(jnp.int16)


def _members(views: Int[np.ndarray, "M"] | None) -> Bool[np.ndarray, "36 9 G"]:
    """Which view counts in which of the G groups, by scale and anchor; G is 0 without a set."""
    if views is None:
        return np.zeros((len(SCALES), len(ANCHORS), 0), bool)
    member = [np.isin(np.arange(VIEWS), np.intersect1d(views, group)) for group in GROUPS.values()]
    return np.stack(member, axis=1).reshape(len(ANCHORS), len(SCALES), -1).swapaxes(0, 1)


def _in_order(groups: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Views by ascending scale, [B, s * 9] in each group, as views in the order of `ops.zoom`, [B, 324], compact."""
    place = np.argsort(np.argsort(SCALES))

    def ordered(name: str) -> Shaped[Array, "B 324"]:
        by_scale = jnp.concatenate([one[name] for one in groups], axis=1).reshape(-1, len(SCALES), len(ANCHORS))
        return jnp.swapaxes(by_scale[:, place], 1, 2).reshape(-1, VIEWS)

    stored = {"correct": lambda x: jnp.packbits(x, axis=1), "confidence": lambda x: x.astype(jnp.float16)}
    compact = stored | {"guess": lambda x: x.astype(jnp.int16)}
    finite = jnp.stack([one["finite"] for one in groups]).all(axis=0)
    return {name: compact[name](ordered(name)) for name in groups[0] if name != "finite"} | {"finite": finite}


def _any(things: Collection) -> bool:
    """Whether any process has any."""
    return bool(_of_all(np.array([len(things)])).any())


def _of_all(rows: Shaped[np.ndarray, "B *rest"]) -> Shaped[np.ndarray, "all *rest"]:
    """The rows of all processes."""
    if jax.process_count() == 1:
        return rows
    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))
