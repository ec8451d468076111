"""Every kind of source: other contents are another fingerprint; the same ones elsewhere, or touched, are the same."""

import gzip
import json
import os

import numpy as np
import pytest

import on_disk
from lrjax.data import content
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.datasets import open_source, open_training_source
from lrjax.data.images import ImageError
from lrjax.data.regions import RegionSource
from lrjax.data.relabel import relabel
from lrjax.data.sources.base import Part
from lrjax.data.sources.idx import IdxImages
from lrjax.errors import UserError

NAME = on_disk.NAMES[7]
PIXELS = on_disk.png(NAME)[45:65]
"""Part of one picture, noise that no format makes smaller, so that it is found in every file that holds the picture."""


@pytest.fixture(autouse=True)
def remembered(tmp_path_factory, monkeypatch):
    """Files that were just written count as old ones, whose digests are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(content, "_RACY", -(10**10))


def captioned(root):
    for number, name in enumerate(on_disk.NAMES):
        on_disk.write(root / "Mul_samples_1_20" / "1" / f"{number}.png", on_disk.png(name))


def parquet_of(images):
    def write(root):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        (root / "eurosat").mkdir(parents=True)
        rows = {"image": [images(root / "eurosat", name) for name in on_disk.NAMES], "label": on_disk.LABELS}
        pq.write_table(pa.table(rows), root / "eurosat" / "test.parquet", compression="none")

    return write


def beside(folder, name):
    """Every other picture in a file of its own."""
    path = f"{name.replace('/', '-')}.png"
    if not name.endswith("1"):
        return {"bytes": on_disk.png(name), "path": path}
    on_disk.write(folder / path, on_disk.png(name))
    return {"bytes": None, "path": path}


def idx(root):
    images = np.frombuffer((PIXELS * 40)[:640], np.uint8).reshape(10, 8, 8)
    on_disk.write_idx(root / "mnist", images, np.arange(10))


def evaluation(name="eurosat"):
    return lambda root: open_source(name, root)


def training(root):
    return open_training_source(root, count=1, seed=0)


KINDS = {
    **{kind: (write, evaluation()) for kind, write in on_disk.KINDS.items()},
    "parquet_bytes": (parquet_of(lambda folder, name: on_disk.png(name)), evaluation()),
    "parquet_paths": (parquet_of(beside), evaluation()),
    "idx": (idx, evaluation("mnist")),
    "unlabelled": (on_disk.write_images, training),
    "captioned": (captioned, training),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """A root with the data set, and what opens it there or elsewhere."""
    if request.param == "array_record":
        pytest.importorskip("tensorflow_datasets")
    write, opened = KINDS[request.param]
    write(tmp_path / "root")
    return tmp_path / "root", opened


def change_one_byte(root):
    """Changes a byte of one picture; names, sizes and labels stay."""
    for path in filter(os.path.isfile, root.rglob("*")):
        packed = path.suffix == ".gz"
        found = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        if PIXELS in found:
            place = found.index(PIXELS) + 10
            changed = found[:place] + bytes([found[place] ^ 1]) + found[place + 1 :]
            path.write_bytes(gzip.compress(changed) if packed else changed)
            return path
    raise AssertionError("no file holds the picture as it is")


def test_one_byte_is_another_fingerprint(kind):
    root, opened = kind
    before = opened(root)
    assert before.fingerprint
    size = {path: path.stat().st_size for path in root.rglob("*")}
    change_one_byte(root)
    after = opened(root)
    if not list(root.rglob("*.gz")):
        assert {path: path.stat().st_size for path in root.rglob("*")} == size
    assert getattr(after, "ids", None) == getattr(before, "ids", None)
    assert getattr(after, "labels", None) == getattr(before, "labels", None)
    assert after.fingerprint != before.fingerprint


def test_touched_or_copied_files_have_the_same_fingerprint(kind, tmp_path):
    root, opened = kind
    expected = opened(root).fingerprint
    for path in sorted(filter(os.path.isfile, root.rglob("*")), reverse=True):  # written in another order
        on_disk.write(tmp_path / "elsewhere" / path.relative_to(root), path.read_bytes())
        os.utime(path, (1e9, 1e9))
    assert opened(root).fingerprint == opened(tmp_path / "elsewhere").fingerprint == expected


def test_a_second_start_reads_no_file_for_the_fingerprint(kind, monkeypatch):
    root, opened = kind
    expected = opened(root).fingerprint
    monkeypatch.setattr(content, "open_regular", lambda path: pytest.fail(f"{path} is read"))
    assert opened(root).fingerprint == expected


def test_files_that_are_gone(kind):
    root, opened = kind
    source = opened(root)
    if getattr(source, "source", source).__class__ is IdxImages:  # it is read when it is opened
        return
    change_one_byte(root).unlink()
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        assert source.fingerprint


WRAPPERS = {
    "part": lambda source, _: Part(source, [7, 3]),
    "whole": lambda source, _: Part(source, range(len(source))),
    "corrupted": lambda source, _: CorruptedSource(source, "fog", severity=3),
    "region": lambda source, _: RegionSource(source, "foreground", boxes={}),
    "relabelled": lambda source, path: relabel(source, path, mode="replace", classes=10),
    "sample": lambda _, path: open_source("eurosat", path.parent / "root", count=19),
    "corrupted_sample": lambda _, path: open_source("eurosat+fog-3", path.parent / "root", count=19),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_wraps_a_source_follows_its_content(wrap, tmp_path):
    root = tmp_path / "root"
    on_disk.folder(root)
    labels = on_disk.write(tmp_path / "labels.json", json.dumps({f"{name}.png": 3 for name in on_disk.NAMES}))
    found = []
    for change in (lambda: None, lambda: os.utime(root / "eurosat" / f"{NAME}.png"), lambda: change_one_byte(root)):
        change()
        found.append(wrap(open_source("eurosat", root), labels).fingerprint)
    assert found[0] == found[1] != found[2]


def test_class_names_of_tfds_are_part_of_the_fingerprint(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    on_disk.array_record(tmp_path)
    before = open_source("eurosat", tmp_path)
    (names,) = tmp_path.rglob("label.labels.txt")
    names.write_text("\n".join(names.read_text().split()[::-1]))
    after = open_source("eurosat", tmp_path)
    assert after[0]["label"] == 9 - before[0]["label"]
    assert after.fingerprint != before.fingerprint


def test_records_that_are_cut_off_or_gone_are_no_damaged_images(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    on_disk.array_record(tmp_path)
    (path,) = tmp_path.rglob("*.array_record-*")
    whole = path.read_bytes()
    for change in (lambda: path.write_bytes(whole[: len(whole) // 2]), path.unlink):
        path.write_bytes(whole)
        source = open_source("eurosat", tmp_path)
        change()
        with pytest.raises(UserError, match=r"record 0 of split 'test' .*'lrjax_eurosat' cannot be read \(") as caught:
            source[0]
        assert not isinstance(caught.value, ImageError)


def test_parquet_files_that_are_cut_off_or_gone_are_no_damaged_images(tmp_path):
    parquet_of(beside)(tmp_path)
    path = tmp_path / "eurosat" / "test.parquet"
    whole = path.read_bytes()
    for change in (lambda: path.write_bytes(whole[: len(whole) // 2]), path.unlink):
        path.write_bytes(whole)
        source = open_source("eurosat", tmp_path)
        change()
        with pytest.raises(UserError, match=r"test.parquet' cannot be read as Parquet") as caught:
            source[0]
        assert not isinstance(caught.value, ImageError)
