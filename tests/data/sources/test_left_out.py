"""Which files are images: all that can be decoded, each once, and what is left out is told."""

import io
import os
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

import on_disk
from lrjax.data import images
from lrjax.data.__main__ import main
from lrjax.data.datasets import find_source, get_dataset, open_training_source
from lrjax.data.source import LeftOut
from lrjax.data.sources.folder import ImageFolder
from lrjax.data.sources.webdataset import TarImages
from lrjax.errors import UserError
from run_helpers import write_recipe

PNG = on_disk.png("a")
SUFFIXES = {suffix: kind for suffix, kind in Image.registered_extensions().items() if suffix in images.SUFFIXES}


def encoded(kind):
    content = io.BytesIO()
    Image.fromarray(on_disk.pixels("a")).convert("RGB").save(content, kind)
    return content.getvalue()


def own_data(root, location="img", classes=("cat", "dog")):
    row = f"classes: [{', '.join(classes)}]\ntemplates: ['{{}}']\npath: {location}"
    on_disk.write(root / "own.yaml", row)
    return str(root / "own.yaml")


def open_own(root, **options):
    return find_source(get_dataset(own_data(root, **options)))[0]


def test_the_suffixes_are_those_of_the_formats():
    known = {".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    assert known | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"} <= images.SUFFIXES
    assert not images.SUFFIXES & {".eps", ".pdf", ".txt", ".json", ".heic", ".ico", ""}


@pytest.fixture(scope="module")
def files():
    return [(f"cat/{suffix[1:]}{suffix}", encoded(kind)) for suffix, kind in SUFFIXES.items()]


def test_every_suffix_in_every_kind(tmp_path, files):
    files = [*files, ("cat/LOUD.JFIF", encoded("JPEG")), ("dog/1.png", PNG)]
    for name, content in files:
        on_disk.write(tmp_path / "img" / name, content)
    on_disk.write_tar(tmp_path / "img.tar", files)
    samples = [(re.sub(r"/", "-", name), content) for name, content in files]
    labels = [(f"{name.partition('.')[0]}.cls", name[:3].encode()) for name, _ in samples]
    on_disk.write_tar(tmp_path / "samples.tar", samples + labels)
    for location in ("img", "img.tar", "samples.tar"):
        source = open_own(tmp_path, location=location)
        assert len(source) == len(files) == len(SUFFIXES) + 2
        assert sorted(source.labels) == [0] * (len(files) - 1) + [1]
        assert (source.left_out, source.gaps) == ({}, ())
        assert {source[i]["image"].size for i in range(len(source))} == {(6, 6)}
    assert len(open_training_source(tmp_path / "img", count=1, seed=0)) == len(files)


def test_other_files_are_counted_and_named(tmp_path, caplog):
    others = ["cat/x.heic", "cat/y.heic", "dog/Z.HEIC", "dog/note.txt", "dog/unnamed"]
    expected = {".heic": LeftOut(3, "cat/x.heic"), ".txt": LeftOut(1, "dog/note.txt"), "": LeftOut(1, "dog/unnamed")}
    files = [*((name, b"?") for name in others), ("cat/1.png", PNG), ("dog/1.png", PNG)]
    for name, content in files:
        on_disk.write(tmp_path / "img" / name, content)
    on_disk.write_tar(tmp_path / "img.tar", files)
    for location in ("img", "img.tar"):
        source = open_own(tmp_path, location=location)
        assert len(source) == 2
        assert source.left_out == expected
        assert [re.match(r"files (with the suffix \S+|without a suffix)", one)[0] for one in source.gaps] == [
            "files with the suffix .heic",
            "files without a suffix",
        ]
    open_training_source(tmp_path / "img", count=1, seed=0)
    assert "files with the suffix .heic are left out (3, 'cat/x.heic' for one)" in caplog.text
    on_disk.write(tmp_path / "img" / "loose.webp", b"")
    assert "files with the suffix .webp are left out (1, 'loose.webp' for one); move them into" in str(
        open_own(tmp_path).gaps
    )


@pytest.mark.parametrize(("extra", "status"), [("cat/a.txt", 0), ("cat/a.xml", 0), ("cat/a.heic", 1)])
def test_the_check_names_them(tmp_path, capsys, extra, status):
    for name in ("cat/1.png", "dog/1.png", extra):
        on_disk.write(tmp_path / "img" / name, PNG)
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": (own_data(tmp_path),)})
    assert main(["check", str(recipe), "--full"]) == status
    out = capsys.readouterr().out
    assert f"left out: own: 1 {extra[5:]}, '{extra}' for one" in out
    assert (f"problem: own: files with the suffix {extra[5:]} are left out" in out) == bool(status)


TABLES = {
    "metadata.csv": "file_name,label\n{0},cat\n{1},dog\n",
    "metadata.jsonl": '{{"file_name": "{0}", "label": "cat"}}\n{{"file_name": "{1}", "label": "dog"}}\n',
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("folder", ["", "test/"])
def test_files_that_no_row_names(tmp_path, capsys, table, folder):
    root = tmp_path / "img"
    for name in ("a.png", "in/b.png"):
        on_disk.write(root / folder / name, PNG)
    on_disk.write(root / folder / table, TABLES[table].format("a.png", "./in/b.png"))
    assert (open_own(tmp_path).left_out, open_own(tmp_path).gaps) == ({}, ())
    for name in ("note.txt", "c.png", "in/d.png", "in/e.heic", ".hidden.png"):
        on_disk.write(root / folder / name, PNG)
    (root / folder / "gone.png").symlink_to("nowhere")
    source = open_own(tmp_path)
    assert source.ids == ["a.png", "./in/b.png"]
    counts = {".png": LeftOut(3, "c.png"), ".heic": LeftOut(1, "in/e.heic"), ".txt": LeftOut(1, "note.txt")}
    assert source.left_out == counts
    assert [one.partition(";")[2].split(" '")[0] for one in source.gaps] == [
        " name them in",
        f" give images the suffix of their format, one of {', '.join(images.FORMATS)}, and keep other files elsewhere",
    ]
    recipe = write_recipe(tmp_path / "recipe.py", model="x", data={"names": (own_data(tmp_path),)})
    assert main(["check", str(recipe)]) == 1
    out = capsys.readouterr().out
    assert "left out: own: 3 .png, 'c.png' for one" in out
    assert "problem: own: files with the suffix .png are left out (3, 'c.png' for one); name them in '" in out


def test_rows_that_name_files_through_links(tmp_path):
    for name in ("real/a.png", "real/b.png", "real/c.png"):
        on_disk.write(tmp_path / "img" / name, PNG)
    (tmp_path / "img" / "link").symlink_to("real")
    on_disk.write(tmp_path / "img" / "metadata.csv", TABLES["metadata.csv"].format("link/a.png", "real/b.png"))
    assert open_own(tmp_path).left_out == {".png": LeftOut(1, "real/c.png")}


def write_links(path, links):
    """An archive of two images and links: (name, type, what it leads to)."""
    with tarfile.open(path, "w") as archive:
        for name, content in (("cat/a.png", on_disk.png("a")), ("dog/b.png", on_disk.png("b"))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, kind, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return path


HARD, SOFT = tarfile.LNKTYPE, tarfile.SYMTYPE


def test_links_in_archives(tmp_path):
    links = [
        ("cat/hard.png", HARD, "cat/a.png"),
        ("dog/soft.jpg", SOFT, "b.png"),
        ("dog/far.png", SOFT, "../cat/a.png"),
        ("dog/far2.png", SOFT, "far.png"),
    ]
    source = TarImages(write_links(tmp_path / "x.tar", links))
    assert source.ids == ["cat/a.png", "dog/b.png", *(name for name, _, _ in links)]
    assert source.labels == ["cat", "dog", "cat", "dog", "dog", "dog"]
    for index, name in enumerate("abab"):
        np.testing.assert_array_equal(source[index]["image"], on_disk.pixels("ab"["abab".index(name)]))
    for index, name in enumerate("ababaa"):
        np.testing.assert_array_equal(source[index]["image"], on_disk.pixels(name))


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (SOFT, "../../etc/x.png"),
        (SOFT, "/etc/x.png"),
        (SOFT, "gone.png"),
        (SOFT, "x.png"),
        (SOFT, "."),
        (HARD, "a.png"),
        (HARD, "/cat/a.png"),
    ],
)
def test_links_to_no_member_are_refused(tmp_path, kind, target):
    path = write_links(tmp_path / "x.tar", [("cat/x.png", kind, target)])
    with pytest.raises(UserError, match=r"link 'cat/x.png' of archive '.*x.tar' leads to '.*', which is no file"):
        TarImages(path)


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_devices_in_archives_are_refused(tmp_path, kind):
    with pytest.raises(UserError, match=r"'cat/x.png' of archive '.*' is a device, a pipe or sparse"):
        TarImages(write_links(tmp_path / "x.tar", [("cat/x.png", kind, "")]))


@pytest.mark.parametrize(
    ("name", "content"), [("b.cls", b"0"), ("b.json", b'{"label": 0}'), ("b.heic", b"?")], ids=["cls", "json", "heic"]
)
def test_a_label_without_an_image(tmp_path, name, content):
    files = [("a.png", PNG), ("a.cls", b"0"), (name, content), *([("b.cls", b"1")] if name == "b.heic" else [])]
    path = on_disk.write_tar(tmp_path / "x.tar", files)
    with pytest.raises(UserError, match=rf"sample 'b' of archive '.*x.tar' has a label but no image .*\({name}"):
        TarImages(path)


@pytest.mark.parametrize("target", [".", "..", "../..", "deep", "../cat/deep"])
def test_links_that_lead_back_add_nothing(tmp_path, target):
    for name in ("cat/1.png", "cat/deep/2.png", "dog/3.png"):
        on_disk.write(tmp_path / "img" / name, PNG)
    (tmp_path / "img" / "cat" / "again").symlink_to(target)
    source = open_own(tmp_path)
    assert source.ids == ["cat/1.png", "cat/deep/2.png", "dog/3.png"]
    assert re.match(r"link '.*img/cat/again' leads to a folder that is read already, .*\(1 such links\)", *source.gaps)
    training = open_training_source(tmp_path / "img", count=1, seed=0)
    assert [path.name for path in training.paths] == ["1.png", "2.png", "3.png"]
    assert len(training.gaps) == 1


def test_links_to_folders_elsewhere_are_followed_once(tmp_path):
    on_disk.write(tmp_path / "img" / "dog" / "3.png", PNG)
    on_disk.write(tmp_path / "store" / "1.png", PNG)
    (tmp_path / "store" / "back").symlink_to(".")
    (tmp_path / "img" / "cat").symlink_to("../store")
    (tmp_path / "img" / "cat" / "more").symlink_to("../store")
    source = open_own(tmp_path)
    assert source.ids == ["cat/1.png", "dog/3.png"]
    assert len(source.gaps) == 1 and "(2 such links)" in source.gaps[0]


@pytest.mark.parametrize(
    ("link", "target", "wrong"),
    [
        ("img/cat/dogs", "../dog", "img/cat/dogs"),
        ("img/dog/cats", "../cat", "img/dog/cats"),
        ("img/dog/deep", "../cat/deep", "img/dog/deep"),
        ("img/dog/more", "../../store", "img/dog/more"),
    ],
)
def test_links_between_classes_are_refused(tmp_path, link, target, wrong):
    for name in ("img/cat/deep/1.png", "img/dog/3.png", "store/4.png"):
        on_disk.write(tmp_path / name, PNG)
    (tmp_path / "img" / "cat" / "more").symlink_to("../../store")
    (tmp_path / link).symlink_to(target)
    with pytest.raises(UserError, match=rf"images of '.*{wrong}' are of the class folder '.*/\w+' and of '.*/\w+'; "):
        open_own(tmp_path)
    (tmp_path / link).unlink()
    assert open_own(tmp_path).ids == ["cat/deep/1.png", "cat/more/4.png", "dog/3.png"]


def test_a_class_folder_in_another_or_twice_is_refused(tmp_path):
    for name in ("a/1.png", "a/b/2.png", "c/3.png"):
        on_disk.write(tmp_path / name, PNG)
    for classes in (["a", "a/b", "c"], ["a/b", "a", "c"]):
        with pytest.raises(UserError, match=r"the images of '.*a/b' are of the class folder"):
            ImageFolder(tmp_path, classes)
    assert ImageFolder(tmp_path, ["a", "c"]).ids == ["a/1.png", "a/b/2.png", "c/3.png"]
    (tmp_path / "d").symlink_to("c")
    with pytest.raises(UserError, match=r"the images of '.*d' are of the class folder '.*c' and of '.*d'"):
        ImageFolder(tmp_path, ["a", "c", "d"])


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    for name in ("cat/1.png", "cat/closed/2.png", "dog/3.png"):
        on_disk.write(tmp_path / "img" / name, PNG)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"folder '.*cat/closed' cannot be read \(Permission denied\)"):
        open_own(tmp_path)


def test_a_numbered_folder_twice(tmp_path):
    on_disk.write(tmp_path / "Mul_samples_2_1" / "1" / "0.png", PNG)
    on_disk.write(tmp_path / "Mul_samples_2_1" / "1" / "0.heic", b"?")
    source = open_training_source(tmp_path, count=1, seed=0)
    assert (len(source), source.left_out) == (1, {".heic": LeftOut(1, "Mul_samples_2_1/1/0.heic")})
    (tmp_path / "Mul_samples_2_1" / "2").symlink_to("1")
    with pytest.raises(UserError, match=r"folders '.*/1' and '.*/2' are one and the same"):
        open_training_source(tmp_path, count=1, seed=0)
