"""Every mistake of a user is one line that names the culprit and the remedy, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from lrjax.data.tokenizers import get_tokenizer
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.questions.bench import Bench
from lrjax.results.store import ResultStore
from lrjax.runs import stages
from lrjax.runs.recipes import read_command_line
from lrjax.weights.checkpoint import load_params, locate
from run_helpers import Command, failure, tiny_row, write_checkpoint, write_dataset, write_recipe

pytestmark = pytest.mark.usefixtures("light_compilation")

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "configs" / "lr_tk0_eva.py"


@pytest.fixture
def command(capsys):
    return Command(capsys)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tiny_row(), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def recipe(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    return write_recipe(
        tmp_path / "recipe.py",
        model="tiny",
        source=str(checkpoint),
        workdir=str(tmp_path / "run"),
        devices=1,
        data={"names": ("shapes",), "count": 6, "workers": 0},
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 4},
        report={"plots": False, "weights": "equal"},
    )


@pytest.fixture
def no_loading(monkeypatch):
    """Fails when weights are read: what can be known before has to be found before."""

    def load(*_, **__):
        raise AssertionError("weights were read before everything else was checked")

    monkeypatch.setattr(stages, "load", load)


def fails(command, tmp_path, *arguments, alone=True):
    message = failure(command(*arguments), alone=alone)
    assert not (tmp_path / "run").exists()
    return message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.model=EVA02-B-61"], "unknown backbone 'EVA02-B-61'; did you mean EVA02-B-16"),
        (["--config.data.names=shpes"], "unknown data set 'shpes'; did you mean shapes"),
        (["--config.data.names=dtd"], "data set 'dtd' needs files"),
        (["--config.data.names=dtd", "--config.data.root=nowhere"], "data set 'dtd' has no folder 'nowhere/dtd'"),
        (["--config.questions.zeroshto.resolutions=8"], "unknown question 'zeroshto' in config.questions; did you"),
        (
            ["--config.questions.zeroshot.resolutions=8,33"],
            "resolution 33 is larger than the 32 px input of tiny; use sides up",
        ),
        (["--config.report.weights=paper"], "config.report.weights='paper' has weights for the fifteen data sets"),
        (["--config.devices=99"], "99 devices asked for but 8 exist (cpu); set config.devices to None"),
        (["--config.devices=0"], "config.devices is 0; it must be at least 1"),
        (["--config.devices=3"], "config.evaluation.batch_size 4 does not divide over 3 devices"),
        (
            ["--config.devices=4", "--config.train.steps=1", "--config.train.batch_size=6"],
            "config.train.batch_size 6 does not divide over 4 devices",
        ),
        (
            ["--config.model=RN50:openai", "--config.train.steps=1"],
            "RN50:openai is a ResNet and has no patch rows to add LR tokens to; choose a vision transformer",
        ),
        (["--config.numerics=exact"], "config.numerics is 'exact'; use one of 'open_clip', 'as_trained'"),
        (
            ["--config.questions.zoom.aggregate=nowhere.json"],
            "the view sets 'nowhere.json' cannot be read",
        ),
        (
            ["--config.data.names=textures", "--config.data.region=background"],
            "'textures' has no bounding boxes of its",
        ),
        (
            ["--config.data.region=background", "--config.data.boxes=nowhere"],
            "config.data.boxes: 'nowhere' has no XML file with a bounding box",
        ),
        (["--config.train.steps=1", "--config.train.root=nowhere"], "image folder 'nowhere' does not exist"),
        (["--config.train.steps=1", "--config.train.count=9"], "config.train.root 'procedural' gives 9 images"),
    ],
)
@pytest.mark.usefixtures("no_loading")
def test_mistakes_that_are_found_before_weights_are_read(command, tmp_path, recipe, arguments, message):
    assert len(jax.devices()) == 8
    assert message in fails(command, tmp_path, "--config", recipe, *arguments)


@pytest.mark.usefixtures("no_loading")
def test_folders_without_images(command, tmp_path, recipe):
    (tmp_path / "data" / "eurosat").mkdir(parents=True)
    data = ["--config", recipe, "--config.data.names=eurosat", f"--config.data.root={tmp_path / 'data'}"]
    assert "eurosat' has no class folders" in fails(command, tmp_path, *data)
    paths = write_dataset(tmp_path / "more", "eurosat")
    paths[3].unlink()
    data[-1] = f"--config.data.root={tmp_path / 'more'}"
    assert f"class folder '{paths[3].parent}' holds no image" in fails(command, tmp_path, *data)
    paths[3].parent.rmdir()
    assert f"class folder '{paths[3].parent.name}' is missing" in fails(command, tmp_path, *data)
    train = ["--config.train.steps=1", f"--config.train.root={tmp_path / 'data'}"]
    assert f"'{tmp_path / 'data'}' holds no image" in fails(command, tmp_path, "--config", recipe, *train)


@pytest.mark.usefixtures("no_loading")
def test_plots_without_matplotlib(command, tmp_path, recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "plots need matplotlib" in fails(command, tmp_path, "--config", recipe, "--config.report.plots=true")


@pytest.mark.usefixtures("no_loading")
def test_working_directories_that_cannot_be_used(command, tmp_path, recipe):
    (tmp_path / "file").write_text("x")
    message = failure(command("--config", recipe, f"--config.workdir={tmp_path / 'file'}"))
    assert f"{tmp_path / 'file'} is a file" in message
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.jsonl").write_text("{\n")
    message = failure(command("--config", recipe, f"--config.workdir={tmp_path / 'damaged'}"))
    assert "results.jsonl is damaged in line 1" in message
    assert (tmp_path / "damaged" / "results.jsonl").read_text() == "{\n"


def test_missing_and_damaged_checkpoints(command, tmp_path, recipe, checkpoint):
    def message(source):
        return fails(command, tmp_path, "--config", recipe, f"--config.source={source}")

    assert "checkpoint 'nowhere.safetensors' does not exist; name a file" in message("nowhere.safetensors")
    assert "tiny has no hub id; set config.source" in message("")
    broken = tmp_path / "broken"
    broken.mkdir()
    assert f"{broken} is not a converted checkpoint and holds none of open_clip_model.safetensors" in message(broken)
    (broken / "tokenizer.json").write_bytes(checkpoint.with_name("tokenizer.json").read_bytes())
    (broken / "model.safetensors").write_bytes(checkpoint.read_bytes()[:-100])
    assert f"{broken / 'model.safetensors'} is damaged or incomplete" in message(broken / "model.safetensors")
    (broken / "model.safetensors").write_bytes(b"")
    assert f"{broken / 'model.safetensors'} is damaged or incomplete" in message(broken / "model.safetensors")
    (broken / "model.safetensors").write_bytes(checkpoint.read_bytes())
    (broken / "tokenizer.json").write_text("{")
    assert "tokenizer.json' cannot be read" in message(broken / "model.safetensors")


def test_checkpoint_of_another_model(command, tmp_path, recipe):
    message = fails(command, tmp_path, "--config", recipe, "--config.model=EVA02-embedded")
    assert "1 blocks at 'text.transformer.resblocks.*' but EVA02-embedded has 2; this checkpoint fits tiny" in message


def test_damaged_images_stop_the_run_or_are_left_out(command, tmp_path, recipe):
    paths = write_dataset(tmp_path / "data", "eurosat", per_class=2)
    paths[4].write_bytes(paths[4].read_bytes()[:200])
    arguments = ["--config", recipe, "--config.data.names=eurosat", f"--config.data.root={tmp_path / 'data'}"]
    message = failure(command(*arguments), alone=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["classifiers"]
    assert f"image '{paths[4]}' cannot be decoded" in message
    assert "or skip damaged images" in message
    status, _, stderr = command(*arguments, "--config.data.on_error=skip")
    assert status == 0
    assert f"warning: eurosat: skipped damaged image {paths[4]}" in stderr.splitlines()
    rows = ResultStore(tmp_path / "run").rows
    assert {(row.resolution, row.metric, row.n) for row in rows} == {
        (side, metric, 19) for side in (8, "hr") for metric in ("acc1", "acc5")
    }
    assert all(row.extra["skipped"] == [str(paths[4])] for row in rows)
    for path in paths:
        path.write_bytes(b"")
    message = failure(command(*arguments, "--config.data.on_error=skip"), alone=False)
    assert "all 20 images are damaged" in message
    assert ResultStore(tmp_path / "run").rows == rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "cannot be read (No such file or directory); mend this and start again"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "the images of eurosat are others than those of the"),
    ],
)
def test_images_that_are_lost_on_the_way_are_not_skipped(command, tmp_path, recipe, monkeypatch, change, message):
    paths = write_dataset(tmp_path / "data", "eurosat", per_class=2)
    contents = {path: path.read_bytes() for path in paths[7:12]}
    arguments = ["--config", recipe, "--config.data.names=eurosat", f"--config.data.root={tmp_path / 'data'}"]
    arguments += ["--config.data.on_error=skip"]
    sweep = Bench.sweep

    def lost(*given, **options):
        for path in contents:
            change(path)
        return sweep(*given, **options)

    with monkeypatch.context() as share:
        share.setattr(Bench, "sweep", lost)
        assert message in failure(command(*arguments), alone=False)
    assert ResultStore(tmp_path / "run").rows == []
    for path, content in contents.items():
        path.write_bytes(content)
    status, _, stderr = command(*arguments)
    assert status == 0
    assert "finished earlier" not in stderr
    assert {row.n for row in ResultStore(tmp_path / "run").rows} == {20}


def test_damaged_training_image(command, tmp_path, recipe):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.png").write_bytes(b"no image")
    arguments = ["--config", recipe, "--config.train.steps=1", "--config.train.batch_size=4", "--config.data.workers=2"]
    more = [f"--config.train.root={folder}", "--config.train.image_size=40", "--config.train.buckets=((8,16),)"]
    message = failure(command(*arguments, *more), alone=False)
    assert f"image '{folder}/" in message
    assert {row.variant for row in ResultStore(tmp_path / "run").rows} == {"vanilla"}


def test_the_embedded_checkpoint_lies_in_the_package(tmp_path, monkeypatch):
    import checkpoints_conv

    package = tmp_path / "installed" / "checkpoints_conv"
    monkeypatch.setattr(checkpoints_conv, "__file__", str(package / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embedded").mkdir()
    with pytest.raises(UserError, match=r"shipped checkpoint .*model\.safetensors is missing; install lrjax again"):
        locate("embedded")
    path = write_checkpoint(tiny_row(), package / "embedded")
    path = path.rename(path.with_name("model.safetensors"))
    assert locate("embedded") == path
    assert load_params(tiny_row(), "embedded", target=abstract_params(tiny_row().spec)).keys() == {
        "image",
        "text",
        "logit_scale",
    }


def test_the_shipped_checkpoint_is_that_of_its_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = read_command_line(["--config", str(EMBEDDED)])
    row, path = zoo.get(config.model), locate(config.source)
    assert path.name == row.source_file
    load_params(row, config.source, target=abstract_params(row.spec))
    name = row.tokenizer.removeprefix("file:")
    assert get_tokenizer(f"file:{path.with_name(name)}", row.spec.text.context).vocab_size == row.spec.text.vocabulary


def test_a_recipe_elsewhere_may_import_the_shared_ones(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from configs.common import PROCEDURAL_DATASETS\n"
        "from configs.lr_tk0_eva import embedded\n\n\n"
        "def get_config():\n"
        "    config = embedded()\n"
        "    config.data.names = (*PROCEDURAL_DATASETS[:2], 'shape')\n"
        f"    config.workdir = {str(tmp_path / 'run')!r}\n"
        "    return config\n"
    )
    command = [sys.executable, "-m", "lrjax.main", "--config", str(recipe)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: unknown data set 'shape'; did you mean shapes")
    assert list(tmp_path.iterdir()) == [recipe]
