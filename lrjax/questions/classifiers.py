"""The text classifiers of a run, kept on disk: for many classes and templates the text tower takes a while."""

import dataclasses
import logging
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float32

from lrjax.data.datasets import Dataset, prompts_hash
from lrjax.data.prompts import class_prompts
from lrjax.models.predict import Predictor
from lrjax.results.store import content_key, npz_bytes, write_atomically
from lrjax.sharding import from_first

VERSION = 2
_LOG = logging.getLogger(__name__)


def classifier_key(predictor: Predictor, dataset: Dataset, *, weights: str, precision: str) -> str:
    """Hashes what determines a text classifier: weights, text tower, tokenizer, prompts and precision.

    Args:
        predictor: the backbone.
        dataset: gives class names and templates.
        weights: hash of the backbone's weights.
        precision: compute dtype.
    """
    text, tokenizer = predictor.row.spec.text, predictor.tokenizer
    return content_key(
        version=VERSION,
        weights=weights,
        tower=text and dataclasses.asdict(text),
        tokenizer=tokenizer and tokenizer.fingerprint,
        prompts=prompts_hash(dataset),
        precision=precision,
    )


def text_classifier(
    predictor: Predictor, dataset: Dataset, folder: Path, *, weights: str, precision: str
) -> Float32[np.ndarray, "K E"]:
    """Returns the zero-shot classifier of a data set, from an earlier evaluation where there was one.

    Args:
        predictor: the backbone.
        dataset: gives class names and templates.
        folder: where classifiers are kept; process 0 alone reads and writes it.
        weights: hash of the backbone's weights.
        precision: compute dtype.

    Returns:
        That of `Predictor.classifier`.
    """
    if jax.process_index() == 0 and (pair := _same_text(predictor, dataset)):
        _LOG.warning(
            "data set '%s': classes '%s' and '%s' are one text to the tokenizer of %s, so that images of the second "
            "are always taken for the first; write them in other words",
            dataset.name,
            *pair,
            predictor.row.name,
        )
    key = classifier_key(predictor, dataset, weights=weights, precision=precision)
    path, shape = folder / f"{key}.npz", (len(dataset.classes), predictor.row.spec.image.embedding)
    found = _read(path, shape) if jax.process_index() == 0 else None
    if from_first(np.array(found is not None)):
        return from_first(np.zeros(shape, np.float32) if found is None else found)
    classifier = predictor.classifier(class_prompts(dataset.classes, dataset.templates))
    if jax.process_index() == 0:
        write_atomically(path, npz_bytes({"classifier": classifier}))
    return classifier


def _same_text(predictor: Predictor, dataset: Dataset) -> tuple[str, str] | None:
    """Two classes of different names whose prompts the tokenizer cannot tell apart, where there are such."""
    if predictor.tokenizer is None:
        return None
    prompts = class_prompts(dataset.classes, dataset.templates[:1])
    seen: dict[bytes, str] = {}
    for name, ids in zip(dataset.classes, predictor.tokenizer([text for (text,) in prompts]), strict=True):
        if (first := seen.setdefault(ids.tobytes(), name)) != name:
            return first, name
    return None


def _read(path: Path, shape: tuple[int, int]) -> Float32[np.ndarray, "{shape[0]} {shape[1]}"] | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            classifier = arrays["classifier"]
        if classifier.shape != shape or classifier.dtype != np.float32:
            raise ValueError(f"it holds {classifier.dtype} {list(classifier.shape)}, not float32 {list(shape)}")
    except Exception as error:  # a damaged zip file raises BadZipFile, ValueError, EOFError, zlib.error, ...
        _LOG.warning("text classifier %s is damaged (%s) and is made again", path, error)
        return None
    return classifier
