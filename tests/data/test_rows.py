"""Data sets of users, in the format of the registry."""

import json
from pathlib import Path

import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.rows import read_row
from lrjax.errors import UserError

BIRDS = """
classes: [robin, house wren]
templates: ["a photo of a {}, a bird.", "{}"]
path: images
count: 4
group: [fine-grained]
title: Birds of the garden
licence: CC0
"""


def birds(root, text=BIRDS, name="birds.yaml"):
    for folder in ("robin", "house_wren"):
        for number in range(2):
            on_disk.write(root / "images" / folder / f"{number}.png", on_disk.png(f"{folder}{number}"))
    return str(on_disk.write(root / name, text))


def test_a_data_set_of_ones_own(tmp_path):
    path = birds(tmp_path)
    dataset = datasets.get_dataset(path)
    assert (dataset.name, dataset.classes, dataset.expected_count) == ("birds", ("robin", "house wren"), 4)
    assert (dataset.group, dataset.title, dataset.licence) == (("fine-grained",), "Birds of the garden", "CC0")
    source = datasets.open_source(dataset)
    rows = [source[i] for i in range(4)]
    assert [(row["id"], row["label"]) for row in rows] == [
        ("robin/0.png", 0),
        ("robin/1.png", 0),
        ("house_wren/0.png", 1),
        ("house_wren/1.png", 1),
    ]
    assert datasets.prompts_hash(path) == datasets.prompts_hash(dataset)
    assert datasets.get_dataset("birds", tmp_path) == dataset  # root/birds.yaml
    elsewhere = birds(tmp_path / "other")
    assert len(datasets.open_source(elsewhere, sources={"birds": f"folder:{tmp_path}/images"})) == 4


def test_json_text_file_of_classes_and_kind(tmp_path):
    birds(tmp_path)
    on_disk.write(tmp_path / "classes.txt", "house wren\nrobin\n\n")
    row = {"name": "my-birds", "classes": "classes.txt", "prompts": "cifar10", "path": "folder:images"}
    path = on_disk.write(tmp_path / "anything.json", json.dumps(row))
    dataset = datasets.get_dataset(str(path))
    assert (dataset.name, dataset.classes) == ("my-birds", ("house wren", "robin"))
    assert dataset.templates == datasets.get_dataset("cifar10").templates
    assert datasets.open_source(dataset)[0]["label"] == 0


def test_classes_of_another_data_set(tmp_path):
    imagenet = datasets.get_dataset("imagenet")
    path = on_disk.write(tmp_path / "fish.yml", "prompts: {of: imagenet, indices: [2, 0]}\ntemplates: ['{}!']")
    dataset = datasets.get_dataset(str(path))
    assert dataset.classes == ("great white shark", "tench")
    assert dataset.folders == (imagenet.folders[2], imagenet.folders[0])
    assert (dataset.templates, dataset.indices) == (("{}!",), (2, 0))
    path.write_text("prompts: imagenet_a")
    assert datasets.prompts_hash(str(path)) == datasets.prompts_hash("imagenet_a")


def test_a_data_set_with_a_path_of_tfds(tmp_path):
    path = birds(tmp_path, BIRDS.replace("path: images", "path: 'tfds:'\nsources: {tfds: {name: cub, split: all}}"))
    dataset = datasets.get_dataset(path)
    assert (dataset.location, dataset.tfds) == ("tfds:", ("cub", "all"))
    path = birds(tmp_path, BIRDS.replace("path: images", "path: array_record:birds"))
    assert datasets.get_dataset(path).location == f"array_record:{tmp_path}/birds"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("templates", "template", "has an unknown key 'template'; did you mean templates"),
        ("title", "zzz", "has an unknown key 'zzz'; known are name, title"),
        ("a {}, a bird", "a, a bird", r"template 'a photo of a, a bird.' of '.*birds.yaml' must hold '{}' once"),
        ('"{}"', '"{} {}"', r"template '{} {}' of"),
        ("[robin, house wren]", "[robin, no]", r"classes of '.*birds.yaml' has False; write texts, in quotes"),
        ("[robin, house wren]", "{robin: 0}", r"classes of .* is \{'robin': 0\}; give a list"),
        ("[robin, house wren]", "[]", "classes of .* give a list"),
        ("[robin, house wren]", "names.txt", r"are in 'names.txt', which cannot be read \(.*No such file"),
        ("classes: [robin, house wren]", "", "has no classes; give a list, or the name of another data set"),
        ("count: 4", "count: four", "count of .* is 'four'; give a whole number above 0"),
        ("count: 4", "count: true", "count of .* is True"),
        ("count: 4", "name: 3", "name of .* is 3; give a text"),
        ("count: 4", "name: a.b", "is called 'a.b'; name it with letters"),
        ("count: 4", "name: cars", "has the name of data set 'cars' of the registry"),
        ("count: 4", "metric: map", "metric of .* is 'map'; the only one is 'top1'"),
        ("count: 4", "folders: [a]", "has 1 different folders for 2 classes"),
        ("count: 4", "images: imagenet", "needs both 'images', a data set, and 'labels'"),
        ("count: 4", "images: cifar10\nlabels: add", "has other classes than 'cifar10'"),
        ("count: 4", "images: no_such\nlabels: add", "unknown data set 'no_such'"),
        ("count: 4", "prompts: [imagenet]", r"prompts of .* are \['imagenet'\]; give a data set, or"),
        ("count: 4", "prompts: {of: mnist, indices: [10]}", "must be a list of numbers from 0 to 9"),
        ("count: 4", "prompts: {of: mnist, indices: [1, 1]}", "name 1 twice"),
        ("count: 4", "sources: {web: x}", r"sources of .* are \{'web': 'x'\}; write"),
        ("count: 4", "sources: {tfds: {name: x}}", r"sources of .* have \{'name': 'x'\}"),
        ("path: images", "path: zip:images", "'zip:images' is of the unknown kind 'zip'"),
        ("count: 4", "count: [", "cannot be read"),
        ("count: 4", f"count: {'[' * 500}{']' * 500}", "cannot be read .*nested more than 64 levels"),
        ("count: 4", "count: &a [*a]", "cannot be read .*refers to itself"),
        ("[robin, house wren]", f"[{'x' * 10**6}, 3]", "has 3; write texts"),
        (BIRDS, "just text", "holds str; it must map keys"),
        (BIRDS, "", "holds NoneType; it must map keys"),
        ("count: 4", "title: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_mistakes(tmp_path, old, new, message):
    assert old in BIRDS
    path = birds(tmp_path, BIRDS.replace(old, new))
    with pytest.raises(UserError, match=message):
        datasets.get_dataset(path)


def test_missing_files_and_repeated_names(tmp_path):
    with pytest.raises(UserError, match=r"unknown data set 'gone.yaml'; there is no such file"):
        datasets.get_dataset("gone.yaml")
    with pytest.raises(UserError, match="unknown data set 'birds'"):
        datasets.get_dataset("birds", tmp_path)
    one, other = birds(tmp_path / "one"), birds(tmp_path / "other")
    with pytest.raises(UserError, match="names 'birds' twice"):
        datasets.get_datasets(("dtd", one, other))
    with pytest.raises(UserError, match=r"'.*images' of data set 'birds' does not exist"):
        datasets.open_source(birds(tmp_path, BIRDS.replace("path: images", "path: none/images")))


@pytest.mark.parametrize(
    "path", sorted(Path(datasets.__file__).parent.glob("assets/datasets/*.json")), ids=lambda p: p.stem
)
def test_rows_of_the_registry_are_complete(path):
    row = read_row(path, datasets.get_dataset)
    assert row == datasets.get_dataset(path.stem)
    assert all((row.title, row.group, row.licence, row.get, row.expected_count))
    assert row.title != row.name


def test_the_registry_beyond_lr0fm():
    imagenet = datasets.get_dataset("imagenet")
    for name, count, images in [
        ("imagenet_real", 46_837, "imagenet"),
        ("imagenet_plus_real", 50_000, "imagenet"),
        ("imagenet_hard", 10_980, None),
        ("imagenet_hard_4k", 10_980, None),
    ]:
        dataset = datasets.get_dataset(name)
        assert (dataset.expected_count, dataset.images) == (count, images)
        assert (dataset.classes, dataset.templates) == (imagenet.classes, imagenet.templates)
    cifar, mnist = datasets.get_dataset("cifar10"), datasets.get_dataset("mnist")
    assert (len(cifar.templates), cifar.classes[9]) == (18, "truck")
    assert (mnist.classes, mnist.templates) == (tuple("0123456789"), ('a photo of the number: "{}".',))
    assert datasets.get_dataset("imagenet_a").indices[:5] == (6, 11, 13, 15, 17)
    assert datasets.get_dataset("imagenet_r").indices[:5] == (1, 2, 4, 6, 8)
