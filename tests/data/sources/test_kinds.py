"""Every kind of source gives the same pictures and labels of the same data set."""

import concurrent.futures
import json
import pickle
import shutil

import numpy as np
import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.locations import detect, locate
from lrjax.data.procedural import ProceduralSource
from lrjax.data.regions import Boxes, RegionSource, inside_boxes
from lrjax.data.source import LeftOut
from lrjax.data.sources.base import Part
from lrjax.data.sources.split import open_metadata
from lrjax.errors import UserError

EXPECTED = sorted(
    (on_disk.pixels(name).tobytes(), label) for name, label in zip(on_disk.NAMES, on_disk.LABELS, strict=True)
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """For each kind, a root that holds the data set eurosat."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("tensorflow_datasets")
    found = {}
    for kind, write in on_disk.KINDS.items():
        found[kind] = tmp_path_factory.mktemp(kind)
        write(found[kind])
    return found


def read(source, index):
    row = source[index]
    return np.asarray(row["image"]).tobytes(), row["label"], row["id"]


@pytest.mark.parametrize("kind", on_disk.KINDS)
def test_every_kind_has_the_same_pictures(roots, kind):
    source = datasets.open_source("eurosat", roots[kind])
    rows = [read(source, i) for i in range(len(source))]
    assert sorted((pixels, label) for pixels, label, _ in rows) == EXPECTED
    assert len({name for _, _, name in rows}) == 20
    if source.ids is not None:
        assert source.ids == [name for _, _, name in rows]
        assert source.labels == [label for _, label, _ in rows]
    assert source.doubts == ()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # as the loader reads
        assert list(pool.map(lambda i: read(source, i), [*range(20)] * 3)) == rows * 3


@pytest.mark.parametrize("kind", on_disk.KINDS)
def test_ids_and_fingerprint_stay_the_same(roots, kind, tmp_path):
    first = datasets.open_source("eurosat", roots[kind])
    again = datasets.open_source("eurosat", roots[kind])
    assert first.fingerprint == again.fingerprint
    copy = pickle.loads(pickle.dumps(first))
    assert [read(copy, i) for i in range(20)] == [read(first, i) for i in range(20)]
    assert copy.fingerprint == first.fingerprint
    if kind != "array_record":  # TFDS keeps what it prepared
        shutil.copytree(roots[kind], tmp_path / "copy")
        assert datasets.open_source("eurosat", tmp_path / "copy").fingerprint == first.fingerprint


def test_other_labels_have_another_fingerprint(tmp_path):
    for name, labels in (("a", on_disk.LABELS), ("b", on_disk.LABELS[::-1])):
        files = [(f"{one}.png", on_disk.png(one)) for one in on_disk.NAMES]
        files += [(f"{one}.cls", str(label).encode()) for one, label in zip(on_disk.NAMES, labels, strict=True)]
        on_disk.write_tar(tmp_path / name / "eurosat.tar", files)
    found = [datasets.open_source("eurosat", tmp_path / name).fingerprint for name in "ab"]
    assert found[0] != found[1]


def test_ids_do_not_depend_on_the_order_of_the_files(roots, tmp_path):
    files = [(f"EuroSAT/{name}.png", on_disk.png(name)) for name in on_disk.NAMES]
    on_disk.write_tar(tmp_path / "eurosat.tar", files)
    one, other = (datasets.open_source("eurosat", root) for root in (roots["tar"], tmp_path))
    assert one.ids == other.ids[::-1]


def test_one_mapping_mixes_kinds(roots):
    for kind, location in [
        ("folder", f"folder:{roots['folder']}/eurosat"),
        ("split", f"{roots['split']}/eurosat/split_zhou_EuroSAT.json"),
        ("webdataset", f"webdataset:{roots['tar']}/eurosat.tar"),
        ("parquet", f"{roots['parquet']}/eurosat"),
        ("parquet", f"{roots['parquet']}/eurosat/data"),
        ("array_record", f"array_record:{roots['array_record']}/eurosat/2.0.0"),
    ]:
        source, place = datasets.find_source(datasets.get_dataset("eurosat"), "nowhere", sources={"eurosat": location})
        assert place.startswith(f"{kind}:")
        assert len(source) == 20


def test_the_folder_of_tfds(tmp_path):
    food = datasets.get_dataset("food101")
    assert locate(food, "tfds", "") == locate(food, "elsewhere", "tfds:") == ("tfds", None)
    assert locate(food, None, f"tfds:{tmp_path}") == ("tfds", tmp_path)
    with pytest.raises(UserError, match=rf"tfds build food101 --file_format=array_record --data_dir={tmp_path}"):
        datasets.open_source("food101", sources={"food101": f"tfds:{tmp_path}"})


@pytest.mark.parametrize("kind", on_disk.KINDS)
def test_detection(roots, kind):
    path = roots[kind] / ("eurosat.tar" if kind == "tar" else "eurosat")
    expected = {"metadata_csv": "metadata", "tar": "webdataset", "webdataset_names": "webdataset"}.get(kind, kind)
    assert detect(path, key="config.data.sources.eurosat", split="test") == expected


def test_ambiguous_and_missing_places(roots, tmp_path):
    shutil.copytree(roots["webdataset"], tmp_path, dirs_exist_ok=True)
    shutil.copytree(roots["metadata"], tmp_path, dirs_exist_ok=True)
    with pytest.raises(UserError, match=r"is of the kinds metadata and webdataset; set config.data.sources.eurosat"):
        datasets.open_source("eurosat", tmp_path)
    assert len(datasets.open_source("eurosat", sources={"eurosat": f"metadata:{tmp_path}/eurosat"})) == 20
    shutil.copy(roots["tar"] / "eurosat.tar", tmp_path)
    with pytest.raises(UserError, match=r"is both '.*eurosat' and '.*eurosat.tar'; set config.data.sources.eurosat"):
        datasets.open_source("eurosat", tmp_path)
    for location, message in [
        ("zip:x", "unknown kind 'zip'; use one of folder, split"),
        (
            "webdataset:gone.tar",
            r"'gone.tar' of data set 'eurosat' does not exist; correct .*to get it: unpack EuroSAT",
        ),
        (__file__, "of no known kind; set config.data.sources.eurosat to KIND:PATH"),
        (f"webdataset:{roots['folder']}", r"holds no archive \*.tar"),
        (f"parquet:{roots['folder']}", r"holds no \*.parquet"),
        (f"split:{roots['folder']}", "has no files split_"),
        (f"metadata:{roots['folder']}", "neither metadata.jsonl nor metadata.csv"),
        (f"array_record:{roots['folder']}", "holds no data set prepared by TFDS"),
        (f"folder:{roots['tar']}/eurosat.tar", "is a file; give the folder"),
        (f"idx:{roots['folder']}", "has no file t10k-images-idx3-ubyte"),
    ]:
        with pytest.raises(UserError, match=message):
            datasets.open_source("eurosat", sources={"eurosat": location})


def test_idx(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 4), np.uint8)
    labels = np.array([*range(10), 0, 1])
    on_disk.write_idx(tmp_path / "mnist", images, labels)
    source = datasets.open_source("mnist", tmp_path)
    for i in range(12):
        assert np.array_equal(np.asarray(source[i]["image"].convert("RGB")), np.stack([images[i]] * 3, -1))
        assert source[i]["label"] == labels[i]
    assert source[3]["id"] == "t10k/3"
    before = source.fingerprint
    on_disk.write_idx(tmp_path / "mnist", images[::-1], labels)
    assert datasets.open_source("mnist", tmp_path).fingerprint != before
    on_disk.write_idx(tmp_path / "mnist", images[:-1], labels)
    with pytest.raises(UserError, match="11 images and 12 labels"):
        datasets.open_source("mnist", tmp_path)
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="labels-idx1-ubyte' cannot be read"):
        datasets.open_source("mnist", tmp_path)


WRAPPERS = {
    "corrupted": lambda source: CorruptedSource(source, "fog", severity=3),
    "region": lambda source: RegionSource(source, "foreground", boxes={}),
    "whole": lambda source: Part(source, range(len(source))),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_is_known_of_a_source_is_known_of_one_made_of_it(wrap, tmp_path):
    rows = [{"file_name": f"{i}.png", "label": i % 2, "origin": "one" if i < 2 else "two"} for i in range(3)]
    for row in rows:
        on_disk.write(tmp_path / row["file_name"], on_disk.png(row["file_name"]))
    on_disk.write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    listed = open_metadata(tmp_path)
    listed.gaps, listed.left_out = ("a gap",), {".heic": LeftOut(3, "x.heic")}
    made = wrap(listed)
    assert (list(made.ids), list(made.labels)) == (["0.png", "1.png", "2.png"], [0, 1, 0])
    assert list(made.origins) == ["one", "one", "two"]
    assert (tuple(made.gaps), made.left_out, made.has_boxes) == (("a gap",), listed.left_out, False)
    chosen = Part(made, [2, 0], doubts=("a doubt",))
    assert (chosen.ids, chosen.labels, chosen.origins) == (["2.png", "0.png"], [0, 0], ["two", "one"])
    assert (chosen.matched, chosen.doubts, chosen.gaps) == ("by name", ("a doubt",), ("a gap",))
    assert Part(made, [2, 0], [7, 8]).labels == [7, 8]


def test_boxes_stay_through_a_corruption():
    drawn = ProceduralSource("shapes", 2, seed=0)
    foggy = CorruptedSource(drawn, "fog", severity=1)
    front = RegionSource(foggy, "foreground")
    assert drawn.has_boxes and foggy.has_boxes and Part(front, [1]).has_boxes
    inside = inside_boxes(Boxes(drawn[1]["boxes"], (224, 224)), 224, 224)[..., None]
    np.testing.assert_array_equal(Part(front, [1])[0]["image"], np.where(inside, foggy[1]["image"], np.uint8(0)))
