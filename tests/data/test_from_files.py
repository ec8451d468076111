"""Data sets that no row describes, whose files name the classes."""

import json

import numpy as np
import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.__main__ import main
from lrjax.errors import UserError

CLASSES = ("barn_owl", "Blue Jay", "great-tit")
SHOWN = {"barn_owl": "barn owl", "Blue Jay": "Blue Jay", "great-tit": "great-tit"}


def write_folder(root, classes, per_class=1):
    for name in classes:
        for number in range(per_class):
            on_disk.write(root / name / f"{number}.png", on_disk.png(f"{name}{number}"))
    return str(root)


@pytest.mark.parametrize("kind", on_disk.OWN)
def test_every_kind_names_its_classes(kind, tmp_path):
    on_disk.own(tmp_path, kind, CLASSES)
    dataset = datasets.get_dataset(f"{tmp_path}/images")
    assert dataset.name == "images"
    assert set(dataset.classes) == set(SHOWN.values())
    assert dataset.templates == ("a photo of a {}.",)
    source = datasets.open_source(dataset)
    assert not source.doubts
    found = {dataset.classes[row["label"]]: np.asarray(row["image"]) for row in map(source.__getitem__, range(3))}
    for label, name in enumerate(CLASSES):  # the picture of each class
        np.testing.assert_array_equal(found[SHOWN[name]], on_disk.pixels(str(label)))


def test_folders_are_sorted_and_an_archive_has_the_name_of_its_file(tmp_path):
    folder = write_folder(tmp_path / "my birds", reversed(CLASSES))
    assert datasets.get_dataset(folder).classes == ("Blue Jay", "barn owl", "great-tit")
    assert datasets.get_dataset(f"{folder}/").name == datasets.get_dataset(f"folder:{folder}").name == "my_birds"
    files = [(f"set/{name}/deep/0.png", on_disk.png(name)) for name in CLASSES]
    archive = datasets.get_dataset(str(on_disk.write_tar(tmp_path / "birds.v2.tar", files)))
    assert (archive.name, archive.classes) == ("birds_v2", ("Blue Jay", "barn owl", "great-tit"))
    assert [row["label"] for row in map(datasets.open_source(archive).__getitem__, range(3))] == [1, 0, 2]


def test_ids_of_imagenet_have_their_words(tmp_path):
    folder = write_folder(tmp_path / "fish", ["n01440764", "n01443537"])
    assert datasets.get_dataset(folder).classes == ("tench", "goldfish")


def test_a_class_may_be_called_as_a_split(tmp_path):
    assert datasets.get_dataset(write_folder(tmp_path / "voc", ["train", "bus"])).classes == ("bus", "train")


def test_images_may_be_corrupted(tmp_path):
    folder = write_folder(tmp_path / "birds", CLASSES)
    assert datasets.get_dataset(f"{folder}+fog-3").name == "birds+fog-3"


def refused(place):
    with pytest.raises(UserError) as error:
        datasets.get_dataset(str(place))
    return str(error.value)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["wren"], "names one class, 'wren'; a data set needs two class folders or more"),
        (["0", "1"], "class '0' of '{root}' is no word that a prompt could have"),
        (["n00000001", "wren"], "class 'n00000001' of '{root}' is no word"),
        (["a_b", "A b"], "has 2 classes that prompts call 'a b'; rename them"),
        (["test/wren", "test/robin", "train/wren"], "holds 'test', a split, instead of class folders; name '{root}/te"),
        (["train", "val"], "a split, instead of class folders; name '{root}/val'"),
        (["images/wren", "images/robin"], "holds one folder, 'images', instead of class folders; name '{root}/images'"),
    ],
)
def test_folders_that_name_no_classes(tmp_path, classes, message):
    assert message.format(root=tmp_path / "own") in refused(write_folder(tmp_path / "own", classes))


def test_files_that_name_no_classes(tmp_path):
    assert "names no class" in refused(on_disk.write(tmp_path / "empty" / "notes.txt", "").parent)
    assert "is of no known kind; set config.data.names to KIND:PATH" in refused(tmp_path / "empty" / "notes.txt")
    on_disk.write_idx(tmp_path / "idx", np.zeros((2, 3, 3)), np.arange(2))
    assert "class '0' of" in refused(tmp_path / "idx")
    samples = [("0.png", on_disk.png("0")), ("0.cls", b"3")]
    assert "names one class, '3'" in refused(on_disk.write_tar(tmp_path / "numbers.tar", samples))
    splits = [(f"{part}/{name}/0.png", on_disk.png(name)) for part in ("train", "val") for name in ("wren", "robin")]
    assert "holds 'train', a split" in refused(on_disk.write_tar(tmp_path / "both.tar", splits))


def test_names_that_are_taken_or_unknown(tmp_path):
    folder = write_folder(tmp_path / "eurosat", CLASSES)
    assert f"name that, with config.data.sources.eurosat={folder} for its classes and prompts" in refused(folder)
    assert refused(tmp_path / "gone").endswith("there is no such file or folder")
    assert refused("eurosta") == "unknown data set 'eurosta'; did you mean eurosat or textures?"
    same = [write_folder(tmp_path / side / "birds", CLASSES) for side in ("left", "right")]
    with pytest.raises(UserError, match=r"config.data.names names 'birds' twice; remove or rename one"):
        datasets.get_datasets(same)


def test_a_registered_name_keeps_its_meaning(tmp_path, monkeypatch):
    write_folder(tmp_path / "eurosat", CLASSES)
    monkeypatch.chdir(tmp_path)
    assert datasets.get_dataset("eurosat") == on_disk.DATASET


def test_they_are_checked_as_others_are(tmp_path, capsys):
    folder = write_folder(tmp_path / "birds", CLASSES, per_class=2)
    recipe = f"def get_config():\n    return {json.dumps({'model': 'EVA02-embedded', 'data': {'names': [folder]}})}\n"
    assert main(["check", str(on_disk.write(tmp_path / "recipe.py", recipe)), "--full"]) == 0
    printed = capsys.readouterr().out
    assert "by name" in printed
    assert "data sets: 1, problems: 0" in printed
