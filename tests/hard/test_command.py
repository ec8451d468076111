"""The command of hard sets, in this process: from zoom tables to a data set, again, interrupted, and scores."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import on_disk
from lrjax.data.datasets import get_dataset, open_source
from lrjax.ops.corruptions import corrupt
from lrjax.questions.zoom.hard.__main__ import main
from lrjax.results.store import ResultStore
from zoom_study.tables import add, row, samples
from zoom_study.tables import store_with_images as store

# right views of the five images of each data set; two of shapes and three of foggy shapes are right under none
RIGHT = {"shapes": [[1], [2, 3], [], [4], []], "shapes+fog-5": [[], [], [7], [], [1]]}


@pytest.fixture
def results(tmp_path):
    for name, right in RIGHT.items():
        store(tmp_path / "results", name, right)
    return str(tmp_path / "results")


def lines(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_a_set_becomes_a_data_set(results, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["build", results, "--out", str(out), "--name", "foggy"]) == 0
    printed = capsys.readouterr().out
    assert f"wrote 5 images to {out}; evaluate on them with --config.data.names={out}/foggy.yaml" in printed
    assert re.search(r"shapes\+fog-5 +5 +3 +3 +60\.0", printed)
    shapes = open_source("shapes", count=5, seed=3)
    expected = [("shapes", 2), ("shapes", 4), ("shapes+fog-5", 0), ("shapes+fog-5", 1), ("shapes+fog-5", 3)]
    dataset = get_dataset(str(out / "foggy.yaml"))
    source = open_source(dataset)
    assert (dataset.classes, dataset.templates) == (get_dataset("shapes").classes, get_dataset("shapes").templates)
    assert source.origins == [name for name, _ in expected]
    assert len(source) == dataset.expected_count == 5
    for position, (name, index) in enumerate(expected):
        picture = shapes[index]["image"]
        if name != "shapes":
            picture = corrupt(picture, "fog", severity=5, seed=(3, index))
        example = source[position]
        np.testing.assert_array_equal(np.asarray(example["image"]), picture)
        assert (example["label"], example["id"]) == (shapes[index]["label"], f"images/{name}/{index}.png")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["models"] == ["one"]
    assert [(image["dataset"], image["index"]) for image in manifest["images"]] == expected
    assert manifest["sources"]["shapes"]["fingerprint"] == shapes.fingerprint


def test_a_second_run_and_one_after_an_interruption(results, tmp_path, monkeypatch):
    command, out = ["build", results, "--out", str(tmp_path / "out")], tmp_path / "out"
    assert main(command) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(before) == 5 + 3
    (out / "hard.yaml").unlink()
    (out / "images" / "shapes" / "4.png").unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert main(command) == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    monkeypatch.setattr("lrjax.questions.zoom.hard.folder._write", lambda *_: 1 / 0)  # nothing is left to be written
    assert main(command) == 0


def test_nothing_is_written_outside_of_the_folder(results, tmp_path, capsys):
    path, outside = tmp_path / "results" / "results.jsonl", tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    assert main(["build", results, "--out", str(out)]) == 0
    for place in ("images/shapes", "images"):
        (out / place).rename(tmp_path / place.replace("/", "-"))
        (out / place).symlink_to(outside)
        assert main(["build", results, "--out", str(out)]) == 2
        assert f"{place} is a link; remove it" in capsys.readouterr().err
        (out / place).unlink()
        (tmp_path / place.replace("/", "-")).rename(out / place)
    for name in ("../../outside/x", "..", "/x"):
        text = path.read_text()
        path.write_text(text.replace('"dataset": "shapes"', f'"dataset": "{name}"'))
        assert main(["build", results, "--out", str(tmp_path / "new")]) == 2
        assert "is no name of a folder" in capsys.readouterr().err
        path.write_text(text)
    assert not (tmp_path / "new").exists() and not any(outside.iterdir())


def test_what_people_said(results, tmp_path, capsys):
    accepted = {"first": ["accept", "accept", "not sure"], "second": ["accept"]}
    said = {
        "ill_posed": ["shapes+fog-5/3"],
        "reviews": {"shapes/2": accepted, "shapes/4": {"first": ["accept", "reject", "accept"]}},
    }
    path = on_disk.write(tmp_path / "said.json", json.dumps(said))
    assert main(["build", results, "--out", str(tmp_path / "out"), "--review", str(path)]) == 0
    assert [one["file_name"] for one in lines(tmp_path / "out")] == [
        f"images/{name}.png" for name in ("shapes/2", "shapes+fog-5/0", "shapes+fog-5/1")
    ]
    text = " ".join(capsys.readouterr().out.split())
    assert "5 unclassifiable, 4 not ill-posed, 3 not rejected, 3 not confusable" in text


def own(root, *, prompts, labels, modes=("RGB",) * 3):
    """Writes a data set of three pictures, `own.yaml`."""
    rows = []
    for index, (label, mode) in enumerate(zip(labels, modes, strict=True)):
        path = root / f"{index}.{'jpg' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(on_disk.pixels(f"image {index}")).convert(mode).save(path)
        rows.append(json.dumps({"file_name": path.name, "label": label}) + "\n")
    on_disk.write(root / "metadata.jsonl", "".join(rows))
    on_disk.write(root / "own.yaml", json.dumps({"prompts": prompts, "path": "metadata:."}))
    return str(root / "own.yaml")


def test_labels_of_some_classes_become_those_of_all_and_no_pixel_changes(tmp_path):
    name = own(
        tmp_path / "own", prompts={"of": "shapes", "indices": [7, 2]}, labels=[1, 0, 1], modes=("CMYK", "LA", "L")
    )
    store(tmp_path / "results", "shapes", RIGHT["shapes"])
    source = store(tmp_path / "results", name, [[], [], [3]], labels=[[1, -1], [0, 1], [1, -1]])
    assert main(["build", str(tmp_path / "results"), "--out", str(tmp_path / "out")]) == 0
    built = open_source(str(tmp_path / "out" / "hard.yaml"))
    assert [built[i]["label"] for i in (2, 3)] == [2, (2, 7)]
    for index, suffix in enumerate(("tiff", "png")):
        image, before = built[2 + index]["image"], source[index]["image"]
        assert built[2 + index]["id"] == f"images/own/{index}.{suffix}"
        assert (image.mode, image.tobytes()) == (before.mode, before.tobytes())


def test_confusable_classes_of_imagenet(tmp_path):
    store(tmp_path / "results", own(tmp_path / "own", prompts="imagenet", labels=[657, 5, 836]), [[], [], [3]])
    command = ["build", str(tmp_path / "results"), "--out"]
    assert main([*command, str(tmp_path / "all")]) == 0
    assert [one["label"] for one in lines(tmp_path / "all")] == [657, 5]
    assert main([*command, str(tmp_path / "some"), "--drop-confusable"]) == 0
    assert [one["label"] for one in lines(tmp_path / "some")] == [5]


def test_scores_by_origin(results, tmp_path, capsys):
    assert main(["build", results, "--out", str(tmp_path / "out")]) == 0
    right = np.array([True, False, True, False, False])
    name = str(tmp_path / "out" / "hard.yaml")
    labels = [open_source(name)[i]["label"] for i in range(5)]
    order = np.array([3, 1, 4, 0, 2])
    top5 = np.where(right, labels, np.add(labels, 1))[order][:, None]
    source = store(tmp_path / "scores", name, [[]] * 5, kind="zeroshot")
    arrays = {"index": order, "label": np.asarray(labels)[order], "top5": top5}
    (stored,) = ResultStore(tmp_path / "scores").rows
    add(tmp_path / "scores", stored, arrays)
    capsys.readouterr()
    assert main(["score", str(tmp_path / "scores")]) == 0
    printed = capsys.readouterr().out
    assert len(source) == 5
    for origin, count, percent in (("all", 5, "40.0"), ("shapes", 2, "50.0"), (r"shapes\+fog-5", 3, "33.3")):
        assert re.search(rf" {origin} +{count} +{percent} \[", printed), (origin, printed)
    assert main(["score", results]) == 2
    assert "tell their origin" in capsys.readouterr().err


def mistakes(tmp_path, results):
    other, said = tmp_path / "other", str(tmp_path / "said.json")
    return {
        "solved": (["build", str(tmp_path / "solved"), "--out", str(other)],
                   "of 5 images 0 are right under no view, and none of these is left; evaluate more images, or "
                   "corrupted ones such as shapes\\+fog-5"),
        "full": (["build", results, "--out", str(tmp_path / "full")], "not empty and holds no hard set"),
        "begun": (["build", results, "--out", str(tmp_path / "begun"), "--name", "b"], "holds another hard set"),
        "name": (["build", results, "--out", str(other), "--name", "a/b"], "'a/b'; name it with letters"),
        "data set": (["build", results, "--out", str(other), "--dataset", "cars"], "no zoom table on cars"),
        "classes": (["build", results, "--out", str(other), "--drop-confusable"], "ImageNet's 1000 classes"),
        "review": (["build", results, "--out", str(other), "--review", said], "unknown key 'bad'"),
        "mixed": (["build", str(tmp_path / "mixed"), "--out", str(other)], "of letters are not among those of shapes"),
        "moved": (["build", str(tmp_path / "moved"), "--out", str(other)], "others than those of the result"),
        "silent": (["build", str(tmp_path / "silent"), "--out", str(other)], "does not tell where its images are"),
        "no command": ([], "required: build|score"),
    }  # fmt: skip


def test_mistakes_are_told_in_one_line_and_leave_nothing(results, tmp_path, capsys):
    store(tmp_path / "solved", "shapes", [[1]] * 5)
    on_disk.write(tmp_path / "full" / "notes.txt", "mine")
    assert main(["build", results, "--out", str(tmp_path / "begun"), "--name", "a"]) == 0
    on_disk.write(tmp_path / "said.json", '{"bad": 1}')
    for name in ("shapes", "letters"):
        store(tmp_path / "mixed", name, [[]] * 5)
    store(tmp_path / "moved", own(tmp_path / "own", prompts="shapes", labels=[1, 2, 3]), [[]] * 3)
    own(tmp_path / "own", prompts="shapes", labels=[1, 2, 4])
    add(tmp_path / "silent", row("one", "shapes"), samples([[]] * 5))
    for what, (arguments, message) in mistakes(tmp_path, results).items():
        capsys.readouterr()
        assert main(arguments) == 2, what
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and re.search(message, error), (what, error)
    assert not (tmp_path / "other").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
