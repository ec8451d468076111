"""Zero-shot classification at every resolution (LR0.FM, arXiv 2502.03950, section 3)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lrjax.checks.ranges import Side
from lrjax.display.page import Page
from lrjax.metrics.accuracy import topk
from lrjax.metrics.label_sets import in_label_set
from lrjax.questions.base import Question
from lrjax.questions.case import Arrays, Case, Measurement, Need, Outcomes, Samples, Score, Setting, Views
from lrjax.results.row import Row

_TOP = 5


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Question):
    """Is the class whose prompts are nearest to the image the right one?

    Attributes:
        resolutions: sides in pixels to which images are reduced before the model sees them, beside the size of its
            own input, "hr".
    """

    version: ClassVar[int] = 2
    headline: ClassVar[str] = "acc1"
    higher_is_better: ClassVar[Mapping[str, bool]] = {"acc1": True, "acc5": True}
    choosing: ClassVar[frozenset[str]] = frozenset({"resolutions"})

    resolutions: tuple[Side, ...] = (16, 32, 64, 128)

    def check(self, setting: Setting) -> None:
        """Refuses resolutions above the input of the model."""
        super().check(setting)
        setting.check_sides(self.resolutions)

    def plan(self, setting: Setting) -> Iterable[Case]:
        """Plans a case per data set and resolution."""
        for dataset, source in setting.datasets:
            for side in setting.sides(self.resolutions):
                need = Need(dataset=dataset, source=source, views=Views(resolution=side))
                yield Case(dataset=dataset, needs={"test": need}, condition={"resolution": side or "hr"})

    def score(self, case: Case, records: Mapping[str, Arrays]) -> Score:
        """Measures top-1 accuracy and, with at least five classes, top-5; stores the five best classes.

        A guess is right if it is in the set of labels.
        """
        test = records["test"]
        top = topk(test["logits"], min(_TOP, test["logits"].shape[1]))
        hits = np.stack([in_label_set(guess, test["label"]) for guess in top.T])
        counts = {"acc1": hits[0].sum()} | ({"acc5": hits.any(axis=0).sum()} if len(hits) == _TOP else {})
        measurements = [Measurement(metric, int(count) / len(top), len(top)) for metric, count in counts.items()]
        return Score(measurements, {"index": test["index"], "label": test["label"], "top5": top})

    @classmethod
    def outcomes(cls, samples: Arrays) -> Mapping[str, Outcomes]:
        """Returns which images are right."""
        hits = np.stack([in_label_set(guess, samples["label"]) for guess in samples["top5"].T])
        best = {"acc1": hits[:1]} | ({"acc5": hits} if len(hits) == _TOP else {})
        return {metric: Outcomes(samples["index"], (np.any(right, axis=0),)) for metric, right in best.items()}

    @classmethod
    def page(cls, rows: Sequence[Row], samples: Samples, *, duplicates: str = "error") -> Page | None:
        """Shows nothing: accuracies have the leaderboard."""
        return None
