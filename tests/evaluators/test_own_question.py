"""A question in a file outside of the package, asked by the command line and shown by the report."""

import math

import pytest

from lrjax.models import zoo
from lrjax.report.command import main as report
from lrjax.results.store import ResultStore
from run_helpers import Command, failure, tiny_row, write_checkpoint, write_recipe

QUESTION = '''
"""How certain a model is."""
from __future__ import annotations
import dataclasses
from typing import ClassVar
import numpy as np
from lrjax.questions.base import Question
from lrjax.questions.case import Case, Measurement, Need, Score

@dataclasses.dataclass(frozen=True)
class Entropy(Question):
    """Mean entropy of the guesses, in nats."""
    scale: float = 1.0
    version: ClassVar[int] = 1
    headline: ClassVar[str] = "entropy"
    higher_is_better: ClassVar[dict] = {"entropy": False}

    def plan(self, setting):
        for dataset, source in setting.datasets:
            yield Case(dataset=dataset, needs={"test": Need(dataset=dataset, source=source)})

    def score(self, case, records):
        logits = self.scale * records["test"]["logits"].astype(np.float64)
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        entropy = -(chances * np.log(np.maximum(chances, 1e-300))).sum(1)
        return Score([Measurement("entropy", float(entropy.mean()), len(entropy))], {"entropy": entropy})
'''


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tiny_row(), tmp_path_factory.mktemp("weights"))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, checkpoint):
    """The command line, in a folder with the question; its text may be another one."""
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(
        tmp_path / "recipe.py",
        model="tiny",
        source=str(checkpoint),
        workdir="run",
        devices=1,
        data={"names": ("shapes",), "count": 6, "workers": 1},
        questions={
            "accuracy": {"type": "zeroshot", "resolutions": ()},
            "certain": {"type": "own.py:Entropy", "scale": 0.0},
        },
        evaluation={"batch_size": 2},
        report={"plots": False, "weights": "equal"},
    )

    def asked(text, *arguments):
        (tmp_path / "own.py").write_text(text)
        return Command(capsys)("--config", recipe, *arguments)

    return asked


def test_a_question_in_a_file(run, tmp_path, capsys, caplog, monkeypatch):
    status, stdout, stderr = run(QUESTION)
    assert status == 0, stderr
    (row,) = (row for row in ResultStore("run").rows if row.question == "certain")
    classes = row.extra["classes"]
    assert (row.kind, row.metric, row.n) == ("own.py:Entropy", "entropy", 6)
    assert row.value == pytest.approx(math.log(classes))  # scale 0: all classes are equally likely
    shown = f"{row.value:.4f}"
    folder = tmp_path / "run" / "report"
    for text in (stdout, *((folder / f"certain.{one}").read_text() for one in ("html", "csv", "md", "tex"))):
        assert "entropy" in text
        assert shown in text
    assert "certain.html" in (folder / "index.html").read_text()
    assert "Mean entropy of the guesses, in nats." in (folder / "certain.html").read_text()

    with monkeypatch.context() as patched:  # nothing is computed again
        patched.setattr("lrjax.questions.bench.Bench.sweep", None)
        patched.setattr("lrjax.runs.asking.Asking._store", None)
        status, _, stderr = run(QUESTION)
    assert status == 0, stderr
    assert "certain on shapes (vanilla): finished earlier" in stderr

    # another file is another question, of the same records
    with monkeypatch.context() as patched:
        patched.setattr("lrjax.questions.bench.Bench.sweep", None)
        status, _, stderr = run(QUESTION.replace("entropy.mean()", "entropy.mean() + 1"))
    assert status == 0, stderr
    assert ResultStore("run").rows[-1].value == pytest.approx(row.value + 1)

    (tmp_path / "own.py").unlink()
    capsys.readouterr()
    assert report(["run", "--no-studies", "--no-plots", "--newest"]) == 0
    told = (
        "results of 'certain' are shown as a plain table; for more run this where its file is found: question 'own.py:"
    )
    assert told in caplog.text
    assert "Numbers of a question whose file is not found." in (folder / "certain.html").read_text()
    assert (folder / "table2.csv").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "logits = self",
            "logits = 1 / 0 + self",
            "question 'certain' (own.py:Entropy) fails with ZeroDivisionError",
        ),
        ("return Score(", "return list(", "question 'certain' (own.py:Entropy) fails with TypeError: "),
        ("float(entropy.mean())", "float('nan')", "fails with TypeError: score gives nan of 6 examples for 'entropy'"),
        ('{"entropy": entropy}', '{"entropy": [object()]}', "as the samples 'entropy' instead of an array of numbers"),
        (
            "    def plan",
            "    @classmethod\n    def page(cls, rows, samples, **options):\n        return 3\n\n    def plan",
            "fails with TypeError: page gives 3 instead of a Page",
        ),
    ],
)
def test_a_wrong_question_is_named_and_other_results_are_kept(run, old, new, message):
    found = failure(run(QUESTION.replace(old, new, 1)), alone=False)
    assert message in found
    assert "accuracy" in {row.question for row in ResultStore("run").rows}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "import numpy as np",
            "import nympy as np",
            "cannot be imported (ModuleNotFoundError: No module named",
        ),
        ("class Entropy(", "class Other(", "cannot be imported (AttributeError: "),
        ("@dataclasses.dataclass(frozen=True)\n", "", "is no question; write a frozen dataclass, derived from"),
        ("def score", "def scores", "question 'own.py:Entropy' of config.questions lacks score; add it"),
        ("    version: ClassVar[int] = 1\n", "", "lacks version; add it"),
        (
            "    def plan",
            "    def check(self, setting):\n        {}['x']\n\n    def plan",
            "fails with KeyError: 'x' (",
        ),
    ],
)
def test_a_file_that_holds_no_question_is_refused_before_weights_are_read(run, old, new, message):
    assert message in failure(run(QUESTION.replace(old, new, 1)))
