"""The check of data sets: what is found and missing, one line per problem, and the exit status."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import on_disk
from lrjax.data import datasets
from lrjax.data.__main__ import main
from lrjax.data.images import ImageError, decode
from run_helpers import write_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def check(tmp_path, capsys, monkeypatch):
    """Runs the check of some data sets: (status, table, problems)."""
    monkeypatch.setenv("COLUMNS", "250")

    def run(names, *arguments, **data):
        recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": names, "workers": 2, **data})
        capsys.readouterr()
        status = main(["check", str(recipe), *map(str, arguments)])
        found = capsys.readouterr()
        assert status != 2, found.err
        lines = found.out.splitlines()
        table = {
            line.split()[0]: line.split()[1:] for line in lines if line.startswith(" ") and line.strip()[:1].isalpha()
        }
        problems = [line.removeprefix("problem: ") for line in lines if line.startswith("problem: ")]
        assert lines[-1] == f"data sets: {len(names)}, problems: {len(problems)}"
        return status, table, problems

    return run


def whole_eurosat(root, monkeypatch):
    """The data set eurosat with as many images as the registry expects of it."""
    on_disk.folder(root)
    row = datasets.get_dataset("eurosat")
    monkeypatch.setitem(vars(row), "expected_count", 20)


def test_a_recipe_of_several_kinds_without_problems(check, tmp_path, monkeypatch):
    whole_eurosat(tmp_path, monkeypatch)
    on_disk.tar(tmp_path / "archive")
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28))
    on_disk.write_idx(tmp_path / "digits", images, np.arange(10))
    monkeypatch.setitem(vars(datasets.get_dataset("mnist")), "expected_count", 10)
    on_disk.write(tmp_path / "own" / "birds.yaml", "classes: [a, b]\ntemplates: ['{}']\ncount: 2\npath: birds.tar")
    on_disk.write_tar(tmp_path / "own" / "birds.tar", [(f"{name}/1.png", on_disk.png(name)) for name in "ab"])
    own = f"{tmp_path}/own/birds.yaml"
    for full in ([], ["--full"]):
        status, table, problems = check(
            ("eurosat", "mnist", "shapes", own), *full, f"--config.data.root={tmp_path}",
            *("--config.data.sources.mnist", f"idx:{tmp_path}/digits"), count=30,
        )  # fmt: skip
        assert (status, problems) == (0, [])
        assert table["eurosat"] == [f"folder:{tmp_path}/eurosat", "0", "20", "20", "20", "10", "by", "name"]
        assert table["mnist"] == [f"idx:{tmp_path}/digits", "0", "10", "10", "10", "10", "by", "number"]
        assert table["shapes"][:4] == ["drawn", "by", "the", "program"]
        assert table["birds"] == [f"webdataset:{tmp_path}/own/birds.tar", "0", "2", "2", "2", "2", "by", "name"]
    sources = {"eurosat": f"webdataset:{tmp_path}/archive/eurosat.tar"}
    assert check(("eurosat",), sources=sources)[0] == 0


def test_problems(check, tmp_path):
    on_disk.folder(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "eurosat" / "River" / "more.png")
    (tmp_path / "eurosat" / "Forest" / "1.png").write_bytes(on_disk.png("x")[:40])
    garbage = on_disk.write(tmp_path / "eurosat" / "Highway" / "1.png", "garbage")
    status, table, problems = check(("dtd", "eurosat"), root=str(tmp_path))
    assert status == 1
    assert table["eurosat"][2:4] == ["21", "5,400"]
    assert table["dtd"] == ["–", "1", "–", "1,880", "0", "47", "–"]  # noqa: RUF001
    assert len(problems) == 4
    assert re.match(r"dtd: data set 'dtd' has no folder '.*dtd' .*to get it: unpack dtd-r1.0.1.tar.gz", problems[0])
    assert problems[1] == "eurosat: 21 images instead of 5,400; check the split"
    assert re.match(r"eurosat: image '.*Forest/1.png' cannot be decoded \(.+\); replace or remove it", problems[2])
    with pytest.raises(ImageError) as refused:
        decode(garbage)
    assert problems[3] == f"eurosat: {refused.value}"
    assert "not an image in one of the formats JPEG" in problems[3]


def test_classes_without_images_and_other_class_names(check, tmp_path):
    files = [file for key in range(3) for file in [(f"{key}.png", on_disk.png("x")), (f"{key}.cls", str(key).encode())]]
    on_disk.write_tar(tmp_path / "eurosat" / "0.tar", files)
    names = [*on_disk.DATASET.classes]
    names[1:7] = ["wood"] * 6
    on_disk.write(tmp_path / "eurosat" / "classnames.txt", "\n".join(names))
    status, _, problems = check(("eurosat",), root=str(tmp_path))
    assert status == 1
    assert problems == [
        "eurosat: labels taken as numbers: class 1 is called 'wood' instead of 'forest', and "
        "only 4 of 10 names agree; check a few images",
        "eurosat: no image of class 'highway or road' (7 of 10 classes without images)",
        "eurosat: 3 images instead of 5,400; check the split",
    ]


def test_doubtful_labels_and_a_single_class(check, tmp_path, capsys):
    files = [(f"{name}/1.png", on_disk.png(name)) for name in ("chat", "chien")]
    on_disk.write_tar(tmp_path / "own.tar", files)
    path = on_disk.write(tmp_path / "own.yaml", "classes: [cat, dog]\ntemplates: ['{}']\npath: own.tar")
    status, table, problems = check((str(path),))
    assert (status, table["own"][-3:]) == (1, ["in", "sorted", "order"])
    assert len(problems) == 1 and problems[0].startswith("own: class folders carry none of the class names")
    path.write_text("classes: [cat]\ntemplates: ['{}']\npath: own.tar")
    recipe = write_recipe(tmp_path / "one.py", model="x", data={"names": (str(path),)})
    assert main(["check", str(recipe)]) == 2
    assert re.fullmatch(r"error: '.*own.yaml' has one class, 'cat'; a classifier .*\n", capsys.readouterr().err)


def test_all_damaged_images_are_found_with_full(check, tmp_path, monkeypatch):
    whole_eurosat(tmp_path, monkeypatch)
    for name in on_disk.NAMES:
        on_disk.write(tmp_path / "eurosat" / f"{name}-more.png", on_disk.png(name))
    for name in on_disk.NAMES:
        on_disk.write(tmp_path / "eurosat" / f"{name}-bad.png", b"no image")
    monkeypatch.setitem(vars(datasets.get_dataset("eurosat")), "expected_count", 60)
    for name in ("Forest/0", "River/1"):
        on_disk.write(tmp_path / "eurosat" / f"{name}.png", b"")
    status, table, problems = check(("eurosat",), "--full", root=str(tmp_path))
    assert (status, table["eurosat"][4]) == (1, "38")
    assert len(problems) == 21
    assert problems[-1] == "eurosat: 2 more such problems, of 22 images in all"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: check|list"),
        (["check"], "the following arguments are required: CONFIG"),
        (["check", "gone.py"], "recipe gone.py does not exist"),
        (["check", "RECIPE", "--fast"], "unexpected argument '--fast'|Unknown command line flag 'fast'"),
        (["check", "RECIPE", "--config.data.names=shpes"], "unknown data set 'shpes'; did you mean shapes"),
        (["check", "RECIPE", "--config.data.sources.car=x"], "entry for the unknown data set 'car'"),
        (["list", "more"], "unexpected argument 'more'"),
    ],
)
def test_mistakes_in_the_command(tmp_path, capsys, arguments, message):
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": ("shapes",)})
    assert main([str(recipe) if one == "RECIPE" else one for one in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(message.replace("check|list", r"check\|list"), error), error


def test_the_list_and_the_command(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "lrjax.data", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    done = run("list")
    assert done.returncode == 0, done.stderr
    for name in datasets.dataset_names():
        assert re.search(rf"^ {name} ", done.stdout, re.MULTILINE), name
    assert "cars: take tanganke/stanford_cars of huggingface.co" in done.stdout
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": ("dtd",)})
    done = run("check", str(recipe), "--config.data.root", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "data sets: 1, problems: 1"
