"""Whole runs: the right rows and files, nothing computed twice, nothing lost."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import tiny
from checkpoints_conv.__main__ import main as convert
from lrjax.data.datasets import get_dataset
from lrjax.data.tokenizers import train_tokenizer
from lrjax.metrics.zoom import STANDARD_VIEW, view_index
from lrjax.models import zoo
from lrjax.models.build import abstract_params, count_params
from lrjax.ops.zoom import VIEWS
from lrjax.questions.bench import Bench, Job
from lrjax.questions.zeroshot import ZeroShot
from lrjax.questions.zoom.question import Zoom
from lrjax.results.store import ResultStore
from lrjax.runs import suite
from lrjax.train import loop
from run_helpers import Command, tiny_row, write_checkpoint, write_dataset, write_recipe
from tiny import write_training_images

pytestmark = pytest.mark.usefixtures("light_compilation")

METRICS = ("acc1", "acc5")
TABLES = ("table2", "per_dataset", "intervals", "differences", "intervals_per_dataset", "leaderboard")


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
        data={"names": ("shapes", "textures"), "count": 24, "workers": 0},
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 4},
        report={"plots": False, "weights": "equal"},
    )


@pytest.fixture
def calls(monkeypatch):
    """The (data set, variant, resolutions) of every pass over images."""
    found, original = [], Bench.sweep

    def sweep(bench, source, needs, jobs):
        name, _, variant = bench.title.partition(" ")
        found.append((name, variant.strip("()"), tuple(need.views.resolution or "hr" for need in needs)))
        return original(bench, source, needs, jobs)

    monkeypatch.setattr(Bench, "sweep", sweep)
    return found


def succeeds(outcome):
    status, stdout, stderr = outcome
    assert status == 0, stderr
    assert "error" not in stderr
    return stdout


def results(tmp_path):
    return (tmp_path / "run" / "results.jsonl").read_bytes()


def test_the_embedded_row_from_load_to_report(command, tmp_path, monkeypatch):
    source = write_checkpoint(zoo.get("EVA02-embedded"), tmp_path / "checkpoint")
    recipe = write_recipe(
        tmp_path / "recipe.py",
        model="EVA02-embedded",
        source=str(source),
        name="EVA02-embedded",
        workdir=str(tmp_path / "run"),
        seed=3,
        devices=2,
        data={"names": ("shapes", "letters"), "count": 12, "workers": 2},
        questions={"zeroshot": {"resolutions": (16, 224)}},
        evaluation={"batch_size": 4},
        train={"steps": 2, "count": 4, "image_size": 48, "buckets": ((16, 32),), "batch_size": 4, "save_every": 1}
        | {"images_per_caption": 2, "captions": 4},
        report={"plots": True, "weights": "equal"},
    )
    shown = succeeds(command("--config", recipe))
    assert "EVA02-embedded: mean top-1 accuracy, shapes, letters" in shown and "Robustness by resolution" not in shown
    rows = ResultStore(tmp_path / "run").rows
    assert sorted((row.variant, row.dataset, str(row.resolution), row.metric) for row in rows) == sorted(
        (variant, dataset, side, metric)
        for variant in ("vanilla", "lr_tk0")
        for dataset in ("shapes", "letters")
        for side in ("16", "hr")
        for metric in METRICS
    )
    backbone = 1_707_777
    tokens = 5 * 49 * 128
    for row in rows:
        assert (row.model, row.question, row.seed, row.n) == ("EVA02-embedded", "zeroshot", 3, 12)
        assert row.value == pytest.approx({"acc1": 1, "acc5": 5}[row.metric] / 12)
        assert row.extra["parameters"] == backbone + (tokens if row.variant == "lr_tk0" else 0)
        assert row.extra["skipped"] == []
        samples = np.load(tmp_path / "run" / "samples" / f"{row.key}.npz")
        top = {"acc1": 1, "acc5": 5}[row.metric]
        hits = (samples["top5"][:, :top] == samples["label"][:, None]).any(axis=1)
        assert sorted(samples["index"]) == list(range(12))
        assert hits.mean() == pytest.approx(row.value)
    assert {path.name for path in (tmp_path / "run" / "report").iterdir()} == {
        ".report.json",
        "accuracy.png",
        "by_dataset.png",
        "classes.html",
        "confusions.csv",
        "datasets",
        "datasets_EVA02-embedded.png",
        "index.html",
        "leaderboard.html",
        "method.html",
        "models",
        "per_class.csv",
        "report.md",
        "summary.json",
        *(f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex")),
    }
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "Your run: EVA02-embedded" in page and f"--config {recipe}" in page.replace("<wbr>", "")
    summary = json.loads((tmp_path / "run" / "report" / "summary.json").read_text())
    assert [one["variant"] for one in summary["models"]] == ["vanilla", "lr_tk0"]

    def run(*_, **__):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(Bench, "sweep", run)
    before = results(tmp_path)
    assert succeeds(command("--config", recipe)) == shown
    assert results(tmp_path) == before
    status, _, stderr = command("--config", recipe, "--config.train.images_per_caption=1")
    assert status == 2
    assert "tokens holds another training: train.images_per_caption was 2, is 1; images was" in stderr


def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(command, tmp_path, recipe, calls, monkeypatch):
    sweep = Bench.sweep

    def interrupted(bench, *arguments, **options):
        if bench.title.startswith("textures"):
            raise KeyboardInterrupt
        return sweep(bench, *arguments, **options)

    monkeypatch.setattr(Bench, "sweep", interrupted)
    status, _, stderr = command("--config", recipe)
    assert status == 130
    assert stderr.splitlines()[-1] == "interrupted; run the same command again to continue"
    assert "Traceback" not in stderr
    kept = results(tmp_path)
    assert {row.dataset for row in ResultStore(tmp_path / "run").rows} == {"shapes"}
    assert not (tmp_path / "run" / "report").exists()
    monkeypatch.setattr(Bench, "sweep", sweep)
    calls.clear()
    succeeds(command("--config", recipe))
    assert calls == [("textures", "vanilla", (8, "hr"))]
    assert results(tmp_path).startswith(kept)
    assert len(ResultStore(tmp_path / "run").rows) == 2 * 2 * 2


@pytest.mark.slow
def test_only_what_a_change_touches_is_computed_again(command, tmp_path, recipe, calls, monkeypatch):
    shapes, textures = (("shapes", "vanilla"), ("textures", "vanilla"))

    def repeated(*overrides):
        calls.clear()
        succeeds(command("--config", recipe, *overrides))
        return [(call[:2], call[2]) for call in calls]

    whole = [(shapes, (8, "hr")), (textures, (8, "hr"))]
    assert repeated() == whole
    assert repeated() == []
    for harmless in ("seed=5", "evaluation.batch_size=3", "data.workers=2", "devices=2", "placement=fsdp"):
        assert repeated(f"--config.{harmless}") == [], harmless
    assert repeated("--config.questions.zeroshot.resolutions=16,8") == [(shapes, (16,)), (textures, (16,))]
    assert repeated("--config.questions.zeroshot.resolutions=16") == []
    assert repeated("--config.data.names=scenes", "--config.data.names=shapes") == [(("scenes", "vanilla"), (8, "hr"))]
    for harmful in ("data.seed=1", "data.count=23", "data.on_error=skip", "precision=bfloat16"):
        assert repeated(f"--config.{harmful}") == whole, harmful
        assert repeated(f"--config.{harmful}") == []

    def other_prompts(names, *arguments, **options):
        found = map(get_dataset, names)
        other = {"templates": ("a drawing of {}",)}
        return [dataclasses.replace(one, **other) if one.name == "textures" else one for one in found]

    with monkeypatch.context() as patch:
        patch.setattr(suite, "get_datasets", other_prompts)
        assert repeated() == [(textures, (8, "hr"))]
    rows = len(ResultStore(tmp_path / "run").rows)
    with monkeypatch.context() as patch:
        patch.setattr(ZeroShot, "version", ZeroShot.version + 1)
        assert repeated() == []  # other scores of the same records
        assert len(ResultStore(tmp_path / "run").rows) > rows
    assert repeated() == []


def test_questions_share_records_and_may_be_of_one_kind(command, tmp_path, recipe, calls):
    both = ("--config", recipe, "--config.data.names=shapes")
    text = recipe.read_text().replace(
        "'zeroshot': {", "'low': {'type': 'zeroshot', 'resolutions': (16, 8)}, 'zeroshot': {"
    )
    recipe.write_text(text)
    succeeds(command(*both))
    assert [sorted(map(str, sides)) for *_, sides in calls] == [["16", "8", "hr"]]
    rows = ResultStore(tmp_path / "run").rows
    assert {row.kind for row in rows} == {"zeroshot"}
    values = {}
    for row in rows:
        values.setdefault((row.resolution, row.metric), {})[row.question] = row.value
    assert values["hr", "acc1"].keys() == values[8, "acc1"].keys() == {"low", "zeroshot"}
    assert values[16, "acc1"].keys() == {"low"}
    assert all(len(set(by_question.values())) == 1 for by_question in values.values())
    kept = results(tmp_path)
    succeeds(command(*both))
    assert results(tmp_path) == kept
    recipe.write_text(text.replace("'low'", "'other'"))  # another name computes nothing
    succeeds(command(*both))
    assert {row.question for row in ResultStore(tmp_path / "run").rows} == {"other", "zeroshot"}
    assert len(calls) == 1


@pytest.mark.slow
def test_zooms_of_a_region_with_a_view_set_from_a_file(command, tmp_path, recipe, monkeypatch):
    given = []

    def job(question, need, setting, bench):
        given.append((question.inputs(setting)["aggregate"].tolist(), need.source.region, question.keep))

        def program(batch, label):
            table = np.zeros((len(batch.index), VIEWS), bool)
            table[batch.index < 3, 5] = table[batch.index == 0, STANDARD_VIEW] = True
            return {"correct": np.packbits(table, axis=1), "finite": np.ones(len(table), bool)}

        return Job(program)

    def write(path, views):
        sets = [{"model": "tiny", "variant": "vanilla", "views": views}]
        path.write_text(json.dumps({"format": 1, "dataset": "shapes", "covers": sets}))

    monkeypatch.setattr(Zoom, "job", job)
    file, data = tmp_path / "covers.json", ("--config.data.names=shapes", "--config.data.count=4")
    arguments = ("--config", recipe, *data, "--config.data.region=foreground")
    write(file, [[0, 0, 10], [0, 0, 32]])
    status, printed, told = command(*arguments, f"--config.questions.zoom.aggregate={file}")
    assert status == 0, told
    assert given == [([0, 2], "foreground", ())]
    shown = " ".join(printed.split())
    assert "1 crop 36 crops 324 crops" in shown
    assert "tiny shapes+foreground 4 25.0 75.0 75.0 25.0" in shown
    assert "python -m lrjax.questions.zoom RESULTS_DIR --out DIR" in told
    row = ResultStore(tmp_path / "run").rows[-1]
    assert (row.kind, row.dataset, row.condition) == ("zoom", "shapes", {"region": "foreground"})
    assert (row.test_set, row.extra["classes"]) == ("shapes+foreground", 12)
    file.rename(tmp_path / "moved.json")
    succeeds(command(*arguments, f"--config.questions.zoom.aggregate={tmp_path / 'moved.json'}"))
    assert len(given) == 1
    write(file, [[2, 2, 896]])
    last = view_index(2, 2, 896)
    succeeds(command(*arguments, f"--config.questions.zoom.aggregate={file}"))
    succeeds(command(*arguments, f"--config.questions.zoom.aggregate={file}", "--config.data.region=background"))
    assert [one[:2] for one in given[1:]] == [([last], "foreground"), ([last], "background")]


def test_other_images_of_the_same_names_and_sizes_are_other_results(command, tmp_path, recipe, calls):
    paths = write_dataset(tmp_path / "data", "eurosat")
    arguments = ["--config", recipe, "--config.data.names=eurosat", f"--config.data.root={tmp_path / 'data'}"]
    sizes = set()
    for images, evaluated in ((paths, 1), (paths, 1), (paths[::-1], 2), (paths[::-1], 2), (paths, 2)):
        for label, path in enumerate(images):
            Image.fromarray(tiny.picture(label, 40, 36)).save(path, "BMP")
            sizes.add(path.stat().st_size)
        succeeds(command(*arguments))
        assert len(calls) == evaluated
    assert len(sizes) == 1


@pytest.mark.slow
def test_images_are_listed_once_in_a_start(command, tmp_path, recipe, monkeypatch):
    folder, listed = write_training_images(tmp_path / "images"), []
    opened = loop.open_training_source
    monkeypatch.setattr(loop, "open_training_source", lambda *a, **b: listed.append(a) or opened(*a, **b))
    options = ["train.steps=1", "train.batch_size=4", "train.image_size=40", "train.buckets=((8,16),)"]
    for _ in range(2):
        succeeds(command("--config", recipe, f"--config.train.root={folder}", *(f"--config.{one}" for one in options)))
    assert len(listed) == 2


@pytest.mark.slow
def test_other_weights_and_tokens_are_other_results(command, tmp_path, recipe, calls):
    train = ["--config.train.batch_size=4", "--config.train.image_size=40", "--config.train.buckets=((8,16),)"]
    data = ["--config.data.names=shapes", "--config.train.count=4", *train]
    succeeds(command("--config", recipe, *data))
    calls.clear()
    succeeds(command("--config", recipe, *data, "--config.train.steps=1"))
    assert calls == [("shapes", "lr_tk0", (8, "hr"))]
    calls.clear()
    succeeds(command("--config", recipe, *data, "--config.train.steps=1", "--config.train.save_every=7"))
    assert calls == []
    status, _, stderr = command("--config", recipe, *data, "--config.train.steps=2")
    assert status == 2
    assert "tokens holds another training: train.steps was 1, is 2; change it back to continue, or use" in stderr
    assert "parameters from" not in stderr  # told before anything is loaded or evaluated
    assert calls == []
    other = write_checkpoint(tiny_row(), tmp_path / "other")
    succeeds(command("--config", recipe, *data, f"--config.source={other}"))
    assert calls == []
    content = bytearray(other.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    succeeds(command("--config", recipe, *data, f"--config.source={other}"))
    assert calls == [("shapes", "vanilla", (8, "hr"))]


@pytest.mark.slow
def test_other_numerics_and_another_vocabulary_are_other_results(command, tmp_path, recipe, calls, monkeypatch):
    data = ["--config.data.names=shapes", f"--config.source={write_checkpoint(tiny_row(), tmp_path / 'mine')}"]

    def evaluated(*overrides):
        calls.clear()
        succeeds(command("--config", recipe, *data, *overrides))
        return bool(calls)

    assert evaluated() and not evaluated()
    assert not evaluated("--config.numerics=as_trained")  # the same for EVA-CLIP
    monkeypatch.setitem(zoo.BACKBONES, "tiny", dataclasses.replace(tiny_row(), family="SigLIP"))
    assert evaluated("--config.numerics=as_trained") and not evaluated("--config.numerics=as_trained")
    assert not evaluated()
    words = [f"{letter}{number}" for letter in "abcdefgh" for number in range(90)]
    train_tokenizer(words, 300).save(str(tmp_path / "mine" / "tokenizer.json"))
    assert evaluated() and not evaluated()


@pytest.mark.slow
def test_tokens_at_another_input_size(command, tmp_path, recipe, calls):
    train = ["--config.train.steps=1", "--config.train.count=4", "--config.train.batch_size=4"]
    more = ["--config.train.image_size=56", "--config.train.buckets=((8,16),)", "--config.data.names=shapes"]
    succeeds(command("--config", recipe, "--config.model=tiny@48", *train, *more))
    assert calls == [("shapes", "vanilla", (8, "hr")), ("shapes", "lr_tk0", (8, "hr"))]
    sizes = {row.variant: row.extra["parameters"] for row in ResultStore(tmp_path / "run").rows}
    grid = 48 // tiny.PATCH
    assert sizes["lr_tk0"] - sizes["vanilla"] == (tiny.DEPTH + 1) * grid**2 * tiny.WIDTH
    native = count_params(abstract_params(tiny_row().spec))
    assert sizes["vanilla"] - native == (grid**2 - (tiny.SIZE // tiny.PATCH) ** 2) * tiny.WIDTH


def test_a_converted_checkpoint_brings_its_tokenizer_and_gives_the_same_results(
    command, tmp_path, recipe, calls, checkpoint
):
    succeeds(command("--config", recipe))
    before = ResultStore(tmp_path / "run").rows
    converted = tmp_path / "converted"
    assert convert(["--model", "tiny", "--source", str(checkpoint), "--out", str(converted)]) == 0
    assert (converted / "tokenizer.json").read_bytes() == checkpoint.with_name("tokenizer.json").read_bytes()
    calls.clear()
    succeeds(command("--config", recipe, f"--config.source={converted}"))
    assert calls == []
    after = ResultStore(tmp_path / "run").rows
    moved = {"source": str(converted)}
    assert after == [dataclasses.replace(row, extra={**row.extra, **moved}) for row in before]


@pytest.mark.slow
def test_training_on_a_folder_in_epochs(command, tmp_path, recipe, calls):
    folder = write_training_images(tmp_path / "images", count=9)
    train = ["--config.train.epochs=2", "--config.train.batch_size=4", "--config.train.image_size=40"]
    more = [f"--config.train.root={folder}", "--config.train.buckets=((8,16),)", "--config.data.names=shapes"]
    succeeds(command("--config", recipe, *train, *more))
    assert [call[1] for call in calls] == ["vanilla", "lr_tk0"]
    assert (tmp_path / "run" / "tokens" / "4").is_dir()
