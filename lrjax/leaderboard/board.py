"""The published backbones and the user's own runs in one table of accuracies, scored alike."""

import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from lrjax.data.datasets import get_dataset
from lrjax.data.published import DATASETS, RESOLUTIONS, load_published
from lrjax.errors import UserError
from lrjax.leaderboard.completeness import MARK
from lrjax.leaderboard.scores import HIGH_RESOLUTION, Results, accuracies_of
from lrjax.metrics import intervals, robustness
from lrjax.results.row import Row

METRICS = ("acc", "sar", "war")
_METRIC = re.compile(r"(acc|sar|war)[-_ ]?(\d+|hr)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the leaderboard; what is not known of a user's own model is None or "".

    Attributes:
        name: of a published model as printed; of an own run "MODEL [VARIANT]".
        family: for instance "EVA-CLIP"; "own" for an own run of an unpublished architecture.
        own: whether it is a run of the user.
        backbone: architecture and weights, see `PublishedModel`; of an own run the backbone that its weights fit.
        source: of an own run with other weights than those of the backbone, where they lie.
        tower: "vit" or "resnet".
        image_size: input side in pixels.
        patch: patch side in pixels; 0 for a ResNet.
        parameters: number of parameters.
        gflops: forward pass of the image tower, in units of 1e9 operations.
        data: pre-training data.
        pairs: pre-training image-text pairs, in millions.
        finetuned: data set of a later fine-tuning.
        native_hr: whether the "hr" accuracies are at the input size.
        incomplete: data sets of which it did not see all images, each with how many it saw ("20 of 5,400"); the name
            ends with `completeness.MARK` then, and it has no rank.
    """

    name: str
    family: str
    own: bool = False
    backbone: str = ""
    source: str = ""
    tower: str = ""
    image_size: int | None = None
    patch: int | None = None
    parameters: int | None = None
    gflops: float | None = None
    data: str = ""
    pairs: float | None = None
    finetuned: str = ""
    native_hr: bool = True
    incomplete: tuple[tuple[str, str], ...] = ()

    def over(self, datasets: Sequence[str]) -> "Entry":
        """Returns the entry as it stands among results on some data sets."""
        incomplete = tuple(pair for pair in self.incomplete if pair[0] in datasets)
        name = self.name.removesuffix(f" {MARK}") + (f" {MARK}" if incomplete else "")
        return dataclasses.replace(self, name=name, incomplete=incomplete)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Accuracies of M entries on D data sets at R resolutions, and the scores that follow from them.

    Attributes:
        entries: the lines, length M.
        datasets: the columns, length D.
        resolutions: R resolutions in pixels, and "hr".
        top1: fractions, nan where a run was not evaluated.
        reference: A_HR that robustness divides by; for a modified model that of the vanilla model.
        classes: class count by data set.
        weights: WAR weight by data set.
        alpha: steepness of the discount near chance.
        suspects: why a cell is doubtful, by entry name, data set and resolution.
        note: what the scores leave out, or "".
        images: numbers of images behind the reference, nan where they are not known, as of published figures;
            None where none is known.
    """

    entries: tuple[Entry, ...]
    datasets: tuple[str, ...]
    resolutions: tuple[int | str, ...]
    top1: Float64[np.ndarray, "M D R"]
    reference: Float64[np.ndarray, "M D"]
    classes: Mapping[str, int]
    weights: Mapping[str, float]
    alpha: float = robustness.ALPHA
    suspects: Mapping[tuple[str, str, int | str], str] = dataclasses.field(default_factory=dict)
    note: str = ""
    images: Float64[np.ndarray, "M D"] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries."""
        return tuple(entry.name for entry in self.entries)

    @property
    def families(self) -> tuple[str, ...]:
        """Families that have entries, in alphabetical order."""
        return tuple(sorted({entry.family for entry in self.entries}, key=str.lower))

    @property
    def published(self) -> "Leaderboard":
        """The leaderboard without own runs."""
        return self.keep(lambda entry: not entry.own)

    def accuracy(self, resolution: int | str) -> Float64[np.ndarray, "M D"]:
        """Returns top-1, fractions.

        Raises:
            UserError: there is no such resolution.
        """
        if resolution not in self.resolutions:
            raise UserError(f"there is no resolution {resolution!r}; use {', '.join(map(str, self.resolutions))}")
        return self.top1[..., self.resolutions.index(resolution)]

    def relative(self, resolution: int | str) -> Float64[np.ndarray, "M D"]:
        """Returns relative robustness gamma, nan where it is undefined (`robustness.relative_robustness`).

        So it is where the reference is 0, or not above chance for the number of images behind it; published figures,
        whose numbers of images are not known, are taken as they are.
        """
        return np.where(self.above_chance, self._defined(resolution, robustness.relative_robustness), np.nan)

    def improved(self, resolution: int | str) -> Float64[np.ndarray, "M D"]:
        """Returns improved robustness Gamma, nan where it is undefined (`robustness.improved_robustness`)."""
        classes = np.array([self.classes[name] for name in self.datasets])
        return self._defined(resolution, functools.partial(robustness.improved_robustness, alpha=self.alpha), classes)

    @property
    def above_chance(self) -> Bool[np.ndarray, "M D"]:
        """Whether the reference is above chance; true where the number of images is not known."""
        if self.images is None:
            return np.ones(self.reference.shape, bool)
        classes = np.array([self.classes[name] for name in self.datasets])
        return np.isnan(self.images) | intervals.above_chance(self.reference, self.images, classes)

    def notes(self, number: int) -> list[str]:
        """Says what an entry did not see and which scores it does not have, and why; sentences."""
        entry, found = self.entries[number], []
        if entry.incomplete:
            seen = ", ".join(f"{text} images of {dataset}" for dataset, text in entry.incomplete)
            found.append(f"{entry.name} has no rank, for it saw only {seen}.")
        if names := [name for name, above in zip(self.datasets, self.above_chance[number], strict=True) if not above]:
            found.append(f"{entry.name} has no SAR: its HR accuracy on {', '.join(names)} is not above chance.")
        return found

    def _defined(
        self, resolution: int | str, equation: Callable[..., robustness.Numbers], *columns: np.ndarray
    ) -> Float64[np.ndarray, "M D"]:
        low = self.accuracy(resolution)
        defined = np.isfinite(low) & (self.reference > 0)
        given = [np.broadcast_to(column, low.shape)[defined] for column in columns]
        values = np.full(low.shape, np.nan)
        values[defined] = equation(low[defined], self.reference[defined], *given)
        return values

    def score(self, metric: str, resolution: int | str) -> Float64[np.ndarray, "M"]:
        """Aggregates over data sets.

        Args:
            metric: "acc", "sar" or "war".
            resolution: one of `resolutions`.

        Returns:
            Fractions; nan where a run lacks a data set at this resolution, or its robustness is undefined.

        Raises:
            UserError: the metric or the resolution is unknown.
        """
        if metric not in METRICS:
            raise UserError(f"unknown metric {metric!r}; use {', '.join(METRICS)}")
        values = {"acc": self.accuracy, "sar": self.relative, "war": self.improved}[metric](resolution)
        scores, whole = np.full(len(values), np.nan), np.isfinite(values).all(axis=1)
        columns = dict(zip(self.datasets, values[whole].T, strict=True))
        if metric == "war":
            scores[whole] = robustness.war(columns, self.weights)
        else:
            scores[whole] = (robustness.mean_accuracy if metric == "acc" else robustness.sar)(columns)
        return scores

    def ranks(self, metric: str, resolution: int | str) -> Float64[np.ndarray, "M"]:
        """Returns ranks, 1 for the best; equal scores share the better rank.

        They are nan where there is no score, and of incomplete entries, which are not comparable with the others.
        """
        scores = np.where(self.complete, self.score(metric, resolution), np.nan)
        better = (scores[None, :] > scores[:, None]).sum(axis=1)
        return np.where(np.isnan(scores), np.nan, 1.0 + better)

    def order(self, metric: str, resolution: int | str) -> list[int]:
        """Returns the numbers of the entries, the best first, then incomplete ones, those without a score last."""
        scores = self.score(metric, resolution)
        return np.lexsort((-scores, ~self.complete, np.isnan(scores))).tolist()

    @property
    def complete(self) -> Bool[np.ndarray, "M"]:
        """Which entries saw all images."""
        return np.array([not entry.incomplete for entry in self.entries], bool)

    def find(self, name: str) -> int:
        """Returns the number of an entry.

        Raises:
            UserError: no entry has this name; the message proposes similar ones.
        """
        if name not in self.names and f"{name} {MARK}" in self.names:
            name = f"{name} {MARK}"
        if name not in self.names:
            close = difflib.get_close_matches(name, self.names, n=3, cutoff=0.4)
            known = "python -m lrjax.report --metric war16 lists all of them"
            hint = f"did you mean {', '.join(map(repr, close))}?" if close else known
            raise UserError(f"unknown model {name!r}; {hint}")
        return self.names.index(name)

    def keep(self, chosen: Sequence[int] | Callable[[Entry], bool]) -> "Leaderboard":
        """Returns the leaderboard of some entries.

        Args:
            chosen: their numbers, or a condition on an entry.
        """
        if callable(chosen):
            chosen = [number for number, entry in enumerate(self.entries) if chosen(entry)]
        numbers = list(chosen)
        entries = tuple(self.entries[number] for number in numbers)
        images = None if self.images is None else self.images[numbers]
        return dataclasses.replace(
            self, entries=entries, top1=self.top1[numbers], reference=self.reference[numbers], images=images
        )

    def restrict(self, datasets: Sequence[str]) -> "Leaderboard":
        """Returns the leaderboard over some data sets; the note says so.

        Args:
            datasets: names of data sets, at least one.

        Raises:
            UserError: no data set, or one that the leaderboard does not have.
        """
        if unknown := [name for name in datasets if name not in self.datasets]:
            close = difflib.get_close_matches(unknown[0], self.datasets, n=3)
            hint = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(self.datasets)}"
            raise UserError(f"the leaderboard has no data set {unknown[0]!r}; {hint}")
        names = tuple(name for name in self.datasets if name in datasets)
        if not names:
            raise UserError("there is no data set to rank by; name at least one")
        if names == self.datasets:
            return self
        columns = [self.datasets.index(name) for name in names]
        return dataclasses.replace(
            self,
            entries=tuple(entry.over(names) for entry in self.entries),
            datasets=names,
            top1=self.top1[:, columns],
            reference=self.reference[:, columns],
            images=None if self.images is None else self.images[:, columns],
            classes={name: self.classes[name] for name in names},
            weights={name: weight for name, weight in self.weights.items() if name in names},
            note=f"over {len(names)} of the {len(self.datasets)} data sets: {', '.join(names)}",
        )


def parse_metric(name: str) -> tuple[str, int | str]:
    """Splits the name of a score, for instance "war16", into metric and resolution.

    Args:
        name: "acc", "sar" or "war", then 16, 32, 64, 128 or "hr"; case and a dash between them do not matter.

    Raises:
        UserError: there is no such score; the message proposes similar ones.
    """
    known = [f"{metric}{resolution}" for resolution in RESOLUTIONS for metric in METRICS]
    found = _METRIC.fullmatch(name.strip().lower())
    if not found or "".join(found.groups()) not in known:
        close = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(known)}"
        raise UserError(f"unknown metric {name!r}; {hint}")
    return found[1], int(found[2]) if found[2].isdigit() else found[2]


def published_leaderboard(
    datasets: Sequence[str] = DATASETS, weights: Mapping[str, float] = robustness.PAPER_WEIGHTS
) -> Leaderboard:
    """Returns the leaderboard of the 66 published backbones.

    Args:
        datasets: what to average over; default all fifteen data sets.
        weights: WAR weight by data set; default those of the paper.

    Raises:
        UserError: a data set is unknown or has no weight.

    Reference: arXiv 2502.03950; class counts as in its ranking (`robustness.PAPER_CLASS_COUNTS`).
    """
    published = load_published()
    shared = [f.name for f in dataclasses.fields(Entry) if f.name not in ("own", "source", "incomplete")]
    entries = tuple(Entry(**{name: getattr(model, name) for name in shared}) for model in published.models)
    board = Leaderboard(
        entries=entries,
        datasets=DATASETS,
        resolutions=RESOLUTIONS,
        top1=published.top1,
        reference=published.top1[..., RESOLUTIONS.index(HIGH_RESOLUTION)],
        classes=robustness.PAPER_CLASS_COUNTS,
        weights=weights,
        suspects=published.suspects,
    ).restrict(datasets)
    if without := [name for name in board.datasets if name not in weights]:
        raise UserError(
            f"there is no WAR weight for {', '.join(without)}; give one, leave the data set out, or score over the "
            "others with --subset"
        )
    return dataclasses.replace(board, weights={name: weights[name] for name in board.datasets})


def add_runs(
    board: Leaderboard, rows: Sequence[Row], *, subset: bool = False, duplicates: str = "error"
) -> Leaderboard:
    """Ranks the user's own runs among the entries of a leaderboard.

    Args:
        board: the leaderboard.
        rows: result rows of any models and variants; those on other data sets are passed over.
        subset: where the runs lack data sets, whether to rank everybody over the data sets that the runs have; the
            note of the result names them.
        duplicates: "error", or "newest" to take the last of several rows for one number.

    Returns:
        The leaderboard with one more entry per model and variant; the board itself where the runs share no data set
        with it.

    Raises:
        UserError: data sets are missing and `subset` is false, or the rows are ambiguous or not comparable.
    """
    found: dict[str, set[str]] = {}
    for row in accuracies_of(rows):
        if row.test_set in board.datasets:
            found.setdefault(row.model, set()).add(row.test_set)
            _check_classes(row, board.classes[row.test_set])
    if not found:
        return board
    common = [name for name in board.datasets if all(name in names for names in found.values())]
    missing = [name for name in board.datasets if name not in common]
    if missing and not subset:
        remedy = f", or rank everybody over {', '.join(common)} with --subset" if common else ""
        raise UserError(
            f"the runs have no results on {', '.join(missing)}, so they cannot be ranked by the full benchmark; "
            f"evaluate the rest{remedy}"
        )
    if not common:
        raise UserError(f"{', '.join(found)} have no data set in common; report them one by one")
    board = board.restrict(common)
    results = Results(rows, datasets=common, classes=board.classes, duplicates=duplicates)
    entries, top1, reference, images = [], [], [], []
    for model, variants in results.variants.items():
        high = results.accuracies(model, results.reference_variant, HIGH_RESOLUTION)
        if high is None:
            raise UserError(
                f"{model} has no results at {HIGH_RESOLUTION!r}, the reference of robustness; evaluate it there"
            )
        for variant in variants:
            entries.append(_own_entry(results, model, variant))
            lines = [results.accuracies(model, variant, resolution) or {} for resolution in board.resolutions]
            top1.append([[line.get(name, np.nan) for line in lines] for name in common])
            reference.append([high[name] for name in common])
            images.append([results.reference(model, name).n for name in common])
    known = np.full(board.reference.shape, np.nan) if board.images is None else board.images
    return dataclasses.replace(
        board,
        entries=(*board.entries, *entries),
        top1=np.concatenate([board.top1, np.array(top1)]),
        reference=np.concatenate([board.reference, np.array(reference)]),
        images=np.concatenate([known, np.array(images, np.float64)]),
    )


def _check_classes(row: Row, published: int) -> None:
    count = row.extra.get("classes")
    if count is not None and count not in (published, len(get_dataset(row.test_set).classes)):
        raise UserError(
            f"{row.model} was evaluated on {row.test_set} with {count} classes, but the benchmark has {published}; "
            "evaluate it on all of them, or name the data set differently"
        )


def _own_entry(results: Results, model: str, variant: str) -> Entry:
    backbone = results.extra(model, variant, "backbone") or model
    name = backbone.partition("@")[0]
    alike = [one for one in load_published().models if name in (one.backbone, one.backbone.partition(":")[0])]
    rows = [row for key, row in results.rows.items() if key[:2] == (model, variant)]
    facts: dict[str, Any] = {"family": "own"}
    release = all(row.extra.get("release", True) for row in rows)
    for name in ("family", "tower", "patch", "gflops", "image_size", *(("data", "pairs") if release else ())):
        values = {getattr(one, name) for one in alike}
        if len(values) == 1:
            facts[name] = values.pop()
    if (size := results.extra(model, variant, "image_size")) is not None:
        if size != facts.get("image_size"):
            facts.pop("gflops", None)  # they are those of another input size
        facts["image_size"] = size
    parameters = results.extra(model, variant, "parameters")
    return Entry(
        **facts,
        name=f"{model} [{variant}]",
        own=True,
        backbone=backbone,
        source="" if release else results.extra(model, variant, "source") or "",
        parameters=parameters,
        incomplete=tuple(results.incomplete[model].items()),
    ).over(results.datasets)
