"""A whole run on data sets of a user: a YAML file beside an archive, an archive of class folders, and ImageNet-Hard as
the hub has it."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import on_disk
import tiny
from lrjax.data.datasets import get_dataset, open_source, prompts_hash
from lrjax.data.prompts import content_hash
from lrjax.data.reopen import open_again
from lrjax.metrics.label_sets import in_label_set
from lrjax.models import zoo
from lrjax.questions.zoom.hard.__main__ import main as score
from lrjax.results.store import ResultStore
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
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 4},
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


def test_doubtful_labels_stop_before_the_weights(run, tmp_path, monkeypatch):
    files = [(f"{name}/{number}.png", on_disk.png(f"{name}{number}")) for name in ("roi", "merle") for number in (0, 1)]
    on_disk.write_tar(tmp_path / "own" / "birds.tar", files)
    with monkeypatch.context() as patched:
        patched.setattr("lrjax.weights.naming.checkpoint_hash", None)  # no weights are read
        message = failure(run())
    assert message.startswith("data set 'birds': class folders carry none of the class names and are taken in sorted")
    assert "set config.data.on_doubt to 'warn'" in message
    assert not (tmp_path / "run" / "results.jsonl").exists()
    status, _, stderr = run("--config.data.on_doubt=warn")
    assert status == 0, stderr
    assert "data set 'birds': class folders carry none of the class names" in stderr
    assert len(ResultStore(tmp_path / "run").rows) > 0


def test_missing_images_and_classes_do_not_stop_a_run(run, tmp_path):
    on_disk.write_tar(tmp_path / "own" / "birds.tar", [("wren/0.png", on_disk.png("wren0"))])
    row = tmp_path / "own" / "birds.yaml"
    row.write_text(row.read_text() + "count: 4\n")
    status, _, stderr = run()
    assert status == 0, stderr
    assert "no image of class 'robin' (1 of 2 classes without images)" in stderr
    assert "data set 'birds' has 1 images instead of 4" in stderr
    assert {(row.n, row.extra["expected"]) for row in ResultStore(tmp_path / "run").rows} == {(1, 4)}


def test_mistakes_of_own_data_sets(run, tmp_path):
    message = failure(run("--config.data.sources.birdz=x"))
    assert message == "config.data.sources has an entry for the unknown data set 'birdz'; correct its name"
    assert "unknown kind 'zip'" in failure(run("--config.data.sources.birds=zip:x"))
    names = f"--config.data.names={tmp_path}/own/birds.yaml,{tmp_path}/own/birds.yaml"
    assert "twice" in failure(run(names))
    (tmp_path / "own" / "birds.yaml").write_text("classes: [a]")
    assert "has no templates" in failure(run())
    (tmp_path / "own" / "birds.yaml").write_text("classes: [wren]\ntemplates: ['a {}.']\npath: birds.tar\n")
    assert re.fullmatch(r"'.*birds.yaml' has one class, 'wren'; a classifier needs two or more", failure(run()))


def write_birds(folder):
    for name in ("barn_owl", "wren"):
        for number in range(5):
            path = on_disk.write(folder / name / f"{number}.png", b"")
            Image.fromarray(tiny.picture(number, 40, 36)).save(path)
    return folder


def test_a_folder_of_class_folders(run, tmp_path):
    folder = write_birds(tmp_path / "birds")
    status, _, stderr = run(f"--config.data.names={folder}", "--noconfig.report.plots")
    assert status == 0, stderr
    assumed = "the classes are those that its files name, the prompt is 'a photo of a {}.'"
    assert f"data set 'birds': 2 classes; {assumed}" in stderr
    rows = ResultStore(tmp_path / "run").rows
    assert {(row.dataset, row.n, row.extra["assumed"], row.extra["expected"]) for row in rows} == {
        ("birds", 10, assumed, None)
    }
    assert {row.value for row in rows if row.metric == "acc1"} == {0.5}  # every image gets the same class
    assert {row.extra["prompts"] for row in rows} == {content_hash(["barn owl", "wren"], ["a photo of a {}."])}
    assert f"birds: {assumed}." in (tmp_path / "run" / "report" / "report.md").read_text()


def test_a_limit_takes_a_sample_that_is_marked(run, tmp_path):
    folder, names = write_birds(tmp_path / "birds"), f"{tmp_path}/birds,{tmp_path}/birds+brightness-1,shapes"
    given = (f"--config.data.names={names}", "--config.data.limit=4", "--config.data.count=3")
    status, stdout, stderr = run(*given)
    assert status == 0, stderr
    assert "only a sample of at most 4 images of each data set is taken" in stderr
    store = ResultStore(tmp_path / "run")
    # the procedural data set has no more than the limit
    counts = {(row.test_set, row.n, row.extra["expected"]) for row in store.rows}
    assert counts == {("birds", 4, 10), ("birds+brightness-1", 4, 10), ("shapes", 3, 3)}
    whole = open_source(get_dataset(str(folder)))
    chosen = np.sort(np.random.default_rng(0).permutation(10)[:4])
    for row in store.rows:
        if row.dataset == "birds":
            np.testing.assert_array_equal(store.samples(row.key)["label"], [whole.labels[i] for i in chosen])
            assert len(open_again(row.extra["images"])[1]) == 4
    assert "‡" in stdout
    for name in ("table2.md", "per_dataset.csv", "per_dataset.tex", "report.md", "index.html"):
        assert "4 of 10" in (tmp_path / "run" / "report" / name).read_text(), name
    keys = {row.key for row in store.rows if row.dataset == "birds"}
    assert run(f"--config.data.names={folder}")[0] == 0
    newer = [row for row in ResultStore(tmp_path / "run").rows if row.key not in keys and row.dataset == "birds"]
    assert {(row.n, row.extra["expected"]) for row in newer} == {(10, None)}


def write_imagenet_hard(folder, label_sets):
    """Writes two Parquet files with the columns and the schema of the hub; the pictures have many modes and sizes."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    feature = {"dtype": "int64", "_type": "Value"}
    features = {
        "image": {"_type": "Image"},
        "label": {"feature": feature, "_type": "Sequence"},
        "origin": feature | {"dtype": "string"},
        "english_label": {"feature": feature | {"dtype": "string"}, "_type": "Sequence"},
    }
    names = get_dataset("imagenet").classes
    folder.mkdir(parents=True)
    for number, part in enumerate((range(5), range(5, len(label_sets)))):
        images = []
        for index in part:
            mode, kind = [("RGB", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("P", "GIF")][index % 5]
            pixels = np.random.default_rng(index).integers(0, 256, (40 + index, 50, 3), np.uint8)
            content = io.BytesIO()
            Image.fromarray(pixels).convert(mode).save(content, kind)
            images.append({"bytes": content.getvalue(), "path": None})
        table = pa.table(
            {
                "image": images,
                "label": [list(label_sets[index]) for index in part],
                "origin": ["imagenet_sketch" if index % 2 else "imagenet_a" for index in part],
                "english_label": [[names[label] for label in label_sets[index]] for index in part],
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, folder / f"validation-{number:05d}-of-00002.parquet", row_group_size=2)


def test_imagenet_hard(tmp_path, capsys, monkeypatch, checkpoint):
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    one_template = dataclasses.replace(get_dataset("imagenet_hard"), templates=("a {}.",))  # 80 take their time
    monkeypatch.setattr("lrjax.runs.suite.get_datasets", lambda names, *_, **__: (one_template,) * len(names))
    label_sets = [(index,) if index % 3 else (index, 500 + index, 999) for index in range(9)] + [tuple(range(1000))]
    write_imagenet_hard(tmp_path / "data" / "imagenet_hard" / "data", label_sets)
    given = ("--config", Path(__file__).parents[1] / "configs" / "imagenet_hard.py", "--config.devices=1")
    given += (f"--config.models=tiny={checkpoint}", f"--config.data.root={tmp_path}/data", "--noconfig.report.plots")
    status, stdout, stderr = Command(capsys)(*given, f"--config.workdir={tmp_path}/run", "--config.data.workers=2")
    assert status == 0, stderr
    assert "data set 'imagenet_hard' has 10 images instead of 10980" in stderr
    store = ResultStore(tmp_path / "run")
    (row,) = (row for row in store.rows if row.metric == "acc1")
    samples = store.samples(row.key)
    np.testing.assert_array_equal(samples["label"][0, :4], [0, 500, 999, -1])
    assert [tuple(labels[labels >= 0]) for labels in samples["label"]] == label_sets
    guess = samples["top5"][0, 0]
    assert (samples["top5"][:, 0] == guess).all()  # every image gets the same class
    assert (row.n, row.value) == (10, in_label_set(samples["top5"][:, 0], samples["label"]).mean())
    assert row.value == sum(guess in labels for labels in label_sets) / 10 >= 0.1
    assert "mean top-1 accuracy" in stdout.lower() and "±" in stdout
    assert row.extra["classes"] == 1000
    assert score(["score", f"{tmp_path}/run"]) == 0
    printed = capsys.readouterr().out
    for origin in ("all", "imagenet_a", "imagenet_sketch"):
        assert re.search(rf" hr +{origin} +{10 if origin == 'all' else 5} ", printed), printed
