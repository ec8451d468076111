"""The course of a training: CSV files that are continued, and a chart."""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.errors import UserError
from lrjax.results.store import write_atomically
from lrjax.train.writers import Writer

COLUMNS = ("step", "loss", "scale", "learning_rate", "gradient_norm", "norm", "images")
SCORE_COLUMNS = ("step", "score")


class History:
    """One line per step in `training.csv`, numbers in as many digits as float32 needs, and scores in `scores.csv`.

    Args:
        directory: the working directory.
        first: step to continue after; lines of later ones, of a killed process, are written anew.
        writers: what else the numbers go to.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, directory: Path, *, first: int, writers: Sequence[Writer] = ()):
        self.path, self._scores_path = directory / "training.csv", directory / "scores.csv"
        self.rows = [row for row in read_table(self.path, COLUMNS) if int(row["step"]) <= first]
        self.scores = [row for row in read_table(self._scores_path, SCORE_COLUMNS) if int(row["step"]) <= first]
        _write_table(self.path, COLUMNS, self.rows)
        self._writers = writers
        self._file = self.path.open("a", newline="")
        self._writer: csv.DictWriter[str] = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what `add` could not write has been told
            self._file.close()

    def add(self, step: int, numbers: Mapping[str, float], images: Iterable[str]) -> None:
        """Writes the line of a step.

        Args:
            step: counted from 1.
            numbers: by column.
            images: ids of the batch, of which a hash is kept; of several processes those that the first one reads.
        """
        row = {"step": str(step)} | {name: str(np.float32(value)) for name, value in numbers.items()}
        row["images"] = hashlib.sha256("\n".join(images).encode()).hexdigest()[:16]
        self.rows.append(row)
        try:
            self._writer.writerow(row)
            self._file.flush()
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error}); make room and run again to continue") from error
        for writer in self._writers:
            writer.scalars(step, {name: float(value) for name, value in numbers.items()})

    def add_score(self, step: int, score: float) -> None:
        """Writes the score of the evaluation after a step."""
        self.scores = [row for row in self.scores if row["step"] != str(step)]
        self.scores.append({"step": str(step), "score": str(np.float32(score))})
        _write_table(self._scores_path, SCORE_COLUMNS, self.scores)
        for writer in self._writers:
            writer.scalars(step, {"score": float(score)})

    def chart(self, title: str) -> Chart | None:
        """The loss by step, thinned to at most 500 means; None without lines."""
        if not self.rows:
            return None
        steps, losses = (np.array([float(row[name]) for row in self.rows]) for name in ("step", "loss"))
        parts = np.array_split(np.arange(len(steps)), min(len(steps), 500))
        line = Series(
            name="loss",
            x=[float(steps[part[-1]]) for part in parts],
            y=[float(losses[part].mean()) for part in parts],
            marker="" if len(parts) > 1 else "circle",
        )
        return Chart(
            name="training",
            title=title,
            panels=[Panel(title="", series=[line])],
            x=Axis(label="step"),
            y=Axis(label="loss"),
            alt=f"The loss of {len(steps)} steps, from {losses[0]:.3f} to {losses[-1]:.3f}.",
        )


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Returns the lines of a CSV file of `History`, without a last one that was cut off.

    Args:
        path: the file; where there is none there are no lines.
        columns: its columns, "step" first.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")[:-1]  # what follows the last line end was cut off
    rows = list(csv.DictReader(lines))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or tuple(row) != tuple(columns) or not row["step"].isdecimal():
            raise UserError(f"{path}, line {number} is damaged; remove the file to begin it anew")
    return rows


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        write_atomically(path, text.getvalue())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}); make room and run again to continue") from error
