"""The lrjax side: the sweep of all questions, as it is."""

import time
from typing import Any

import channel
import jax
import numpy as np

import lrjax
from lrjax.data.datasets import get_dataset
from lrjax.data.images import decode, prepare
from lrjax.data.sources import ImageFolder
from lrjax.metrics.accuracy import topk
from lrjax.questions.bench import Bench, view_spec
from lrjax.questions.case import Need, Views

_STATE: dict[str, Any] = {}


def load(model: str, folder: str, batch: int, workers: int) -> None:
    """Loads the model and writes its classifier for the other side."""
    if model == "embedded":
        predictor, dataset = lrjax.load("EVA02-embedded", "embedded", devices=1), get_dataset("scenes")
        classifier = lrjax.zero_shot_classifier(predictor, dataset.classes, dataset.templates)
    else:
        predictor = lrjax.load(f"{model}:openai", f"{folder}/model.safetensors", devices=1)
        classifier = np.load(f"{folder}/classifier.npy")
    np.save(f"{folder}/classifier.npy", classifier)
    source = ImageFolder(f"{folder}/images")
    _STATE.update(predictor=predictor, classifier=classifier, source=source, batch=batch, workers=workers)


def evaluate(resolutions: list) -> dict:
    """Returns the seconds of an evaluation and the top-1 guesses by resolution."""
    start, processor = time.perf_counter(), time.process_time()
    head, batch, workers = (_STATE[name] for name in ("classifier", "batch", "workers"))
    bench = Bench(predictor=_STATE["predictor"], head=lambda _: head, batch_size=batch, workers=workers)
    records, _ = bench.sweep(
        _STATE["source"],
        [Need(dataset=get_dataset("scenes"), source=_STATE["source"], views=one) for one in _views(resolutions)],
    )
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    guesses = {
        str(side): topk(record["logits"], 1)[:, 0].tolist() for side, record in zip(resolutions, records, strict=True)
    }
    return {"seconds": seconds, "processor": processor, "guesses": guesses}


def _views(resolutions: list) -> list[Views]:
    return [Views(resolution=None if side == "hr" else side) for side in resolutions]


def parts(resolutions: list) -> dict[str, float]:
    """Returns milliseconds of the processor per image in each part, alone."""
    predictor, paths = _STATE["predictor"], _STATE["source"].paths[: _STATE["batch"]]
    specs = [view_spec(predictor.row, one) for one in _views(resolutions)]
    start = time.process_time()
    images = [decode(path) for path in paths]
    decoded = time.process_time()
    views = np.stack([prepare(image, specs, host=True)[1] for image in images])
    rendered = time.process_time()
    jax.block_until_ready(predictor.image(views))
    start_forward = time.process_time()
    jax.block_until_ready(predictor.image(views))
    spent = {"decode": decoded - start, "resample": rendered - decoded, "forward": time.process_time() - start_forward}
    return {part: 1000 * seconds / len(paths) for part, seconds in spent.items()}


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (load, evaluate, parts)})
