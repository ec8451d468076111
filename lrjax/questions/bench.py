"""The bench of a question: the loaded model, and the one loop over images that all questions share."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from tqdm import tqdm

from lrjax.data.dataset import Dataset
from lrjax.data.images import ImageError
from lrjax.data.loader import Batch, batches
from lrjax.data.source import Examples, Source
from lrjax.errors import UserError
from lrjax.models.build import similarities
from lrjax.models.predict import Predictor, check_finite
from lrjax.models.row import Backbone
from lrjax.ops.preprocess import ViewSpec
from lrjax.questions.case import Arrays, Need, Views
from lrjax.results.parts import Parts
from lrjax.sharding import from_first, put_batch, replicated
from lrjax.types import Array

LOGIT_SCALE = 100.0
"""The factor of the cosines in every logit, constant in the published evaluations; it leaves rankings as they are."""

Program = Callable[[Batch, Array], Mapping[str, Array]]
"""What is computed of a batch and its labels, int32 [B, M] on the mesh: arrays [B, ...] of all processes, whole, of
which "finite" says whether the embeddings of an image are."""


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
        title: text of the progress bar.
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

    def read(self, needs: Sequence[Need]) -> list[dict[str, np.ndarray]]:
        """Makes the records of needs that read "logits" or "embedding"; an image is decoded once.

        Args:
            needs: at least one, all of the same data set and source.

        Returns:
            A record for each.

        Raises:
            UserError: as `sweep`.
        """
        predictor, mesh, first = self.predictor, self.predictor.mesh, needs[0]
        wanted, views = {need.read for need in needs}, list(dict.fromkeys(need.views for need in needs))
        head = jax.device_put(self.head(first.dataset), replicated(mesh)) if "logits" in wanted else None
        reader = _reader(mesh, embedding="embedding" in wanted)
        specs = [view_spec(predictor.row, one) for one in views]

        def program(batch: Batch, label: Array) -> Mapping[str, Array]:
            embedded = predictor.image(predictor.views(batch))
            return reader(embedded, head)

        found = self.sweep(first.source, program, specs=specs)
        rows = {name: found[name] for name in ("index", "label", "skipped")}
        return [rows | {need.read: found[need.read][:, views.index(need.views)]} for need in needs]

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

    def sweep(self, source: Examples, program: Program, *, specs: Sequence[ViewSpec] = ()) -> dict[str, np.ndarray]:
        """Runs a program over every image of a source exactly once, in order.

        Args:
            source: random-access examples {"image": PIL image or uint8 [H, W, 3], "label": int or tuple of ints, "id":
                str}.
            program: what is computed of a batch.
            specs: the views that the batches must be able to give; without any they hold whole images.

        Returns:
            What the program computed, with a row per image that was not skipped, "index", "label" ([n], or [n, M]
            filled with -1 where there are sets of labels), and "skipped", the positions of the damaged images.

        Raises:
            UserError: the source is empty, every image is damaged, the batch does not divide over the devices, a stored
                part is damaged, or an embedding is not finite.
            ImageError: an image is damaged and `on_error` is "error".
        """
        ranges = self._ranges(len(source))
        done = from_first(np.array([self.parts is not None and self.parts.has(_name(part)) for part in ranges]))
        todo = [part for part, finished in zip(ranges, done, strict=True) if not finished]
        results = _one_behind(self._results(source, todo, program, specs))
        found = []
        with tqdm(total=len(source), desc=self.title, unit="img", disable=jax.process_index() > 0) as progress:
            progress.set_postfix_str("first batch, compiles what is new")
            for part, finished in zip(ranges, done, strict=True):
                if finished:
                    assert self.parts is not None
                    found.append(self.parts.get(_name(part)))
                    progress.update(len(part))
                    continue
                rows = []
                for _ in range(0, len(part), self.batch_size):
                    rows.append(self._checked(next(results)))
                    progress.set_postfix_str("")
                    progress.update(int((rows[-1]["index"] >= 0).sum()))
                found.append(_part(rows))
                # What is damaged now may be whole when the run goes on: such a part is computed again.
                if self.parts is not None and jax.process_index() == 0 and not len(found[-1]["skipped"]):
                    self.parts.add(_name(part), found[-1])
        return _whole(source, found)

    def _checked(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of a batch, whose embeddings are finite."""
        finite, index = rows.pop("finite") | ~rows["mask"], rows["index"]
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
        self, source: Examples, parts: Sequence[range], program: Program, specs: Sequence[ViewSpec]
    ) -> Iterator[Mapping[str, Array]]:
        """What the program computes of every batch, on its way."""
        mesh, processes = self.predictor.mesh, jax.process_count()
        loader = batches(
            source,
            self.batch_size // processes,
            specs=specs,
            rgb=self.rgb,
            host=not self.predictor.resamples,
            shard=(jax.process_index(), processes),
            workers=self.workers,
            on_error=self.on_error,
            indices=np.concatenate([np.arange(0), *parts]),
        )
        width = 1
        for batch in loader:
            labels = batch.labels.reshape(len(batch.labels), -1)
            width = _largest(max(width, labels.shape[1]))
            labels = np.pad(labels, ((0, 0), (0, width - labels.shape[1])), constant_values=-1)
            rows = put_batch({"label": labels, "mask": batch.mask, "index": batch.index}, mesh)
            yield {**program(batch, rows["label"]), **_everywhere(mesh)(rows)}


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


def _one_behind(results: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, np.ndarray]]:
    """Fetches each batch when the next one is on its way, so that the device does not wait for the host."""
    previous = None
    for one in results:
        if previous is not None:
            yield jax.device_get(previous)
        previous = one
    if previous is not None:
        yield jax.device_get(previous)


def _part(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows of some batches; those without an image are left out, and the damaged ones named."""
    joined = _joined(rows)
    mask, index = joined.pop("mask"), joined["index"]
    return {name: array[mask] for name, array in joined.items()} | {"skipped": index[~mask & (index >= 0)]}


def _joined(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Rows of several batches or parts, one after the other; sets of labels are filled up with -1."""
    width = max(part["label"].shape[1] for part in parts)
    labels = [
        np.pad(part["label"], ((0, 0), (0, width - part["label"].shape[1])), constant_values=-1) for part in parts
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "label"}
    return joined | {"label": np.concatenate(labels)}


def _whole(source: Examples, parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """All parts; every image of the source is in them once."""
    found = _joined(parts)
    index, skipped, label = found["index"], found["skipped"], found["label"]
    if len(skipped) == len(source):
        first = damaged_name(source, int(skipped[0]))
        raise ImageError(f"all {len(skipped)} images are damaged, the first is {first}; nothing can be measured", first)
    if not np.array_equal(np.sort(np.concatenate([index, skipped])), np.arange(len(source))):
        raise AssertionError(f"{len(index)} images counted and {len(skipped)} skipped of {len(source)}")
    return found | {"label": label[:, 0] if label.shape[1] == 1 else label}


def damaged_name(source: Examples, index: int) -> str:
    """Returns the name of an image that cannot be read."""
    try:
        return str(source[index]["id"])
    except ImageError as error:
        return error.name


def _name(part: range) -> str:
    return f"{part.start}-{part.stop}"


def _largest(number: int) -> int:
    """The largest value of a number over all processes."""
    return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())
