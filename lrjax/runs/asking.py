"""Asks questions of a loaded model: records are made once, cases are scored, rows are stored."""

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lrjax.checks.text import printable
from lrjax.config import Config, config_hash
from lrjax.data.dataset import Dataset
from lrjax.data.datasets import prompts_hash
from lrjax.data.loader import Batch
from lrjax.data.reopen import open_again
from lrjax.data.source import Source
from lrjax.data.sources.base import fingerprint
from lrjax.models.build import count_params
from lrjax.models.predict import Predictor
from lrjax.questions.base import Question
from lrjax.questions.bench import Bench, Job, JobError, failing
from lrjax.questions.case import Case, Need, Score, Setting, checked_rows, checked_score
from lrjax.questions.classifiers import text_classifier
from lrjax.questions.registry import blamed
from lrjax.questions.sweep_rows import damaged_name
from lrjax.results.parts import Parts
from lrjax.results.records import Records
from lrjax.results.row import Row
from lrjax.results.store import ResultStore, content_key, package_versions
from lrjax.runs.config_reader import kind_of
from lrjax.sharding import from_first
from lrjax.types import Array
from lrjax.weights.naming import Model

_LOG = logging.getLogger(__name__)
_SWEPT = ("logits", "embedding")
"""What one sweep reads for all views and questions."""
PARTS = "parts"
"""Folder of the finished parts of sweeps, below that of the results."""
RECORD_VERSION = 1
"""Raised when records would come out different from what they were before."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run asks, and of which images.

    Attributes:
        config: the run.
        questions: by name.
        datasets: the data sets with their images, in order.
        places: where the images of each data set are, see `data.reopen.where`.
    """

    config: Config
    questions: Mapping[str, Question]
    datasets: Sequence[tuple[Dataset, Source]]
    places: Mapping[str, Mapping[str, Any]]

    def setting(self, model: Model, variant: str) -> Setting:
        """Returns the setting of a model."""
        return Setting(model=model.name, variant=variant, backbone=model.row, datasets=self.datasets)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A loaded model that is asked, with what was trained for it.

    Attributes:
        model: which model it is.
        predictor: the model, loaded, with what was trained for it.
        variant: "vanilla", "lr_tk0", ...
        weights: hash of its weights, and of what was trained beside tokens.
    """

    model: Model
    predictor: Predictor
    variant: str
    weights: str

    def identity(self, precision: str) -> dict[str, Any]:
        """Returns what determines the embeddings of the model, for keys."""
        tokens = self.predictor.adaptation.get("tokens")
        return self.text_identity(precision) | {
            "tokens": None if tokens is None else np.asarray(tokens),
            "preprocess": vars(self.predictor.row.preprocess),
        }

    def text_identity(self, precision: str) -> dict[str, Any]:
        """Returns what determines the embeddings of texts."""
        tokenizer = self.predictor.tokenizer
        return {
            "weights": self.weights,
            "architecture": dataclasses.asdict(self.predictor.row.spec),
            "tokenizer": tokenizer and tokenizer.fingerprint,
            "precision": precision,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A case of a question with the keys of its result and of its records, and a hash of what is asked of any model."""

    name: str
    question: Question
    case: Case
    key: str
    asked: str
    records: Mapping[str, str]


class Asking:
    """All questions of a run, asked of one subject.

    Args:
        plan: the questions and the data sets.
        subject: who is asked.
        store: where rows go and where finished ones are found.
    """

    def __init__(self, plan: Plan, subject: Subject, store: ResultStore):
        self.plan, self.subject, self.store, self.config = plan, subject, store, plan.config
        self.setting = plan.setting(subject.model, subject.variant)
        self.cache = Records(store.directory / "records", limit=int(self.config.evaluation.record_gib * 2**30))
        self.fresh: dict[str, dict[str, np.ndarray]] = {}  # of the data set that is asked
        self.bench = Bench(
            predictor=subject.predictor,
            head=self._head,
            batch_size=self.config.evaluation.batch_size,
            workers=self.config.data.workers,
            on_error=self.config.data.on_error,
            rgb=self.config.data.rgb,
            part_size=self.config.evaluation.part_size,
        )

    def rows(self) -> list[Row]:
        """Returns the rows of all cases, in order."""
        cells = self.cells()
        done = [self._earlier(cell) for cell in cells]
        absent = from_first(np.array([not rows for rows in done]))  # only process 0 may see the store
        todo = [cell for cell, missing in zip(cells, absent, strict=True) if missing]
        for name, dataset in {(one.name, one.case.dataset.name): one for one in cells}:
            if not any((one.name, one.case.dataset.name) == (name, dataset) for one in todo):
                _LOG.info("%s on %s (%s): finished earlier", name, dataset, self.subject.variant)
        found = {(cell.name, cell.key): rows for cell, rows in zip(cells, done, strict=True)}
        while todo:
            groups = itertools.groupby(todo, key=lambda one: (one.name, one.case.dataset.name))
            together = list(next(groups)[1])
            found |= self._store(together, todo)
            todo = todo[len(together) :]
        return [row for cell in cells for row in found[cell.name, cell.key]]

    def _earlier(self, cell: Cell) -> list[Row]:
        """The stored rows of a case, under the names that model and question have now."""
        model, found = self.subject.model, self.store.find(cell.key)
        names = [(row.model, row.question) for row in found]
        name = (model.name, cell.name) if (model.name, cell.name) in names else names[-1] if names else None
        now = {"model": model.name, "question": cell.name, "kind": self._kind(cell.name)}
        return [
            dataclasses.replace(row, **now, extra={**row.extra, **model.facts})
            for row in found
            if (row.model, row.question) == name
        ]

    def _kind(self, name: str) -> str:
        return kind_of(name, self.config.questions.get(name, {}))

    def _blamed(self, name: str) -> contextlib.AbstractContextManager[None]:
        return blamed(name, self._kind(name))

    def cells(self) -> list[Cell]:
        """Returns all cases, in the order of the results."""
        found: list[Cell] = []
        for name, question in self.plan.questions.items():
            with self._blamed(name):
                found += self._cells(name, question)
        return found

    def _cells(self, name: str, question: Question) -> Iterable[Cell]:
        """The cases of a question, with their keys."""
        own = {"question": f"{type(question).__module__}.{type(question).__qualname__}", "version": question.version}
        inputs = question.inputs(self.setting)
        for case in question.plan(self.setting):
            options = question.options() | dict(inputs)
            records = {role: self._record_key(need, own | options) for role, need in case.needs.items()}
            key = content_key(
                **own,
                options=options,
                dataset=case.dataset.name,
                condition=dict(case.condition),
                prompts=prompts_hash(case.dataset),
                records=records,
                **_columns(case),
            )
            sources = {role: need.source for role, need in case.needs.items() if need.read == "text"}
            captions = {role: fingerprint(source.captions or ()) for role, source in sources.items()}
            asked = content_key(**own, options=options, captions=captions, **_columns(case))
            yield Cell(name=name, question=question, case=case, key=key, asked=asked, records=records)

    def _record_key(self, need: Need, own: Mapping[str, Any]) -> str:
        """Hashes all that determines a record, so that it is found again, and not where anything has changed."""
        precision = self.config.precision
        if need.read == "text":
            texts = fingerprint(need.source.captions or ())
            return content_key(version=RECORD_VERSION, texts=texts, **self.subject.text_identity(precision))
        read = {"views": vars(need.views), "rgb": self.config.data.rgb, **({"own": own} if need.read == "own" else {})}
        prompts = {"read": need.read} if need.read == "embedding" else {"prompts": prompts_hash(need.dataset)}
        return content_key(
            version=RECORD_VERSION,
            images=need.source.fingerprint,
            on_error=self.config.data.on_error,
            **prompts,
            **read,
            **self.subject.identity(precision),
        )

    def _obtain(self, todo: Sequence[Cell]) -> dict[str, dict[str, np.ndarray]]:
        """The records of the first case, by role; in process 0 only where they were made before."""
        cell, records = todo[0], {}
        for role, need in cell.case.needs.items():
            key = cell.records[role]
            found = self.fresh.get(key) or (self.cache.find(key) if jax.process_index() == 0 else None)
            if from_first(np.array(found is None)):
                self._make(cell, need, key, todo)
                found = self.fresh[key]
            records[role] = found or {}
        return records

    def _make(self, cell: Cell, need: Need, key: str, todo: Sequence[Cell]) -> None:
        """Makes a record, and in the same sweep those that other cases will need of the same images."""
        group = {key: (cell, need)} | self._together(need, todo)
        while isinstance(made := self._made(group), JobError):
            failed = _failed(made.key, group)
            if key in failed:
                raise made.cause
            # another question fails when its turn comes; what this one needs is kept
            group = {one: pair for one, pair in group.items() if one not in failed}
        new, parts = made
        here = {one for other in todo if other.case.dataset == cell.case.dataset for one in other.records.values()}
        self.fresh = {one: record for one, record in self.fresh.items() if one in here} | new
        if len(skipped := self.fresh[key]["skipped"]):
            for index in skipped:
                name = damaged_name(need.source, int(index))
                _LOG.warning("%s: skipped damaged image %s", cell.case.dataset.name, name)
            place = self.plan.places[need.dataset.name]
            open_again(place)  # damaged as they were when the key was made, not since then
        if jax.process_index() == 0:
            for one, record in new.items():
                self.cache.add(one, record)
            parts.clear()

    def _made(
        self, group: Mapping[str, tuple[Cell, Need]]
    ) -> tuple[dict[str, dict[str, np.ndarray]], Parts] | JobError:
        """The records of needs of the same images, by key, and the parts of the sweep; or which of them fails."""
        parts = Parts(self.store.directory / PARTS, content_key(records=list(group)))
        cell, first = next(iter(group.values()))
        source, title = first.source, printable(f"{cell.case.dataset.name} ({self.subject.variant})")
        bench = dataclasses.replace(self.bench, parts=parts, title=title)
        texts = {key: bench.texts(need.source) for key, (_, need) in group.items() if need.read == "text"}
        read = {key: need for key, (_, need) in group.items() if need.read in _SWEPT}
        own = {key: pair for key, pair in group.items() if pair[1].read == "own"}
        if texts:
            return texts, parts
        try:
            jobs = {key: self._job(key, *pair, bench) for key, pair in own.items()}
            logits, rest = bench.sweep(source, list(read.values()), jobs)
        except JobError as error:
            return error
        return dict(zip(read, logits, strict=True)) | rest, parts

    def _job(self, key: str, cell: Cell, need: Need, bench: Bench) -> Job:
        with failing(key), self._blamed(cell.name):
            job = cell.question.job(need, self.setting, bench)

        def program(batch: Batch, label: Array) -> Mapping[str, Array]:
            with self._blamed(cell.name):
                return checked_rows(job.program(batch, label))

        return Job(program, tuple(job.specs))

    def _together(self, need: Need, todo: Sequence[Cell]) -> dict[str, tuple[Cell, Need]]:
        """What is still to be read in the same sweep over the images of a data set, by key."""
        if need.read == "text":
            return {}
        wanted = {
            key: (one, other)
            for one in todo
            for key, other in zip(one.records.values(), one.case.needs.values(), strict=True)
            if other.read != "text" and other.source is need.source and other.dataset == need.dataset
        }
        there = from_first(np.array([self.cache.has(key) for key in wanted]))
        return {key: pair for (key, pair), known in zip(wanted.items(), there, strict=True) if not known}

    def _store(self, cells: Sequence[Cell], todo: Sequence[Cell]) -> dict[tuple[str, str], list[Row]]:
        """Scores the first cases, and stores their rows together; only process 0 has all records."""
        rows: dict[tuple[str, str], list[Row]] = {(cell.name, cell.key): [] for cell in cells}
        samples = {}
        for number, cell in enumerate(cells):
            records = self._obtain(todo[number:])
            if jax.process_index() == 0:
                with self._blamed(cell.name):
                    score = checked_score(cell.question.score(cell.case, records))
                rows[cell.name, cell.key], samples[cell.key] = self._rows(cell, score, records), score.samples
        if samples:
            self.store.add([row for found in rows.values() for row in found], samples)
        return rows

    def _rows(self, cell: Cell, score: Score, records: Mapping[str, Mapping[str, np.ndarray]]) -> list[Row]:
        dataset, predictor = cell.case.dataset, self.subject.predictor
        added = count_params({name: part for name, part in predictor.adaptation.items() if name != "blocks"})
        skipped = [
            damaged_name(cell.case.needs[role].source, int(index))
            for role, record in records.items()
            for index in record["skipped"]
        ]
        shown = [role for role, need in cell.case.needs.items() if need.read != "text"]
        sources = {id(need.source): need.source for need in cell.case.needs.values()}.values()
        left = {suffix: one.count for source in sources for suffix, one in source.left_out.items()}
        extra = self.subject.model.facts | {
            "parameters": count_params(predictor.params) + added,
            "classes": dataset.paper_classes,
            "expected": dataset.expected_count,
            "assumed": dataset.assumed,
            "image_size": predictor.row.spec.image.size,
            "skipped": skipped,
            "images_seen": max((len(records[role]["index"]) for role in shown), default=None),
            "left_out": left,
            "prompts": prompts_hash(dataset),
            "precision": self.config.precision,
            "images": self.plan.places[dataset.name],
            "asked": cell.asked,
        }
        return [
            Row(
                key=cell.key,
                model=self.subject.model.name,
                variant=self.subject.variant,
                question=cell.name,
                kind=self._kind(cell.name),
                question_version=cell.question.version,
                dataset=dataset.base,
                condition={**dataset.condition, **cell.case.condition},
                config_hash=config_hash(self.config),
                seed=self.config.seed,
                versions=package_versions(),
                extra=extra,
                **vars(one),
            )
            for one in score.measurements
        ]

    def _head(self, dataset: Dataset) -> np.ndarray:
        return text_classifier(
            self.subject.predictor,
            dataset,
            self.store.directory / "classifiers",
            weights=self.subject.weights,
            precision=self.config.precision,
        )


def _failed(key: str, group: Mapping[str, tuple[Cell, Need]]) -> set[str]:
    """Which records of a sweep fail with a job."""
    if key in group:
        return {key}
    return {one for one, (_, need) in group.items() if need.read in _SWEPT}


def _columns(case: Case) -> dict[str, Any]:
    """What the files say of the images of a case beside labels, for its key."""
    found = {role: need.source.columns for role, need in case.needs.items() if need.source.columns}
    return {"columns": {role: fingerprint(sorted(columns.items())) for role, columns in found.items()}} if found else {}
