"""Damaged and contradictory sources: every error names the file, the image and what to do."""

import bz2
import gzip
import json
import lzma
import subprocess

import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.images import ImageError
from lrjax.data.sources.matching import ClassNames
from lrjax.data.sources.parquet import ParquetImages
from lrjax.data.sources.split import ImageFiles, open_metadata, open_split
from lrjax.data.sources.webdataset import TarImages
from lrjax.errors import UserError

PNG = on_disk.png("a")


def sample(key, label=b"0"):
    return [(f"{key}.png", PNG), (f"{key}.cls", label)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"x.tar' holds no image; remove it"),
        ([("notes.txt", b"no image")], r"x.tar' holds no image; remove it"),
        ([("x/a.png", PNG), ("b.png", PNG)], r"image 'b.png' of '.*x.tar' is in no class folder and has no .cls"),
        ([*sample("a"), *sample("a")], r"holds image 'a.png' twice"),
        ([*sample("a"), ("a.jpg", PNG)], r"holds two images of sample 'a'"),
        ([*sample("a"), ("b.png", PNG)], r"image 'b' of '.*x.tar' has no label; add its .cls or .json"),
        ([("a.png", PNG), ("a.json", b"{")], r"'a.json' of '.*x.tar' is unreadable \(Expecting property name"),
        ([("a.png", PNG), ("a.json", b'{"label": 1.5}')], r"'a.json' of '.*x.tar' has the label 1.5"),
        ([("a.png", PNG), ("a.cls", b"\xff")], r"'a.cls' of '.*x.tar' is unreadable \('utf-8'"),
    ],
)
def test_shards(tmp_path, files, message):
    path = on_disk.write_tar(tmp_path / "x.tar", files)
    with pytest.raises(UserError, match=message):
        TarImages(path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.8])
def test_a_truncated_archive(tmp_path, kept):
    path = on_disk.write_tar(tmp_path / "x.tar", [file for key in "abcd" for file in sample(key)])
    content = path.read_bytes()
    end = content.rindex(b"ustar") - 257 + 1024  # behind the last label; the rest is the end of the archive
    for size in (int(kept * end), end):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"x.tar' (is truncated|cannot be read \(.*\)|holds no image)"):
            TarImages(path)


def test_a_truncated_shard_among_whole_ones(tmp_path):
    for number in range(3):
        path = on_disk.write_tar(tmp_path / f"{number}.tar", [file for key in "abcd" for file in sample(key)])
    path.write_bytes(path.read_bytes()[:2500])
    with pytest.raises(UserError, match=r"2.tar' (is truncated|cannot be read)"):
        TarImages(tmp_path)
    path.unlink()
    assert TarImages(tmp_path).ids == [f"{shard}/{key}" for shard in (0, 1) for key in "abcd"]


def test_shards_are_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 2):
        on_disk.write_tar(tmp_path / f"part-{number}.tar", sample("a"))
    assert TarImages(tmp_path).ids == ["part-2/a", "part-9/a", "part-10/a"]


def test_an_archive_that_changes_while_it_is_read(tmp_path):
    path = on_disk.write_tar(tmp_path / "x.tar", sample("a"))
    source = TarImages(path)
    path.write_bytes(path.read_bytes()[:520])
    for change, message in ((lambda: None, r"image '.*x.tar/a' is cut off"), (path.unlink, r"x.tar' cannot be read")):
        change()
        with pytest.raises(UserError, match=message) as caught:
            source[0]
        assert not isinstance(caught.value, ImageError)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.tar.bz2"])
def test_the_command_that_unpacks_an_archive(tmp_path, name):
    packer = {"xz": lzma, "z2": bz2}.get(name[-2:], gzip)
    content = on_disk.write_tar(tmp_path / "plain", sample("a")).read_bytes()
    path = on_disk.write(tmp_path / "my data" / name, packer.compress(content))
    for location in (path, path.parent):
        with pytest.raises(UserError, match=r"is compressed, but is read in place; unpack it with: ") as caught:
            TarImages(location)
    subprocess.run(str(caught.value).partition("unpack it with: ")[2], shell=True, check=True)
    assert TarImages(path.parent).ids == ["a"]


def test_a_compressed_archive_among_others(tmp_path):
    for number in range(2):
        on_disk.write_tar(tmp_path / "eurosat" / f"{number}.tar", sample(str(number)))
    on_disk.write(tmp_path / "eurosat" / "1.tar.gz", b"unpacked beside")
    assert TarImages(tmp_path / "eurosat").ids == ["0/0", "1/1"]
    on_disk.write(tmp_path / "eurosat" / "2.tar.gz", gzip.compress(b""))
    with pytest.raises(UserError, match=r"2.tar.gz' is compressed"):
        TarImages(tmp_path / "eurosat")


@pytest.mark.parametrize("name", ["eurosat.tar.gz", "eurosat/0.tgz"])
def test_a_compressed_archive_is_recognised(tmp_path, name):
    on_disk.write(tmp_path / name, gzip.compress(b""))
    with pytest.raises(UserError, match=r"is compressed, .*: gunzip -c < .* > .*\.tar$"):
        datasets.open_source("eurosat", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"s.json' cannot be read as JSON \(Expecting property"),
        ("[]", r"has no list 'test' \(it has no split\)"),
        ('{"train": []}', r"has no list 'test' \(it has train\)"),
        ('{"test": []}', "holds no image"),
        ('{"test": [["a.png", 0]]}', r"row 0 of 'test' in '.*s.json' is \['a.png', 0\]; write \[path, label"),
        ('{"test": [["a.png", -1, "x"]]}', "row 0 of 'test'"),
        ('{"test": [["a.png", 0, "x"], ["b.png", 0, "y"]]}', "calls label 0 'x' and 'y'"),
        ('{"test": [["a.png", 0, "x"], ["b.png", 2, "y"]]}', "has no class with label 1"),
        ('{"test": [["a.png", 0, "x"], ["a.png", 0, "x"]]}', "lists image 'a.png' 2 times; keep it once"),
        ('{"test": [["../a.png", 0, "x"]]}', "s.json' names '../a.png', which is outside of its folder"),
        ('{"test": [["/etc/a.png", 0, "x"]]}', "s.json' names '/etc/a.png', which is outside"),
        ('{"test": [["a.png", 0, "x"], ["z.png", 0, "x"]]}', r"lists image 'z.png', which is not in .*\(1 missing\)"),
    ],
)
def test_split_files(tmp_path, content, message):
    for name in ("a.png", "b.png"):
        on_disk.write(tmp_path / name, PNG)
    path = on_disk.write(tmp_path / "s.json", content)
    with pytest.raises(UserError, match=message):
        open_split(path)


def test_images_of_a_split_file_in_two_folders(tmp_path):
    path = on_disk.write(tmp_path / "s.json", '{"test": [["a.png", 0, "x"]]}')
    for folder in ("one", "two"):
        on_disk.write(tmp_path / folder / "a.png", PNG)
    with pytest.raises(UserError, match=r"image 'a.png' is in '.*one' and in '.*two'"):
        open_split(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1}\n{', "line 2 of .*metadata.jsonl' is not JSON"),
        ("metadata.jsonl", '{"file_name": "a.png"}', r"row 1 of .* has no label \(its columns: file_name\); give"),
        ("metadata.jsonl", "[]", r"row 1 of .* has no file_name and no label \(its columns: none\); give both"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": true}', "row 1 of .* has the label True"),
        ("metadata.csv", "file_name,class\na.png,0\n", r"row 1 of .* has no label \(its columns: file_name, class\)"),
        ("metadata.csv", "image,label\na.png,0\n", r"row 1 of .* has no file_name \(its columns: image, label\)"),
        ("metadata.csv", "file_name,label\na.png,\n", r"row 1 of .* has no label \(its columns: file_name, label\)"),
        ("metadata.csv", "file_name,label\na.png,0\na.png,0\n", "lists image 'a.png' 2 times"),
        ("metadata.csv", b"\xff\xfe", "metadata.csv' cannot be read"),
        ("metadata.csv", "file_name,label\na.png,tench, Tinca tinca\n", "row 1 of .* has more values than the first"),
        ("metadata.csv", "file_name,label\n../a.png,0\n", r"metadata.csv' names '../a.png', which is outside of its"),
        ("metadata.csv", "file_name,label\nx/../../a.png,0\n", r"names 'x/../../a.png', which is outside"),
        ("metadata.jsonl", '{"file_name": "/etc/a.png", "label": 1}', r"names '/etc/a.png', which is outside"),
    ],
)
def test_tables(tmp_path, name, content, message):
    on_disk.write(tmp_path / "a.png", PNG)
    on_disk.write(tmp_path / name, content)
    with pytest.raises(UserError, match=message):
        open_metadata(tmp_path)


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    path = on_disk.write(tmp_path / "x.parquet", b"PAR1 and no more")
    with pytest.raises(UserError, match=r"x.parquet' cannot be read as Parquet"):
        ParquetImages(path)
    images = [{"bytes": PNG, "path": None}, {"bytes": b"", "path": None}, {"bytes": None, "path": "there.png"}]
    for columns, message in [
        ({"picture": images, "label": [0, 1, 2]}, r"no column 'image' \(it has picture, label\)"),
        ({"image": images, "class": [0, 1, 2]}, "no column 'label'"),
        ({"image": ["x"] * 3, "label": [0, 1, 2]}, "column 'image' of .* is string; it must be bytes, or a struct"),
        ({"image": images, "label": [0, 1, None]}, "'x/2' of .* has the label None"),
    ]:
        pq.write_table(pa.table(columns), path)
        with pytest.raises(UserError, match=message):
            ParquetImages(path)
    on_disk.write(tmp_path / "there.png", PNG)
    pq.write_table(pa.table({"img": images, "label": [[0], [1, 2], []]}), path)
    source = ParquetImages(path)
    assert source.labels == [(0,), (1, 2), ()]
    assert source[0]["image"].tobytes() == source[2]["image"].tobytes() == on_disk.pixels("a").tobytes()
    with pytest.raises(ImageError, match=r"x.parquet/x/1' cannot be decoded"):
        source[1]
    for name in ("train", "validation"):
        path = tmp_path / "parts" / name / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"image": images, "label": [0, 1, 2]}), path)
    with pytest.raises(UserError, match=r"has no split 'test', only train, validation; give the path of one file"):
        ParquetImages(tmp_path / "parts")
    assert len(ParquetImages(tmp_path / "parts", split="validation")) == 3


CLASSES = ClassNames("pets", [("Great Dane", "cat", "red fox")])


def listed(tmp_path, labels, names=None):
    paths = [on_disk.write(tmp_path / f"{number}.png", PNG).name for number in range(len(labels))]
    return ImageFiles("list", tmp_path, paths, labels, names)


@pytest.mark.parametrize(
    ("labels", "names", "expected", "doubt"),
    [
        ([0, 1, 2], None, [0, 1, 2], None),
        ([(0, 2), (1,)], None, [(0, 2), (1,)], None),
        (["cat", "dane_great", "Red-Fox"], None, [1, 0, 2], None),
        ([0, 1, 2], ["red fox", "CAT", "great dane"], [2, 1, 0], None),
        ([1, 0], ["red fox", "cat", "unused and unknown"], [1, 2], None),
        ([0, 1, 2], ["great dane", "feline, cat", "red fox"], [0, 1, 2], None),
        ([0, 1, 2], ["great dane", "feline", "red fox"], [0, 1, 2], "class 1 is called 'feline' instead of 'cat', and"),
        (
            [0, 1, 2],
            ["hound", "feline", "red fox"],
            [0, 1, 2],
            "class 0 is called 'hound' instead of 'Great Dane', and",
        ),
        (["2", "1", "3"], None, [1, 0, 2], None),
        (["10", "9", "8"], None, [0, 2, 1], "none of the class names and are taken in sorted order"),
        (["b", "c", "a"], None, [1, 2, 0], "none of the class names and are taken in sorted order"),
    ],
)
def test_labels(tmp_path, labels, names, expected, doubt):
    source = CLASSES.fit(listed(tmp_path, labels, names))
    assert source.labels == expected
    assert [source[i]["label"] for i in range(len(source))] == expected
    assert source.doubts == () if doubt is None else doubt in source.doubts[0]


def test_labels_that_are_paths_of_folders(tmp_path):
    source = listed(tmp_path, ["x/Red-Fox/y", "x/Red-Fox/z", "cat", "great dane"])
    source.form = "folder"
    assert CLASSES.fit(source).labels == [2, 2, 1, 0]
    source.labels = ["red fox", "cat", "cat", "great dane/cat"]
    with pytest.raises(UserError, match=r"class 'great dane/cat' of 'list' may be 'Great Dane' or 'cat' of the 3"):
        CLASSES.fit(source)


def test_classes_without_images_are_no_doubt(tmp_path):
    source = CLASSES.fit(listed(tmp_path, [1, 2]))
    assert source.doubts == ()
    assert source.gaps == ("no image of class 'Great Dane' (1 of 3 classes without images)",)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1, 3], None, r"label 3 of image '2.png' of 'list' is outside 0 to 2 of 'pets'; correct it"),
        ([-1, 1], None, r"label -1 of image '0.png'"),
        ([1, 2, 3], None, r"label 3 .*; labels start at 0"),
        ([(0, 7)], None, r"label 7 of image '0.png'"),
        ([0, "cat"], None, r"labels of 'list' are names and numbers, such as 'cat'"),
        (["cat", "horse"], None, r"class 'horse' of 'list' is none of the 3 classes of 'pets' \(1 unknown\)"),
        (["cat", "cat/1"], None, r"class 'cat/1' of 'list' is none of"),
        ([0, 1], ["cat", "Cat"], r"classes '0 cat' and '1 Cat' of 'list' are both 'cat'"),
        (["cat", "Great Dane", "dane great"], None, r"classes 'Great Dane' and 'dane great' of 'list' are both"),
        ([0, 1], ["cat", "horse"], r"class 1 of 'list' is 'horse', none of .*, and its class 0 is class 1 there"),
        ([0, 5], ["Great Dane", "cat"], "label 5 of image '1.png'"),
        ([()], None, "image '0.png' of 'list' has no label"),
    ],
)
def test_wrong_labels(tmp_path, labels, names, message):
    with pytest.raises(UserError, match=message):
        CLASSES.fit(listed(tmp_path, labels, names))


def test_a_subset_takes_the_numbers_of_the_whole(tmp_path):
    source = datasets.open_source(
        "imagenet_r",
        sources={"imagenet_r": str(on_disk.write_tar(tmp_path / "r.tar", [*sample("a", b"988"), *sample("b", b"1")]))},
    )
    assert source.labels == [199, 0]  # goldfish and acorn are 1 and 988 of ImageNet
    for labels in ([988, 3], [200, 5]):
        files = [file for key, label in zip("ab", labels, strict=True) for file in sample(key, str(label).encode())]
        path = on_disk.write_tar(tmp_path / "r.tar", files)
        with pytest.raises(UserError, match=f"label {labels[0]} of image 'a' .* outside 0 to 199"):
            datasets.open_source("imagenet_r", sources={"imagenet_r": str(path)})


def test_names_that_repeat_classes_of_the_data_set(tmp_path):
    """ImageNet has two classes "missile": its names cannot be told apart, but their list can."""
    classes = datasets.get_dataset("imagenet").classes
    on_disk.write_tar(tmp_path / "imagenet" / "0.tar", [*sample("a", b"744"), *sample("b", b"657")])
    names = on_disk.write(tmp_path / "imagenet" / "classnames.txt", "\n".join(classes))
    source = datasets.open_source("imagenet", tmp_path)
    assert source.labels == [744, 657]
    assert (source.matched, source.doubts) == ("by name", ())
    names.write_text("\n".join(["tench, Tinca tinca", *classes[1:]]))
    source = datasets.open_source("imagenet", tmp_path)
    assert (source.matched, source.labels, source.doubts) == ("by name", [744, 657], ())
    names.write_text("\n".join(["tench, Tinca tinca", *["?"] * 999]))
    with pytest.raises(UserError, match=r"class 657 is called .* only 1 of 1000 names agree"):
        datasets.open_source("imagenet", tmp_path)


REAL = {"ILSVRC2012_val_00000001": 5, "ILSVRC2012_val_00000002": 6, "ILSVRC2012_val_00000004": 7}


@pytest.fixture
def imagenet(tmp_path):
    """Three validation images of ImageNet, number 3 missing, and labels for four."""
    rows = [{"file_name": f"{name}.png", "label": label} for name, label in REAL.items()]
    for row in rows:
        on_disk.write(tmp_path / "imagenet" / row["file_name"], PNG)
    on_disk.write(tmp_path / "imagenet" / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    on_disk.write(tmp_path / "real.json", "[[9, 5], [], [1], [8]]")
    return tmp_path


def test_reassessed_labels(imagenet):
    source = datasets.open_source("imagenet_real", imagenet)
    assert source.labels == [(5, 9), (8,)]
    assert [source[i]["id"] for i in range(2)] == ["ILSVRC2012_val_00000001.png", "ILSVRC2012_val_00000004.png"]
    assert [source[i]["label"] for i in range(2)] == [(5, 9), (8,)]
    both = datasets.open_source("imagenet_plus_real", imagenet)
    assert both.labels == [(5, 9), (6,), (7, 8)]
    assert len({one.fingerprint for one in (source, both, datasets.open_source("imagenet", imagenet))}) == 3
    on_disk.write(
        imagenet / "mine.json",
        '{"ILSVRC2012_val_00000001.png": 3, "ILSVRC2012_val_00000002.png": [4, 2], "ILSVRC2012_val_00000004.png": []}',
    )
    own = datasets.open_source("imagenet_real", imagenet, sources={"imagenet_real": str(imagenet / "mine.json")})
    assert own.labels == [(3,), (2, 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "holds int; it must be a list"),
        ("[[1], [2]]", r"image 'ILSVRC2012_val_00000004.png' has no number of '.*real.json' in its name"),
        (
            "[[1], [1000], [2], [3]]",
            r"val_00000002.png' in '.*' are \[1000\]; give numbers from 0 to 999",
        ),
        ("[1, [1], [2], [3]]", "entry 1 of '.*' is 1; it must be a list"),
        ("[[], [], [], []]", "has no label for any of the 3 images"),
        ('{"a": 1}', "image 'ILSVRC2012_val_00000001.png' is not in"),
        ("[", "cannot be read as JSON"),
    ],
)
def test_wrong_reassessed_labels(imagenet, content, message):
    on_disk.write(imagenet / "real.json", content)
    with pytest.raises(UserError, match=message):
        datasets.open_source("imagenet_real", imagenet)


def test_missing_reassessed_labels(imagenet):
    (imagenet / "real.json").unlink()
    with pytest.raises(
        UserError, match=r"needs a file of labels, and '.*' has no imagenet_real.json or real.json; .*real"
    ):
        datasets.open_source("imagenet_real", imagenet)
    with pytest.raises(UserError, match=r"'gone.json' does not exist"):
        datasets.open_source("imagenet_real", imagenet, sources={"imagenet_real": "gone.json"})
