"""Several backbones in one run: each is loaded once and released, a bad one costs nothing but itself."""

import csv
import gc
import hashlib
import weakref

import jax
import numpy as np
import pytest

from lrjax.data.procedural import ProceduralSource
from lrjax.models import zoo
from lrjax.report.command import main as report
from lrjax.results.store import ResultStore
from lrjax.runs import stages
from run_helpers import Command, failure, tiny_row, write_checkpoint, write_recipe

pytestmark = pytest.mark.usefixtures("light_compilation")

MODELS = ("tiny", "tiny@48")
SIDES = ("8", "16", "HR")


@pytest.fixture
def command(capsys):
    return Command(capsys)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tiny_row(), tmp_path_factory.mktemp("checkpoint"), one_class=False)


@pytest.fixture
def recipe(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    return write_recipe(
        tmp_path / "recipe.py",
        models=tuple(f"{name}={checkpoint}" for name in MODELS),
        workdir=str(tmp_path / "run"),
        devices=1,
        data={"names": ("shapes", "colours"), "count": 24, "workers": 0},
        questions={"zeroshot": {"resolutions": (8, 16)}},
        evaluation={"batch_size": 8},
        report={"plots": False, "weights": "equal"},
    )


@pytest.fixture
def loads(monkeypatch):
    """The names of all backbones that were loaded, and of each whether the earlier ones were gone."""
    found, alive, original = [], [], stages.load

    def load(name, *arguments, **options):
        found.append((name, [one() for one in alive if one() is not None]))
        predictor = original(name, *arguments, **options)
        alive.extend(weakref.ref(leaf) for leaf in jax.tree.leaves(predictor.params))
        return predictor

    monkeypatch.setattr(stages, "load", load)
    return found


@pytest.mark.slow
def test_one_table_of_all(command, tmp_path, recipe, loads, monkeypatch):
    decoded, original = [], ProceduralSource.__getitem__
    monkeypatch.setattr(ProceduralSource, "__getitem__", lambda self, i: (decoded.append(i), original(self, i))[1])
    gc.collect()
    before = sum(array.nbytes for array in jax.live_arrays())
    status, shown, stderr = command("--config", recipe)
    assert status == 0, stderr
    assert loads == [(name, []) for name in MODELS]  # once each, with nothing left of the one before
    assert sum(array.nbytes for array in jax.live_arrays()) <= before + 10_000
    assert len(decoded) == len(MODELS) * 2 * 24  # all resolutions of a model from one decoding
    assert "\nMean top-1 accuracy, shapes, colours\n" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.startswith(" tiny")] == list(MODELS)
    printed = (tmp_path / "run" / "report" / "report.md").read_text()
    for part in ("Robustness by resolution", "Top-1 accuracy by data set", "Robustness with intervals", "Differences"):
        assert f"# {part}\n" in printed
    rows = ResultStore(tmp_path / "run").rows
    assert [row.model for row in rows] == [name for name in MODELS for _ in range(2 * 3 * 2)]
    assert {row.resolution for row in rows} == {8, 16, "hr"}
    report = tmp_path / "run" / "report"
    with (report / "intervals.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["Model"], line["At"]) for line in lines] == [
        (name, at) for name in MODELS for at in ("8", "16", "HR")
    ]
    for line in lines:
        assert float(line["ACC low"]) <= float(line["ACC"]) <= float(line["ACC high"])
        accuracies = [
            row.value
            for row in rows
            if (row.model, str(row.resolution).upper(), row.metric) == (line["Model"], line["At"], "acc1")
        ]
        assert float(line["ACC"]) == pytest.approx(100 * np.mean(accuracies), abs=1e-4)
    with (report / "differences.csv").open(newline="") as file:
        assert [tuple(line.values())[:3] for line in csv.DictReader(file)] == [("tiny@48", "tiny", at) for at in SIDES]
    page = (report / "index.html").read_text()
    for text in ("Robustness with intervals", "Differences", "tiny@<wbr>48", lines[0]["ACC"][:4]):
        assert text in page
    assert r"\begin{tabular}" in (report / "table2.tex").read_text()
    assert len(list((tmp_path / "run" / "classifiers").iterdir())) == 2  # the text tower is that of both

    results, loads[:] = (tmp_path / "run" / "results.jsonl").read_bytes(), []
    decoded.clear()
    status, again, _ = command("--config", recipe)
    assert (status, again, decoded) == (0, shown, [])
    assert (tmp_path / "run" / "results.jsonl").read_bytes() == results


@pytest.mark.slow
def test_a_model_that_fails_is_named_after_the_others_are_done(command, tmp_path, recipe, checkpoint, monkeypatch):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:-10])
    broken.with_name("tokenizer.json").write_bytes(checkpoint.with_name("tokenizer.json").read_bytes())
    sources = {"tiny": checkpoint, "tiny@48": broken, "tiny@64": checkpoint}

    def run():
        return command("--config", recipe, *(f"--config.models={name}={source}" for name, source in sources.items()))

    def evaluated():
        return [row.model for row in ResultStore(tmp_path / "run").rows]

    message = failure(run(), alone=False)
    assert message.startswith("1 of 3 models failed: broken@48; see the warnings above, and run the same command again")
    assert evaluated() == ["tiny"] * 12 + ["tiny@64"] * 12
    assert "tiny@64" in (tmp_path / "run" / "report" / "table2.csv").read_text()

    original, sources["tiny@48"] = stages.load, checkpoint

    def out_of_memory(name, *arguments, **options):
        if name == "tiny@48":
            raise MemoryError("no room")
        return original(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "load", out_of_memory)
        status, _, stderr = run()
    assert status == 2
    assert "warning: tiny@48 is left out: no room\nTraceback" in stderr
    assert stderr.splitlines()[-1].startswith("error: 1 of 3 models failed: tiny@48")
    status, _, stderr = run()
    assert status == 0
    assert stderr.count("finished earlier") == 4
    assert evaluated() == ["tiny"] * 12 + ["tiny@48"] * 12 + ["tiny@64"] * 12  # as if nothing had failed


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["tiny=CHECKPOINT", "tiny@48=nowhere.pt"], "checkpoint 'nowhere.pt' does not exist"),
        (["tiny=CHECKPOINT", "tinny=CHECKPOINT"], "unknown backbone 'tinny'; did you mean tiny"),
        (["tiny=CHECKPOINT", "tiny@50=CHECKPOINT"], "tiny cannot run at 50 pixels; give a multiple of 8"),
        (["tiny=CHECKPOINT", "tiny@8=CHECKPOINT"], "resolution 16 is larger than the 8 px input of tiny@8"),
        (["tiny=CHECKPOINT", "tiny@32=CHECKPOINT"], "config.models names 'tiny' twice; remove one"),
        (["tiny=CHECKPOINT", "tiny@48"], "tiny@48 has no hub id"),
    ],
)
def test_a_bad_model_is_found_before_the_first_is_loaded(command, tmp_path, recipe, checkpoint, loads, models, message):
    models = [f"--config.models={name.replace('CHECKPOINT', str(checkpoint))}" for name in models]
    assert message in failure(command("--config", recipe, *models))
    assert loads == []
    assert not (tmp_path / "run").exists()


def test_a_working_directory_in_use(command, tmp_path, recipe, loads):
    from lrjax.results.lock import locked

    with locked(tmp_path / "run"):
        assert f"another run writes to {tmp_path / 'run'}" in failure(command("--config", recipe))
    assert loads == []


@pytest.fixture(scope="module")
def second(checkpoint, tmp_path_factory):
    """Other weights of the same architecture, in a file of the user."""
    folder = tmp_path_factory.mktemp("second")
    path = write_checkpoint(tiny_row(), folder, seed=2, one_class=False)
    return path.rename(folder / "mine.safetensors")


def by_model(rows):
    """The values of every model in their order."""
    found = {}
    for row in rows:
        found.setdefault(row.model, []).append((row.dataset, row.resolution, row.metric, row.value))
    return found


@pytest.mark.slow
def test_two_checkpoints_of_one_architecture(command, tmp_path, recipe, checkpoint, second, loads, capsys):
    models = f"--config.models=tiny={checkpoint},tiny={second},renamed=tiny@48={second}"
    status, shown, stderr = command("--config", recipe, models)
    assert status == 0, stderr
    rows = ResultStore(tmp_path / "run").rows
    found = by_model(rows)
    assert [(name, len(values)) for name, values in found.items()] == [("tiny", 12), ("mine", 12), ("renamed", 12)]
    assert found["tiny"] != found["mine"]
    facts = {row.model: (row.extra["backbone"], row.extra["source"], row.extra["release"]) for row in rows}
    assert facts == {
        "tiny": ("tiny", str(checkpoint), True),
        "mine": ("tiny", str(second), False),
        "renamed": ("tiny@48", str(second), False),
    }
    hashes = {row.model: row.extra["weights"] for row in rows}
    assert hashes["mine"] == hashes["renamed"] == hashlib.sha256(second.read_bytes()).hexdigest() != hashes["tiny"]
    assert "renamed (tiny@48): " in stderr
    with (tmp_path / "run" / "report" / "models.csv").open(newline="") as file:
        assert [(line["Model"], line["Backbone"], line["Weights"]) for line in csv.DictReader(file)] == [
            ("mine", "tiny", str(second)),
            ("renamed", "tiny@48", str(second)),
        ]
    text = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "## Models" in text and f"| renamed | tiny@48 | {second} |" in text
    assert [line.split()[0] for line in shown.splitlines()[5:8]] == ["tiny", "mine", "renamed"]

    # the same under other names: nothing is computed, the old names are gone
    loads.clear()
    status, _, stderr = command("--config", recipe, f"--config.models=one=tiny={checkpoint},two=tiny={second}")
    assert status == 0, stderr
    assert stderr.count("finished earlier") == 4
    again = by_model(ResultStore(tmp_path / "run").rows)
    assert again == {"renamed": found["renamed"], "one": found["tiny"], "two": found["mine"]}
    assert report([str(tmp_path / "run"), "--no-studies", "--no-plots"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("one", "two", "renamed"))


def test_one_file_under_two_names(command, tmp_path, recipe, checkpoint):
    models = f"--config.models=a=tiny={checkpoint},b=tiny={checkpoint}"
    for _ in range(2):
        status, _, stderr = command("--config", recipe, models)
        assert status == 0, stderr
        found = by_model(ResultStore(tmp_path / "run").rows)
        assert list(found) == ["a", "b"] and found["a"] == found["b"] and len(found["a"]) == 12
    status, _, stderr = command("--config", recipe, f"--config.models=b=tiny={checkpoint}")
    assert status == 0, stderr
    assert list(by_model(ResultStore(tmp_path / "run").rows)) == ["b"]


def test_one_name_for_other_weights_in_a_working_directory(command, tmp_path, recipe, checkpoint, second, capsys):
    for source in (checkpoint, second):
        status, _, stderr = command("--config", recipe, f"--config.models=last=tiny={source}")
        assert status == 0, stderr
        with (tmp_path / "run" / "report" / "table2.csv").open(newline="") as file:
            assert [line["Model"] for line in csv.DictReader(file)] == ["last"]  # of this run
    assert report([str(tmp_path / "run"), "--no-studies", "--no-plots"]) == 0
    names = [f"last ({hashlib.sha256(path.read_bytes()).hexdigest()[:6]})" for path in (checkpoint, second)]
    told = capsys.readouterr().out
    assert all(name in told for name in names)
    rows = ResultStore(tmp_path / "run").rows
    with (tmp_path / "run" / "report" / "per_dataset.csv").open(newline="") as file:
        lines = {(line["Model"], line["Data set"]): line for line in csv.DictReader(file)}
    assert list(lines) == [(name, dataset) for name in names for dataset in ("shapes", "colours")]
    for name, path in zip(names, (checkpoint, second), strict=True):
        own = [row for row in rows if row.metric == "acc1" and row.extra["source"] == str(path)]
        for row in own:
            assert float(lines[name, row.dataset][str(row.resolution).upper()]) == pytest.approx(
                100 * row.value, abs=1e-4
            )
