"""Ablations: every row and seed once, continued after a kill, one table."""

import csv
from pathlib import Path

import numpy as np
import pytest

from lrjax.config import Config
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.questions.bench import Bench
from lrjax.results.store import ResultStore
from lrjax.runs import ablation
from lrjax.runs.config_reader import from_mapping
from lrjax.train.distill import Distiller
from lrjax.weights.token_file import read_adaptation
from run_helpers import Command, failure, tiny_row, write_checkpoint, write_recipe

pytestmark = pytest.mark.usefixtures("light_compilation")

PAPER = {"baseline": {"acc8": 30.0}}


def values(tmp_path, **changes):
    train = {"steps": 2, "image_size": 40, "buckets": ((8, 16),), "batch_size": 4, "count": 8, "save_every": 1}
    rows = (("baseline", {"train": {"steps": 0}}), ("late", {"train": {"first_block": 1}}))
    return {
        "model": "tiny",
        "workdir": str(tmp_path / "run"),
        "devices": 1,
        "data": {"names": ("shapes",), "count": 24, "workers": 0},
        "questions": {"zeroshot": {"resolutions": (8,)}},
        "evaluation": {"batch_size": 8},
        "train": train | {"learning_rate": 0.1, "warmup_steps": 0},
        "ablation": {"rows": rows, "seeds": (5,), "metrics": ("acc8", "acchr"), "paper": PAPER},
        "report": {"plots": False, "weights": "equal"},
    } | changes


@pytest.fixture
def command(capsys, monkeypatch):
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    return Command(capsys)


@pytest.mark.slow
def test_every_row_once_and_on_after_a_kill(command, tmp_path, monkeypatch):
    checkpoint = write_checkpoint(tiny_row(), tmp_path / "checkpoint", one_class=False)
    recipe = write_recipe(tmp_path / "recipe.py", **values(tmp_path, source=str(checkpoint)))
    evaluated, steps, kill, compiled = [], [], [1], []
    sweep, make_step = Bench.sweep, Distiller.make_step
    monkeypatch.setattr(Bench, "sweep", lambda self, *a, **o: (evaluated.append(self.title), sweep(self, *a, **o))[1])

    def counted(*arguments, **options):
        compiled.extend([] if compiled else [make_step(*arguments, **options)])

        def step(state, *batch):
            if len(steps) == kill[0]:
                raise KeyboardInterrupt
            steps.append(int(state["step"]))
            return compiled[0](state, *batch)

        return step

    monkeypatch.setattr(Distiller, "make_step", counted)
    assert command("--config", recipe)[0] == 130
    assert steps == [0]
    kill[0] = None
    status, shown, stderr = command("--config", recipe)
    assert status == 0, stderr
    assert steps == [0, 1]
    assert evaluated == ["shapes (vanilla)", "shapes (late, seed 5)"]
    assert "Ablation" in shown
    lines = table(tmp_path)
    assert [line["Row"] for line in lines] == ["baseline", "late"]
    rows = {(row.variant, row.resolution): row for row in ResultStore(tmp_path / "run").rows if row.metric == "acc1"}
    for line, variant in zip(lines, ("vanilla", "late, seed 5"), strict=True):
        for side, name in ((8, "ACC-8 here"), ("hr", "ACC-HR here")):
            assert float(line[name]) == pytest.approx(100 * rows[variant, side].value, abs=1e-4)
    assert [line["ACC-8 paper"] for line in lines] == ["30.0000", ""]
    assert {row.seed for row in rows.values()} == {0}
    tokens, facts = read_adaptation(tmp_path / "run/rows/late/5/tokens.safetensors", tiny_row())
    assert np.any(tokens["tokens"], axis=(1, 2)).tolist() == [False, False, True]
    assert (facts["seed"], facts["recipe"]["first_block"]) == (5, 1)
    assert (tmp_path / "run/rows/late/5/tokens.md").is_file()

    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    steps.clear(), evaluated.clear()
    status, again, _ = command("--config", recipe)
    assert (status, again, steps, evaluated) == (0, shown, [], [])
    assert {path: path.read_bytes() for path in files} == files

    monkeypatch.setattr(ablation, "train_backbone", diverging)
    message = failure(command("--config", recipe), alone=False)
    assert message.startswith("1 trainings failed: late, seed 5; see the warnings above")
    assert [line["Row"] for line in table(tmp_path)] == ["baseline"]


def table(tmp_path):
    with (tmp_path / "run" / "report" / "ablation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def diverging(*_, **__):
    raise UserError("the training diverged")


def test_rows_of_two_checkpoints_of_one_architecture(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    for name in ("one.pt", "two.pt"):
        (tmp_path / name).write_bytes(b"weights")

    def models(*changes):
        mapping = values(tmp_path)
        rows = tuple((f"row {number}", change) for number, change in enumerate(changes))
        mapping["ablation"] |= {"paper": {}, "rows": rows}
        found = ablation._models(ablation.row_configs(from_mapping(Config, mapping)))
        return [(model.name, model.source) for model in found.values()]

    one, two = ({"source": str(tmp_path / name)} for name in ("one.pt", "two.pt"))
    assert models(one, one, two) == [("one", one["source"]), ("one", one["source"]), ("two", two["source"])]
    assert models(one | {"name": "a"}, two) == [("a", one["source"]), ("two", two["source"])]
    with pytest.raises(UserError, match=r"rows 'row 0' and 'row 1' .* different models of the name 'two'; set name"):
        models(one | {"name": "two"}, two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": (("a", {"train": {"stpes": 3}}),)}, r"row 'a' .*unknown config key train\.stpes; did you mean"),
        (
            {"rows": (("a", {"trian": {}}),)},
            r"row 'a' .* changes trian; rows may change model, source, name, train only",
        ),
        ({"rows": (("a", {"data": {"count": 3}}),)}, r"row 'a' .* changes data"),
        ({"rows": (("a", {"train": {"steps": 0}}),)}, r"no row of config\.ablation\.rows trains"),
        ({"rows": (("a +", {}), ("A", {}))}, r"rows 'a \+' and 'A' .* have one folder"),
        ({"axis": "train.stpes"}, r"unknown config key train\.stpes"),
        ({"axis": "train.buckets"}, r"train\.buckets is \(\(8, 16\),\) in row 'baseline', not a number"),
    ],
)
def test_wrong_rows(tmp_path, changes, message):
    mapping = values(tmp_path)
    mapping["ablation"] |= {"paper": {}} | changes
    with pytest.raises(UserError, match=message):
        ablation.row_configs(from_mapping(Config, mapping))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": (("a", {}), ("a", {}))}, r"config\.ablation\.rows names \['a', 'a'\]"),
        ({"seeds": ()}, r"config\.ablation\.seeds names \(\)"),
        ({"metrics": ("acc",)}, r"config\.ablation\.metrics has 'acc'; use sar, war or acc and a side or hr"),
        ({"metrics": ("acc16",)}, r"config\.ablation\.metrics has 'acc16'; add the side to config\.questions"),
        (
            {"paper": {"lat": {"acc8": 1}}},
            r"unknown config key ablation\.paper\.lat; did you mean ablation\.paper\.late",
        ),
        ({"paper": {"late": {"acc-9": 1}}}, r"config\.ablation\.paper\.late has 'acc-9'; use sar, war or acc"),
        ({"rows": (), "paper": {}}, r"config\.ablation has no rows; start from a recipe with rows"),
        ({"rows": {"a": {}}}, r"config\.ablation\.rows must be a tuple"),
        ({"row": ()}, r"unknown config key ablation\.row; did you mean ablation\.rows"),
    ],
)
def test_wrong_groups(tmp_path, changes, message):
    mapping = values(tmp_path)
    mapping["ablation"] |= changes
    with pytest.raises(UserError, match=message):
        from_mapping(Config, mapping)


def test_a_row_has_one_backbone(tmp_path):
    with pytest.raises(UserError, match=r"name it in config\.model instead of config\.models"):
        from_mapping(Config, values(tmp_path, model="", models=("a", "b"), train={"steps": 0}))


def test_rows_may_have_other_backbones(tmp_path):
    mapping = values(tmp_path, source="x")
    mapping["ablation"] = {
        "rows": (("a", {}), ("b.1", {"model": "other", "source": "y", "train": {"prompts": 2}})),
        "metrics": ("acc8",),
    }
    rows = ablation.row_configs(from_mapping(Config, mapping))
    assert [(row.model, row.source, row.train.prompts, row.train.steps) for row in rows.values()] == [
        ("tiny", "x", 0, 2),
        ("other", "y", 2, 2),
    ]
    assert [Path(row.workdir).name for row in rows.values()] == ["a", "b-1"]
    assert not any(row.ablation.rows for row in rows.values())
