"""The contract of a question: what it must be told about a model, and how it makes numbers of it.

A question is a frozen dataclass whose fields are its options. It plans cases, the cells of its result table; a case
names the records that it needs, which are made once, whichever questions need them, and scores them on the host.
`docs/architecture.md` walks through an example.
"""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from lrjax.config import Group
from lrjax.display.page import Page, Section
from lrjax.display.tables import Table, counted
from lrjax.errors import UserError
from lrjax.leaderboard.completeness import marked, shortfall
from lrjax.questions.bench import Bench, Job
from lrjax.questions.case import Arrays, Case, Need, Outcomes, Samples, Score, Setting
from lrjax.questions.headline import headline_table
from lrjax.results.row import Row


class Question(Group, abc.ABC):
    """A question; its fields are its options, checked when it is made.

    Attributes:
        version: raised when its numbers change; part of every key.
        headline: the metric that stands for the question where there is room for one.
        higher_is_better: by metric, whether more of it is better.
        asks_of: what the data sets must have, "classes", or "captions" of their images.
        choosing: options that only say which cases there are; another value computes no case again.
    """

    version: ClassVar[int]
    headline: ClassVar[str]
    higher_is_better: ClassVar[Mapping[str, bool]]
    asks_of: ClassVar[Literal["classes", "captions"]] = "classes"
    choosing: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """Returns the options that are part of every key."""
        return {name: value for name, value in vars(self).items() if name not in self.choosing}

    def check(self, setting: Setting) -> None:
        """Refuses what cannot be asked, before weights are read.

        Raises:
            UserError: an option does not fit the model or the data sets, or a data set lacks what it must have.
        """
        if setting.backbone.spec.text is None:
            raise UserError(
                f"{type(self).__name__} compares images with texts, and {setting.model} has no text tower; take one "
                "of them out of the run"
            )
        for dataset, source in setting.datasets:
            if not (dataset.classes if self.asks_of == "classes" else source.captions):
                raise UserError(
                    f"{type(self).__name__} asks of {self.asks_of}, and data set '{dataset.name}' has none; take it "
                    "out of config.data.names, or the question out of config.questions"
                )

    @abc.abstractmethod
    def plan(self, setting: Setting) -> Iterable[Case]:
        """Returns the cases, in the order of the results."""

    def inputs(self, setting: Setting) -> Mapping[str, Any]:
        """Returns what the files that the options name say; in keys it takes the place of their paths.

        Raises:
            UserError: a file is missing or wrong.
        """
        return {}

    def job(self, need: Need, setting: Setting, bench: Bench) -> Job:
        """Returns what is done with every image for the record of a need that reads "own"."""
        raise NotImplementedError(f"{type(self).__name__} plans records of its own and does not make them")

    @abc.abstractmethod
    def score(self, case: Case, records: Mapping[str, Arrays]) -> Score:
        """Makes the numbers of a case from its records, by role; on the host, without the model."""

    @classmethod
    def outcomes(cls, samples: Arrays) -> Mapping[str, Outcomes]:
        """Returns what metrics are made of, by metric, so that two systems can be compared on the same examples.

        By default a metric is the mean of the stored array of its name, as far as there is one.

        Args:
            samples: the arrays that were stored beside the rows of a key.
        """
        index = samples.get("index", np.empty(0))
        arrays = {name: samples[name] for name in cls.higher_is_better if name in samples}
        return {
            name: Outcomes(index, (array,)) for name, array in arrays.items() if array.ndim and len(array) == len(index)
        }

    @classmethod
    def page(cls, rows: Sequence[Row], samples: Samples, *, duplicates: str = "error") -> Page | None:
        """Returns what a report shows of results; by default a table of all numbers, and first one of the `headline`.

        Args:
            rows: results of this kind of question, of any models and data sets.
            samples: gives the arrays that were stored beside the rows of a key.
            duplicates: "error", or "newest" to take the last of several results for one number.

        Raises:
            UserError: there are two results for one number, or arrays are damaged.
        """
        numbers: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            if row.identity in numbers and duplicates == "error":
                raise UserError(
                    f"there are two results for {row.metric} of {row.model} on {row.test_set}; use --newest"
                )
            numbers[row.identity] = row
        lines = tuple(
            (
                row.question,
                row.model,
                row.variant,
                row.test_set,
                str(row.resolution),
                row.metric,
                row.n,
                f"{row.value:.4f}",
            )
            for row in numbers.values()
        )
        name, title = rows[0].question, cls.__name__
        header = ("Question", "Model", "Variant", "Data set", "At", "Metric", "Examples", "Value")
        table = Table(title, "As measured.", header, lines, labels=6)
        table = marked(table, [shortfall(row) for row in numbers.values()])
        sections = [Section(name="numbers", title="Numbers", blocks=[table])]
        lead = (cls.__doc__ or title).strip().splitlines()[0]
        teaser = f"{counted(len(lines), 'number')}."
        better = cls.higher_is_better.get(cls.headline)
        headline = headline_table(title, cls.headline, list(numbers.values()), higher_is_better=better)
        return Page(
            name=name,
            label=title,
            title=title,
            lead=lead,
            teaser=teaser,
            headline=[headline] if headline.rows else [],
            sections=sections,
            tables={name: table},
        )
