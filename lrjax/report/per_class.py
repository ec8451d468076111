"""Accuracies of single classes: two tables with all of them, and the page that shows the worst."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lrjax.data.datasets import get_dataset, prompts_hash
from lrjax.display.page import Block, Page, Section
from lrjax.display.tables import Table, counted
from lrjax.errors import UserError
from lrjax.leaderboard.scores import Results
from lrjax.leaderboard.studies.figures import dataset_title
from lrjax.metrics.per_class import Recall, confusions, recall_by_class
from lrjax.report.headline import resolution_label, systems

_WORST = 40
"""Lines of a data set that the page shows."""
_PAIRS = 10
"""Pairs of classes that are listed for each model, variant, data set and resolution."""
_NAMES = ("Model", "Variant", "Data set")


class Classes(NamedTuple):
    """What is known of the classes of the images of own runs.

    Attributes:
        tables: "per_class" with a line for every model, variant, data set and class, and "confusions"; percent.
        page: the worst of both; None without per-image arrays.
    """

    tables: Mapping[str, Table]
    page: Page | None


def per_class(results: Results) -> Classes:
    """Measures accuracies of single classes from the stored guesses.

    Args:
        results: the rows, with `samples`.
    """
    lines, pairs, means, sections = [], [], [], []
    for dataset in results.datasets:
        names, problem = _class_names(results, dataset)
        recalls, confused = {}, []
        for (*system, at), arrays in _stored(results, dataset).items():
            classes = max(len(names), int(arrays["label"].max()) + 1)
            recalls.setdefault(tuple(system), {})[at] = recall_by_class(arrays, classes)
            for label, guess, count in itertools.islice(confusions(arrays), _PAIRS):
                found = (*system, dataset, resolution_label(at), _name(names, label), _name(names, guess), count)
                confused.append(found)
        own = [line for system, found in recalls.items() for line in _lines(results, (*system, dataset), found, names)]
        means += [(*system, dataset, *_means(results, found)) for system, found in recalls.items()]
        lines, pairs = lines + own, pairs + confused
        if own:
            sections.append(_section(results, dataset, own, confused, problem))
    if not lines:
        return Classes({}, None)
    heads = tuple(map(resolution_label, results.resolutions))
    caption = "Percent of the images of a class whose best guess is right."
    table = Table("Accuracy by class", caption, (*_NAMES, "Label", "Class", "Images", *heads), tuple(lines), labels=5)
    header = (*_NAMES, "At", "Class", "Taken for", "Images")
    caption = f"The {_PAIRS} most frequent pairs of each model, variant, data set and resolution."
    confused = Table("Confused classes", caption, header, tuple(pairs), labels=6)
    caption = "Percent; the mean over classes, so that each counts alike, however many images it has."
    mean = Table("Mean per-class recall", caption, (*_NAMES, *heads), tuple(means), labels=3)
    page = Page(
        name="classes",
        label="Classes",
        title="Which classes are right, and which are confused?",
        lead="Top-1 accuracy of single classes: a mean hides classes that are never right.",
        teaser=f"Accuracy by class on {counted(len(sections), 'data set')}.",
        sections=[Section(name="recall", title="Mean per-class recall", blocks=[mean]), *sections],
    )
    return Classes({"per_class": table, "confusions": confused}, page)


def _stored(results: Results, dataset: str) -> dict[tuple[str, str, int | str], Mapping[str, np.ndarray]]:
    found = {}
    for system, at in itertools.product(systems(results), results.resolutions):
        row = results.rows.get((*system, dataset, at))
        arrays = None if row is None else results.samples(row.key)
        if arrays is not None and {"label", "top5"} <= arrays.keys():
            found[*system, at] = arrays
    return found


def _class_names(results: Results, dataset: str) -> tuple[Sequence[str], str]:
    """The names of the classes, and why they are not known where they are not."""
    row = next(row for row in results.rows.values() if row.test_set == dataset)
    place = row.extra.get("images") or {}
    try:
        found = get_dataset(str(place.get("name", row.dataset)), place.get("root") or None)
    except UserError as error:
        return (), f"The classes have no names here: {error}."
    if prompts_hash(found) != row.extra.get("prompts"):
        return (), "The classes have no names here, for they or their prompts have changed since."
    return found.classes, ""


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if names else str(label)


def _lines(
    results: Results, line: tuple[str, ...], recalls: Mapping[int | str, Recall], names: Sequence[str]
) -> list[tuple]:
    images = next(iter(recalls.values())).images
    return [
        (*line, label, _name(names, label), int(images[label]), *_shares(results, recalls, label))
        for label in np.flatnonzero(images).tolist()
    ]


def _shares(results: Results, recalls: Mapping[int | str, Recall], label: int) -> list[float | None]:
    found = [recalls.get(at) for at in results.resolutions]
    return [None if one is None else 100 * float(one.right[label] / one.images[label]) for one in found]


def _means(results: Results, recalls: Mapping[int | str, Recall]) -> list[float | None]:
    return [100 * recalls[at].mean if at in recalls else None for at in results.resolutions]


def _section(results: Results, dataset: str, lines: Sequence[tuple], pairs: Sequence[tuple], problem: str) -> Section:
    """The classes of a data set that are right least often, and the pairs that are confused most often."""
    first = len(_NAMES) + 3
    worst = sorted(lines, key=lambda line: next((one for one in line[first:] if one is not None), 0))[:_WORST]
    few = f", the lowest {_WORST} of {len(lines)} lines; per_class.csv has all" if len(lines) > _WORST else ""
    header = ("Class", "Model", "Variant", "Images", *map(resolution_label, results.resolutions))
    rows = tuple((line[4], *line[:2], *line[5:]) for line in worst)
    often = sorted(pairs, key=lambda pair: -pair[-1])[:_PAIRS]
    header_of_pairs = ("Class", "Taken for", "Model", "Variant", "At", "Images")
    confused = tuple((*pair[4:6], *pair[:2], pair[3], pair[6]) for pair in often)
    blocks: list[Block] = [Table("Accuracy by class", f"Percent{few}.", header, rows, labels=3)]
    if confused:
        caption = f"The {_PAIRS} most frequent at any resolution; confusions.csv has more."
        blocks.append(Table("Confused classes", caption, header_of_pairs, confused, labels=5))
    return Section(
        name=f"classes-{results.datasets.index(dataset)}", title=dataset_title(dataset), blocks=blocks, notice=problem
    )
