"""A whole run on data sets of a user: a YAML file beside an archive, and an archive of class folders."""

import pytest

import on_disk
from lrjax.data.datasets import prompts_hash
from lrjax.models import zoo
from lrjax.results import ResultStore
from run_helpers import Command, failure, tiny_row, write_checkpoint, write_recipe


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tiny_row(), tmp_path_factory.mktemp("weights"))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, checkpoint):
    """The command line on two classes of birds and on eurosat."""
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    files = [
        (f"{name}/{number}.png", on_disk.png(f"{name}{number}")) for name in ("wren", "robin") for number in (0, 1)
    ]
    on_disk.write_tar(tmp_path / "own" / "birds.tar", files)
    text = "classes: [robin, wren]\ntemplates: ['a {}.']\npath: birds.tar\n"
    on_disk.write(tmp_path / "own" / "birds.yaml", text)
    on_disk.tar(tmp_path / "data")
    recipe = write_recipe(
        tmp_path / "recipe.py",
        model="tiny",
        source=str(checkpoint),
        workdir=str(tmp_path / "run"),
        devices=1,
        data={"names": (str(tmp_path / "own" / "birds.yaml"),), "workers": 2},
        evaluation={"resolutions": (8,), "batch_size": 4},
        report={"plots": False, "weights": "equal"},
    )
    return lambda *arguments: Command(capsys)("--config", recipe, *arguments)


def test_rows_of_own_data_sets(run, tmp_path):
    status, stdout, stderr = run(
        f"--config.data.names=eurosat,{tmp_path}/own/birds.yaml",
        f"--config.data.sources.eurosat=webdataset:{tmp_path}/data/eurosat.tar",
    )
    assert status == 0, stderr
    rows = {(row.dataset, row.resolution): row for row in ResultStore(tmp_path / "run").rows if row.metric == "acc1"}
    assert rows.keys() == {(name, side) for name in ("eurosat", "birds") for side in (8, "hr")}
    assert rows["birds", "hr"].value == 0.5  # every image gets the same class
    assert rows["eurosat", 8].value == 0.1
    assert rows["birds", 8].extra["prompts"] == prompts_hash(str(tmp_path / "own" / "birds.yaml"))
    assert "birds" in stdout


def test_mistakes_of_own_data_sets(run, tmp_path):
    message = failure(run("--config.data.sources.birdz=x"))
    assert message == "config.data.sources has an entry for the unknown data set 'birdz'; correct its name"
    assert "unknown kind 'zip'" in failure(run("--config.data.sources.birds=zip:x"))
    names = f"--config.data.names={tmp_path}/own/birds.yaml,{tmp_path}/own/birds.yaml"
    assert "twice" in failure(run(names))
    (tmp_path / "own" / "birds.yaml").write_text("classes: [a]")
    assert "has no templates" in failure(run())
