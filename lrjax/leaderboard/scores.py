"""Zero-shot accuracies, indexed by model, variant, data set and resolution, and checked to be comparable."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from lrjax.errors import UserError
from lrjax.leaderboard.completeness import footnote, shortfalls
from lrjax.metrics import robustness
from lrjax.metrics.intervals import above_chance
from lrjax.results.row import Row

KIND, METRIC = "zeroshot", "acc1"
HIGH_RESOLUTION = "hr"
"""The name of the model's own resolution, whose accuracy is the reference of robustness."""


class Options(TypedDict, total=False):
    """What to report, and how: the keyword arguments of `Results`.

    Attributes:
        datasets: data sets to average over; default all that have rows.
        weights: WAR weight by data set, for instance `PAPER_WEIGHTS`; None, the default, weighs all data sets equally.
        missing: "error" (default) or "renormalise", where data sets and weights differ (see `robustness.war`).
        classes: class count by data set; default the "classes" of the rows.
        reference_variant: the variant whose "hr" accuracy is the reference for all variants of a model; default
            "vanilla".
        duplicates: "error" (default), or "newest" to take the last of several rows for one number.
        samples: gives the per-image arrays of a key, or None where there are none (`ResultStore.samples`); without it
            there are no confidence intervals.
    """

    datasets: Sequence[str] | None
    weights: Mapping[str, float] | None
    missing: Literal["error", "renormalise"]
    classes: Mapping[str, int] | None
    reference_variant: str
    duplicates: Literal["error", "newest"]
    samples: Callable[[str], Mapping[str, np.ndarray] | None] | None


class Results:
    """The rows of one metric, indexed, and checked to be comparable.

    Attributes:
        incomplete: of which data sets a model did not see all images, and how many it saw: by model and data set, for
            instance "20 of 5,400".
    """

    def __init__(
        self, rows: Sequence[Row], *, datasets: Sequence[str] | None = None, weights: Mapping[str, float] | None = None,
        missing: Literal["error", "renormalise"] = "error", classes: Mapping[str, int] | None = None,
        reference_variant: str = "vanilla",
        duplicates: str = "error", samples: Callable[[str], Mapping[str, np.ndarray] | None] | None = None,
    ) -> None:  # fmt: skip
        if duplicates not in ("error", "newest"):
            raise UserError(f'duplicates={duplicates!r} is unknown; use "error" or "newest"')
        if not rows:
            raise UserError("there are no results to report; evaluate a model first")
        chosen = accuracies_of(rows)
        if not chosen:
            found = ", ".join(sorted({row.metric for row in rows}))
            raise UserError(f"no result has the metric {METRIC!r} (found {found}); ask the question {KIND!r}")
        self.datasets = list(datasets) if datasets is not None else list(dict.fromkeys(row.test_set for row in chosen))
        self.rows: dict[tuple[str, str, str, int | str], Row] = {}
        self.superseded = 0
        for row in chosen:
            if row.test_set in self.datasets:
                cell = (row.model, _variant(row, chosen[0].question), row.test_set, row.resolution)
                if cell in self.rows:
                    self._duplicate(self.rows[cell], row, duplicates)
                self.rows[cell] = row
        if not self.rows:
            raise UserError(f"no result is on {', '.join(self.datasets)}; name data sets that have results")
        self.reference_variant, self.weights = reference_variant, weights
        self.missing: Literal["error", "renormalise"] = missing
        self.samples = samples if samples is not None else lambda key: None
        found_resolutions = {resolution for *_, resolution in self.rows}
        self.resolutions = sorted(found_resolutions, key=lambda r: (isinstance(r, str), r))  # pixels first, then "hr"
        self.variants: dict[str, list[str]] = {}
        for model, variant, *_ in self.rows:
            names = self.variants.setdefault(model, [])
            if variant not in names:
                names.append(variant)
        for model, names in self.variants.items():
            if reference_variant not in names:
                raise UserError(
                    f"model {model!r} has no {reference_variant!r} results, which its {', '.join(names)} results are "
                    "measured against; evaluate the unmodified model too"
                )
            names.sort(key=lambda name: name != reference_variant)  # stable: the others stay in order
        self._check_counts()
        self.incomplete = {
            model: shortfalls(row for cell, row in self.rows.items() if cell[0] == model) for model in self.variants
        }
        self.classes = {name: self._class_count(name, classes) for name in self.datasets}

    def _duplicate(self, old: Row, new: Row, duplicates: str) -> None:
        if duplicates == "error":
            raise UserError(
                f"there are two results for {new.model} {new.variant} on {new.test_set} at {new.resolution}, from the "
                f"configs {old.config_hash} and {new.config_hash}; report each run on its own, or take the "
                "newest of each (--newest)"
            )
        self.superseded += 1

    def _check_counts(self) -> None:
        counts: dict[tuple[str, str], Row] = {}
        for (model, _, dataset, _), row in self.rows.items():
            first = counts.setdefault((model, dataset), row)
            if other_images(first, row):
                raise UserError(
                    f"results of {model} on {dataset} are not on the same images: {first.n} for {first.variant} at "
                    f"{first.resolution}, but {row.n}{' others' if row.n == first.n else ''} for {row.variant} at "
                    f"{row.resolution}; evaluate them alike"
                )

    def _class_count(self, dataset: str, classes: Mapping[str, int] | None) -> int:
        if classes is not None:
            if dataset not in classes:
                raise UserError(f"no class count is given for data set {dataset!r}; add it to `classes`")
            return classes[dataset]
        counts = {row.extra.get("classes") for row in self.rows.values() if row.test_set == dataset}
        if not counts:
            raise UserError(f"data set {dataset!r} has no results; evaluate it or leave it out")
        count, *others = counts
        if others or count is None:
            found = ", ".join(sorted(map(str, counts)))
            raise UserError(f"results on {dataset!r} need one class count in extra['classes'], but have {found}")
        return int(count)

    def row(self, model: str, variant: str, dataset: str, resolution: int | str) -> Row:
        """Returns one row, which must exist."""
        try:
            return self.rows[model, variant, dataset, resolution]
        except KeyError:
            raise UserError(
                f"there is no {METRIC} of {model} {variant} on {dataset} at {resolution}; evaluate it, or leave the "
                "data set out"
            ) from None

    def accuracies(self, model: str, variant: str, resolution: int | str) -> dict[str, float] | None:
        """Returns the accuracy by data set, or None where nothing was evaluated at this resolution."""
        if not any((model, variant, dataset, resolution) in self.rows for dataset in self.datasets):
            return None
        return {dataset: self.row(model, variant, dataset, resolution).value for dataset in self.datasets}

    def reference(self, model: str, dataset: str) -> Row:
        """Returns the row that robustness is measured against, which must exist."""
        return self.row(model, self.reference_variant, dataset, HIGH_RESOLUTION)

    def defined(self, model: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the data sets that SAR of a model is over, and those that WAR is over.

        Relative robustness is undefined where the reference accuracy is not above chance (`intervals.above_chance`), as
        it is a share of it; discounted near chance it is undefined where the reference is 0 or there is one class.
        """
        sar, war = [], []
        for name in self.datasets:
            row, classes = self.reference(model, name), self.classes[name]
            sar += [name] if above_chance(row.value, row.n, classes) else []
            war += [name] if row.value > 0 and classes > 1 else []
        return tuple(sar), tuple(war)

    def incomplete_text(self, *models: str) -> str | None:
        """Returns of how many data sets one of some models did not see all images; None of none."""
        count = len({dataset for model in models for dataset in self.incomplete[model]})
        return f"{count} of {len(self.datasets)} data sets" if count else None

    def notes(self) -> list[str]:
        """Says which data sets the scores of a model leave out and why, and which are incomplete; sentences."""
        return [*dict.fromkeys([*self.undefined(), *assumptions(self.rows.values())]), *self.footnote()]

    def undefined(self) -> list[str]:
        """Says which data sets the scores of a model leave out and why; sentences."""
        reasons = (
            "its HR accuracy is not above chance, by its 95 % interval",
            "its HR accuracy is 0 or it has one class",
        )
        sentences, total = [], len(self.datasets)
        for model in self.variants:
            for score, names, reason in zip(("SAR", "WAR"), self.defined(model), reasons, strict=True):
                missing = ", ".join(name for name in self.datasets if name not in names)
                kept = f"is over {len(names)} of {total} data sets" if names else "is undefined"
                sentences += [f"{score} of {model} {kept}: on {missing} {reason}."] if missing else []
        return sentences

    def footnote(self) -> list[str]:
        """Says which data sets are incomplete; one sentence or none."""
        return footnote(self.incomplete)

    def scores(
        self, model: str, variant: str, resolution: int | str
    ) -> tuple[robustness.Numbers | None, robustness.Numbers | None, robustness.Numbers] | None:
        """Returns SAR, WAR and mean accuracy as fractions, or None where nothing was evaluated at this resolution.

        SAR and WAR are over the data sets that are `defined`, and None where there is none.
        """
        accuracies = self.accuracies(model, variant, resolution)
        if accuracies is None:
            return None
        return self.aggregate(model, accuracies, {name: self.reference(model, name).value for name in self.datasets})

    def aggregate(
        self, model: str, accuracies: Mapping[str, ArrayLike], references: Mapping[str, ArrayLike]
    ) -> tuple[robustness.Numbers | None, robustness.Numbers | None, robustness.Numbers]:
        """Returns SAR, WAR and mean accuracy, [...] each.

        Args:
            model: decides which data sets SAR and WAR are over.
            accuracies: by data set, [...], fractions.
            references: HR accuracy of the reference variant by data set, [...]; where one of these data sets has 0, the
                score is None.
        """
        sar, war = (
            names if names and all(np.all(np.asarray(references[name]) > 0) for name in names) else ()
            for names in self.defined(model)
        )
        gamma = {
            name: robustness.relative_robustness(accuracies[name], references[name], datasets=[name]) for name in sar
        }
        return (
            robustness.sar(gamma) if gamma else None,
            self._war(war, accuracies, references) if war else None,
            robustness.mean_accuracy(accuracies),
        )

    def _war(
        self, names: Sequence[str], accuracies: Mapping[str, ArrayLike], references: Mapping[str, ArrayLike]
    ) -> robustness.Numbers | None:
        undefined = [name for name in self.datasets if name not in names]
        weights = self.weights if self.weights is not None else dict.fromkeys(names, 1.0)
        weights = {name: weight for name, weight in weights.items() if name not in undefined}
        if undefined and not any(weights.get(name) for name in names):
            return None
        improved = {
            name: robustness.improved_robustness(
                accuracies[name], references[name], self.classes[name], datasets=[name]
            )
            for name in names
        }
        return robustness.war(improved, weights, missing=self.missing)

    def extra(self, model: str, variant: str, name: str) -> Any:
        """Returns a fact that all rows of a model carry in `extra`, or None where they do not agree."""
        found = {row.extra.get(name) for key, row in self.rows.items() if key[:2] == (model, variant)}
        return found.pop() if len(found) == 1 else None


def other_images(one: Row, other: Row) -> bool:
    """Tells whether two results are known to be on different images; rows may not tell which they are on."""
    prints = {(row.extra.get("images") or {}).get("fingerprint") for row in (one, other)}
    skipped = {frozenset(row.extra.get("skipped") or ()) for row in (one, other)}
    return one.n != other.n or len(prints - {None}) > 1 or len(skipped) > 1


def assumptions(rows: Iterable[Row]) -> list[str]:
    """Says what no row of the registry says of the data sets of results and their files decide; sentences."""
    found = dict.fromkeys((row.dataset, row.extra.get("assumed")) for row in rows)
    return [f"{dataset}: {assumed}." for dataset, assumed in found if assumed]


def accuracies_of(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that hold zero-shot accuracies."""
    return [row for row in rows if row.kind == KIND and row.metric == METRIC]


def _variant(row: Row, first: str) -> str:
    """The variant, with the name of the question where a run asks for accuracies more than once."""
    return row.variant if row.question == first else f"{row.variant} ({row.question})"


def weighing(weights: Mapping[str, float] | None, datasets: Sequence[str]) -> str:
    """Says how WAR weighs data sets.

    Args:
        weights: weight by data set; None weighs all equally.
        datasets: the data sets of the average.

    Returns:
        A clause.
    """
    used = {name: weights[name] for name in datasets if name in weights} if weights else {}
    if len(set(used.values())) <= 1:
        text = "WAR weighs all data sets equally (these are not the weights of the paper)"
    elif all(robustness.PAPER_WEIGHTS.get(name) == weight for name, weight in used.items()):
        text = "WAR weighs the data sets by the weights of the paper (arXiv 2502.03950, Table 11)"
    else:
        text = "WAR weighs the data sets by " + ", ".join(f"{name} {weight:.3g}" for name, weight in used.items())
    left_out = [name for name in datasets if weights and name not in weights]
    left_out += [name for name in weights or () if name not in datasets]
    return text + (f", renormalised without {', '.join(left_out)}" if left_out else "")
