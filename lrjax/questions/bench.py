"""The bench of a question: the loaded model, and the one loop over images that all questions share."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from lrjax.data.dataset import Dataset
from lrjax.data.loader import Batch, joint_batches
from lrjax.data.source import Source
from lrjax.display.progress import Progress
from lrjax.errors import UserError
from lrjax.models.build import similarities
from lrjax.models.predict import Predictor, check_finite
from lrjax.models.row import Backbone
from lrjax.ops.preprocess import ViewSpec
from lrjax.questions.case import Need, Views
from lrjax.questions.sweep_rows import apart, of_batches, of_parts, together
from lrjax.results.parts import Parts
from lrjax.sharding import from_first, put_batch, replicated
from lrjax.types import Array

_READING = "logits and embeddings"
LOGIT_SCALE = 100.0
"""The factor of the cosines in every logit, constant in the published evaluations; it leaves rankings as they are."""

Program = Callable[[Batch, Array], Mapping[str, Array]]
"""What is computed of a batch and its labels, int32 [B, M] on the mesh: arrays [B, ...] of all processes, whole, of
which "finite" says whether the embeddings of an image are."""


@dataclass(frozen=True)
class Job:
    """What is done with every image of a source.

    Attributes:
        program: what is computed of a batch.
        specs: the views that the batches must be able to give; without any they hold whole images.
    """

    program: Program
    specs: tuple[ViewSpec, ...] = ()


class JobError(Exception):
    """A job of a sweep fails.

    Args:
        key: of the job.
        cause: what it raised.
    """

    def __init__(self, key: str, cause: Exception):
        super().__init__(key, cause)
        self.key, self.cause = key, cause


@dataclass(frozen=True)
class Bench:
    """A loaded model, and how images are fed to it.

    Attributes:
        predictor: the model, with what was trained for it.
        head: gives float32 [K, E] for a data set, one L2-normalised row per class.
        batch_size: images per batch over all processes; a multiple of the number of devices.
        workers: decoding threads of this process.
        on_error: what a damaged image does, "error" or "skip"; a skipped image is in no record.
        rgb: "after" converts images to RGB after the resizes, as LR0.FM does, "before" before them.
        part_size: images after which what is finished is put on disk; an interrupted sweep goes on behind it.
        parts: where finished parts are stored and found; None computes everything.
        title: what the progress of a sweep is called.
    """

    predictor: Predictor
    head: Callable[[Dataset], np.ndarray]
    batch_size: int = 64
    workers: int = 0
    on_error: str = "error"
    rgb: str = "after"
    part_size: int = 4096
    parts: Parts | None = None
    title: str = ""

    def sweep(
        self, source: Source, needs: Sequence[Need], jobs: Mapping[str, Job] = MappingProxyType({})
    ) -> tuple[list[dict[str, np.ndarray]], dict[str, dict[str, np.ndarray]]]:
        """Makes the records of needs that read "logits" or "embedding", and those of jobs; an image is decoded once.

        Args:
            source: the images.
            needs: all of the same data set, and of this source.
            jobs: by key.

        Returns:
            A record for each need, and one for each job, by key: "index", "label" ([n], or [n, M] filled with -1 where
            there are sets of labels), "skipped", the positions of the damaged images, and what was computed, with a row
            per image that was not skipped.

        Raises:
            UserError: the source is empty, the batch does not divide over the devices, or a stored part is damaged.
            ImageError: an image is damaged and `on_error` is "error".
            JobError: a job, or what the needs read, fails: every image is damaged, an embedding is not finite, ...
        """
        views = list(dict.fromkeys(need.views for need in needs))
        reading = {_READING: self._reading(needs, views)} if needs else {}
        found = self._loop(source, {**reading, **jobs})
        read = []
        for need in needs:
            rows = {name: found[_READING][name] for name in ("index", "label", "skipped")}
            read.append(rows | {need.read: found[_READING][need.read][:, views.index(need.views)]})
        return read, {key: found[key] for key in jobs}

    def _reading(self, needs: Sequence[Need], views: Sequence[Views]) -> Job:
        predictor, mesh, first = self.predictor, self.predictor.mesh, needs[0]
        wanted = {need.read for need in needs}
        head = jax.device_put(self.head(first.dataset), replicated(mesh)) if "logits" in wanted else None
        reader = _reader(mesh, embedding="embedding" in wanted)

        def program(batch: Batch, label: Array) -> Mapping[str, Array]:
            return reader(predictor.image(predictor.views(batch)), head)

        return Job(program, tuple(view_spec(predictor.row, one) for one in views))

    def texts(self, source: Source) -> dict[str, np.ndarray]:
        """Makes the record of the captions of a source.

        Args:
            source: images with captions.

        Returns:
            "embedding", float32 [T, E]; "index" of the captions; "label", the position of the image of each; and
            "skipped", of which there is none.

        Raises:
            UserError: an embedding is not finite.
        """
        found = source.captions
        assert found is not None, "a question that reads texts asks of captions"
        texts = [text for own in found for text in own]
        label = np.repeat(np.arange(len(found)), [len(own) for own in found])
        index, skipped = np.arange(len(texts)), np.arange(0)
        return {"index": index, "label": label, "skipped": skipped, "embedding": self.predictor.text(texts)}

    def _loop(self, source: Source, jobs: Mapping[str, Job]) -> dict[str, dict[str, np.ndarray]]:
        """Does all jobs with every image exactly once, in order."""
        ranges = self._ranges(len(source))
        finished = from_first(np.array([self.parts is not None and self.parts.has(_name(part)) for part in ranges]))
        todo = [part for part, there in zip(ranges, finished, strict=True) if not there]
        results = _one_behind(self._results(source, todo, jobs))
        found: dict[str, list[dict[str, np.ndarray]]] = {key: [] for key in jobs}
        note, hidden = "first batch, compiles what is new", jax.process_index() > 0
        with Progress(self.title, len(source), unit="image", note=note, hidden=hidden) as progress:
            for part, there in zip(ranges, finished, strict=True):
                rows = self._stored(part, jobs, progress) if there else self._computed(part, jobs, results, progress)
                for key in jobs:
                    found[key].append(rows[key])
        done = {}
        for key, parts in found.items():
            with failing(key):
                done[key] = of_parts(source, parts)
        return done

    def _stored(self, part: range, jobs: Iterable[str], progress: Progress) -> dict[str, dict[str, np.ndarray]]:
        """The rows of a part that was finished earlier, by job."""
        assert self.parts is not None
        progress.skip(len(part))
        return apart(self.parts.get(_name(part)), jobs)

    def _computed(
        self,
        part: range,
        jobs: Iterable[str],
        results: Iterator[dict[str, dict[str, np.ndarray]]],
        progress: Progress,
    ) -> dict[str, dict[str, np.ndarray]]:
        """The rows of a part, by job, which are stored."""
        batches = []
        for _ in range(0, len(part), self.batch_size):
            batches.append({key: self._checked(rows, key) for key, rows in next(results).items()})
            progress.set_postfix_str("")
            progress.update(int((next(iter(batches[-1].values()))["index"] >= 0).sum()))
        whole = {key: of_batches([batch[key] for batch in batches]) for key in jobs}
        # What is damaged now may be whole when the run goes on: such a part is computed again.
        damaged = any(len(rows["skipped"]) for rows in whole.values())
        if self.parts is not None and jax.process_index() == 0 and not damaged:
            self.parts.add(_name(part), together(whole))
        return whole

    def _checked(self, rows: dict[str, np.ndarray], job: str) -> dict[str, np.ndarray]:
        """The rows of a batch, whose embeddings are finite."""
        finite, index = rows.pop("finite") | ~rows["mask"], rows["index"]
        with failing(job):
            check_finite(finite, self.predictor.row.name, lambda number: f"image {index[number]} of the data set")
        return rows

    def _ranges(self, count: int) -> list[range]:
        """The parts of a source, each but the last a multiple of the batch."""
        if self.batch_size % self.predictor.mesh.size:
            raise UserError(
                f"config.evaluation.batch_size {self.batch_size} does not divide over {self.predictor.mesh.size} "
                "devices; use a multiple of it"
            )
        if count == 0:
            raise UserError("the data set has no images; check its folder")
        step = -(-self.part_size // self.batch_size) * self.batch_size
        return [range(first, min(first + step, count)) for first in range(0, count, step)]

    def _results(
        self, source: Source, parts: Sequence[range], jobs: Mapping[str, Job]
    ) -> Iterator[dict[str, Mapping[str, Array]]]:
        """What the jobs compute of every batch, on its way."""
        mesh, processes = self.predictor.mesh, jax.process_count()
        layouts = list(dict.fromkeys(job.specs for job in jobs.values()))
        loader = joint_batches(
            source,
            self.batch_size // processes,
            layouts=layouts,
            rgb=self.rgb,
            host=not self.predictor.resamples,
            shard=(jax.process_index(), processes),
            workers=self.workers,
            on_error=self.on_error,
            indices=np.concatenate([np.arange(0), *parts]),
        )
        width = 1
        for batches in loader:
            labels = [batch.labels.reshape(len(batch.labels), -1) for batch in batches]
            width = _largest(max(width, *(one.shape[1] for one in labels)))
            found = {}
            for key, job in jobs.items():
                place = layouts.index(job.specs)
                batch, label = batches[place], labels[place]
                label = np.pad(label, ((0, 0), (0, width - label.shape[1])), constant_values=-1)
                rows = put_batch({"label": label, "mask": batch.mask, "index": batch.index}, mesh)
                with failing(key):
                    if batch.damaged and self.on_error == "error":
                        raise batch.damaged[0]
                    computed = job.program(batch, rows["label"])
                found[key] = {**computed, **_everywhere(mesh)(rows)}
            yield found


def view_spec(backbone: Backbone, views: Views) -> ViewSpec:
    """Returns how a backbone's own preprocessing shows an image."""
    native = backbone.preprocess
    return ViewSpec(
        size=backbone.spec.image.size,
        mode=native.mode,
        kernel=native.kernel,
        low=views.resolution,
        pass_order=native.pass_order,
    )


@functools.cache
def _reader(mesh: Mesh, *, embedding: bool) -> Callable[[Array, Array | None], dict[str, Array]]:
    """Reads logits where it is given a head, and embeddings."""

    def read(embedded: Array, head: Array | None) -> dict[str, Array]:
        found = {"finite": jnp.isfinite(embedded).all(axis=(1, 2))}
        if head is not None:
            found["logits"] = similarities(LOGIT_SCALE * embedded, head)
        return found | ({"embedding": embedded} if embedding else {})

    return jax.jit(read, out_shardings=replicated(mesh))


@functools.cache
def _everywhere(mesh: Mesh) -> Callable[[Any], Any]:
    """Gives every process the rows of all; compiled once for all data sets."""
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def _one_behind(results: Iterable[dict[str, Mapping[str, Array]]]) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """Fetches each batch when the next one is on its way, so that the device does not wait for the host."""
    previous = None
    for one in results:
        if previous is not None:
            yield jax.device_get(previous)
        previous = one
    if previous is not None:
        yield jax.device_get(previous)


@contextlib.contextmanager
def failing(key: str) -> Iterator[None]:
    """Says which job of a sweep fails.

    Raises:
        JobError: the code in the context has raised something.
    """
    try:
        yield
    except Exception as error:
        raise JobError(key, error) from error


def _name(part: range) -> str:
    return f"{part.start}-{part.stop}"


def _largest(number: int) -> int:
    """The largest value of a number over all processes."""
    return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())
