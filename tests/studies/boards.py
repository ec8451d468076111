"""Small leaderboards made by hand, and own runs."""

import dataclasses

import numpy as np

from lrjax.leaderboard.board import Entry, Leaderboard, published_leaderboard
from lrjax.metrics.robustness import PAPER_CLASS_COUNTS
from lrjax.results.row import Row

RESOLUTIONS = (16, 32, 64, 128, "hr")


def board(entries, low, *, high=0.9):
    """Two data sets of weights 1 and 3; the accuracy is `low` at 16 to 128 pixels and `high` at "hr"."""
    low = np.asarray(low, float)
    top1 = np.stack([np.stack([low] * 4 + [np.full(len(low), high)], axis=1)] * 2, axis=1)  # [M, 2, 5]
    return Leaderboard(
        entries=tuple(entries),
        datasets=("a", "b"),
        resolutions=RESOLUTIONS,
        top1=top1,
        reference=top1[..., -1],
        classes={"a": 10, "b": 10},
        weights={"a": 1.0, "b": 3.0},
    )


def entry(name, **changes):
    fields = {
        "family": "F", "backbone": f"{name}:tag", "tower": "vit", "image_size": 224, "patch": 16,
        "parameters": 100_000_000, "gflops": 10.0, "data": "WIT-400M", "pairs": 400.0,
    }  # fmt: skip
    return Entry(name=name, **(fields | changes))


def rows(datasets, model="EVA02-B-16", value=0.4):
    """Result rows of an unmodified model, half as accurate at every low resolution."""
    found = []
    for dataset in datasets:
        for resolution in RESOLUTIONS:
            found.append(
                Row(
                    model=model,
                    variant="vanilla",
                    dataset=dataset,
                    condition={"resolution": resolution},
                    metric="acc1",
                    value=2 * value if resolution == "hr" else value,
                    n=100,
                    key=f"{model}-{dataset}",
                    config_hash="c",
                    question="zeroshot",
                    kind="zeroshot",
                    question_version=1,
                    seed=None,
                    versions={},
                    extra={
                        "parameters": 149_700_000,
                        "classes": PAPER_CLASS_COUNTS.get(dataset, 10),
                        "image_size": 224,
                        "expected": 100,
                    },
                )
            )
    return found


def with_own(name="mine", war_like=0):
    """The published leaderboard with an own run that copies the accuracies of a published entry."""
    published = published_leaderboard()
    own = dataclasses.replace(published.entries[war_like], name=name, own=True)
    return dataclasses.replace(
        published,
        entries=(*published.entries, own),
        top1=np.concatenate([published.top1, published.top1[[war_like]]]),
        reference=np.concatenate([published.reference, published.reference[[war_like]]]),
    )
