"""The files of a training besides its checkpoints: what was trained, the best of it, the course."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from lrjax.config import Config
from lrjax.display.charts import png
from lrjax.models.row import Backbone
from lrjax.results.store import write_atomically
from lrjax.sharding import from_first, to_host
from lrjax.train.history import History
from lrjax.train.writers import open_writers
from lrjax.types import Tree
from lrjax.weights.token_file import write_adaptation

RESULT, BEST = "tokens.safetensors", "best.safetensors"


class Outputs:
    """Writes the files of a training; of several processes the first one does.

    Args:
        config: the run.
        row: the backbone.
        weights: hash of its weights.
        name: what the chart calls the model; "" for the name of the backbone.
        evaluate: scores an adaptation after a step, more is better; None where there is no evaluation.
    """

    def __init__(
        self,
        config: Config,
        row: Backbone,
        *,
        weights: str,
        name: str = "",
        evaluate: Callable[[Tree, int], float] | None = None,
    ):
        if config.train.evaluate_every and evaluate is None:
            raise ValueError("config.train.evaluate_every is set, but there is no function that evaluates")
        self.config, self.row, self.name, self.evaluate = config, row, name or row.name, evaluate
        self.directory, self.leads = Path(config.workdir), jax.process_index() == 0
        self.facts = {"recipe": dataclasses.asdict(config.train), "seed": config.seed, "weights": weights}
        self._history: History | None = None

    @contextmanager
    def begin(self, first: int) -> Iterator[None]:
        """Opens the files to continue after the step `first`, and draws the course at the end."""
        if not self.leads:
            yield
            return
        facts = {"backbone": self.row.name, "workdir": str(self.directory), **self.facts}
        with (
            open_writers(self.config.train, self.directory, first=first, title=self.name, facts=facts) as writers,
            History(self.directory, first=first, writers=writers) as self._history,
        ):
            yield
            chart = self._history.chart(f"Training of {self.name}")
            if chart is not None and self.config.report.plots:
                write_atomically(self.directory / "training.png", png.draw(chart))

    def add(self, step: int, numbers: Mapping[str, float], images: Sequence[str]) -> None:
        """Notes the numbers of a step."""
        if self._history is not None:
            self._history.add(step, numbers, images)

    def score(self, step: int, adaptation: Tree) -> None:
        """Evaluates an adaptation and keeps it if it is the best so far."""
        assert self.evaluate is not None
        score, best = self.evaluate(adaptation, step), False
        if self._history is not None:
            self._history.add_score(step, score)
            highest = max(self._history.scores, key=lambda row: float(row["score"]))  # of equal ones the first
            best = highest["step"] == str(step)
        if from_first(np.array(best)):
            self.write(BEST, adaptation, step=step, score=score)

    def write(self, name: str, adaptation: Tree, **facts: float) -> None:
        """Writes an adaptation with the recipe into the working directory; all processes call it together."""
        adaptation = to_host(adaptation)
        if self.leads:
            write_adaptation(self.directory / name, adaptation, model=self.row.name, facts=self.facts | facts)
