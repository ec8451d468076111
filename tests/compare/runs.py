"""Runs on disk whose images are right or wrong as a test says."""

import numpy as np

from lrjax.results.row import Row
from lrjax.results.store import ResultStore, content_key

CLASSES = 7


def row(dataset, resolution, **changes):
    values = {
        "model": "M",
        "variant": "vanilla",
        "question": "zeroshot",
        "kind": "zeroshot",
        "question_version": 2,
        "dataset": dataset,
        "condition": {"resolution": resolution},
        "metric": "acc1",
        "config_hash": "c",
        "seed": None,
        "versions": {},
        "extra": {"classes": CLASSES},
    }
    return Row(**values | changes)


def labels(count):
    return np.arange(count) % CLASSES


def stored(directory, hits, *, order=None, extra=None, **changes):
    """Stores a run; `hits` says by (data set, resolution) which images are right. Returns its directory as text."""
    for (dataset, resolution), right in hits.items():
        right = np.array(right, bool)
        count, key = len(right), content_key(dataset=dataset, resolution=resolution, **changes)
        index = np.arange(count) if order is None else np.array(order)
        label = labels(count)[index]
        # the label is the first of the five guesses, or none of them
        top = (label[:, None] + np.where(right[index, None], [0, 2, 3, 4, 5], [1, 2, 3, 4, 5])) % CLASSES
        facts = {"classes": CLASSES, "images": {"fingerprint": f"{dataset}:{count}"}} | (extra or {})
        values = {"value": right.mean(), "n": count, "key": key, "extra": facts} | changes
        rows = [row(dataset, resolution, **values, metric=metric) for metric in ("acc1", "acc5")]
        ResultStore(directory).add(rows, {key: {"index": index, "label": label, "top5": top}})
    return str(directory)


def hits(both, first, second, neither):
    """Which images two systems get right."""
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
