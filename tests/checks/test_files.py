"""Files of users: regular files only, below their folder, with a byte order mark or without."""

import json
import os
import socket

import numpy as np
import pytest

import on_disk
from lrjax.checks.files import check_inside, check_regular, open_regular, read_text
from lrjax.command_line import read_numbers
from lrjax.data.datasets import get_dataset, open_source, open_training_source
from lrjax.data.images import ImageError, decode
from lrjax.data.regions import read_boxes
from lrjax.data.sources.idx import IdxImages
from lrjax.data.sources.parquet import ParquetImages
from lrjax.data.sources.split import open_metadata, open_split, read_json
from lrjax.data.sources.webdataset import TarImages
from lrjax.errors import UserError
from lrjax.questions.zoom.covers import read_cover

PNG = on_disk.png("a")
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def link_to_zeros(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")


def open_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


ENDLESS = pytest.mark.parametrize("make", [pipe, link_to_zeros])


def picture_in_parquet(root, path, content=None):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    pq.write_table(pa.table({"image": [{"bytes": content, "path": path}], "label": [0]}), root / "x.parquet")
    return ParquetImages(root / "x.parquet")


@ENDLESS
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.png", lambda root: decode(root / "x.png")),
        ("a/x.png", lambda root: open_training_source(root, count=1, seed=0)[0]),
        ("x.png", lambda root: picture_in_parquet(root, "x.png")[0]),
        ("x.tar", lambda root: TarImages(root)),
        ("0.parquet", lambda root: ParquetImages(root)),
        ("t10k-images-idx3-ubyte", lambda root: IdxImages(root)),
        ("t10k-images-idx3-ubyte.gz", lambda root: IdxImages(root)),
        ("x.json", lambda root: read_json(root / "x.json")),
        ("x.json", lambda root: open_split(root / "x.json")),
        ("x.xml", lambda root: read_boxes(root)),
    ],
)
def test_what_has_no_end_is_refused(tmp_path, make, name, read):
    make(tmp_path / name)
    kind = "a pipe" if make is pipe else "a device"
    with pytest.raises(UserError, match=rf"{name.rpartition('/')[2]}.* \(.*it is {kind}, not a regular file"):
        read(tmp_path)


@ENDLESS
def test_lists_of_such_files_are_refused(tmp_path, make):
    make(tmp_path / "x.png")
    make(tmp_path / "classnames.txt")
    on_disk.write(tmp_path / "metadata.csv", "file_name,label\nx.png,0\n")
    with pytest.raises(UserError, match=r"lists image 'x.png', which is not in"):
        open_metadata(tmp_path)
    on_disk.write_tar(tmp_path / "x.tar", [("a.png", PNG), ("a.cls", b"0")])
    with pytest.raises(UserError, match=r"class names '.*classnames.txt' cannot be read .*not a regular file"):
        TarImages(tmp_path)
    make(tmp_path / "names.txt")
    row = on_disk.write(tmp_path / "own.yaml", "classes: names.txt\ntemplates: ['{}']\npath: x.tar")
    with pytest.raises(UserError, match=r"are in 'names.txt', which cannot be read .*not a regular file"):
        get_dataset(str(row))


def test_a_pipe_is_no_damaged_image(tmp_path):
    pipe(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x.png' cannot be read \(it is a pipe") as caught:
        decode(tmp_path / "x.png")
    assert not isinstance(caught.value, ImageError)


def test_regular_files(tmp_path):
    path = on_disk.write(tmp_path / "x", b"content")
    (tmp_path / "link").symlink_to("x")
    for one in (path, tmp_path / "link"):
        check_regular(one)
        with open_regular(one) as file:
            assert file.read() == b"content"
    open_socket(tmp_path / "socket")
    for one in ("socket", "none", ""):
        with pytest.raises(OSError, match=r"No such|Is a directory"):
            open_regular(tmp_path / one)
    for one in ("socket", "none", ""):
        with pytest.raises(OSError, match=r"No such|a socket|a folder"):
            check_regular(tmp_path / one)


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "a/../b.png", "./a", "..a/b", "a..", "...", ""])
def test_paths_inside(name):
    check_inside(name, place="row 1")


@pytest.mark.parametrize("name", ["..", "../a", "a/../../b", "./../a", "/a", "/", "a/b/../../../c"])
def test_paths_outside(name):
    with pytest.raises(UserError, match=r"^row 1 names '.*', which is outside of its folder; write a path below it$"):
        check_inside(name, place="row 1")


def test_paths_in_files(tmp_path):
    on_disk.write(tmp_path / "out.png", PNG)
    (tmp_path / "in").mkdir()
    for path in ("../out.png", str(tmp_path / "out.png")):
        with pytest.raises(UserError, match=r"x.parquet' names '.*out.png', which is outside"):
            picture_in_parquet(tmp_path / "in", path)
        assert picture_in_parquet(tmp_path / "in", path, PNG)[0]["image"].size == (6, 6)  # it is only a name then
    (tmp_path / "in" / "linked").symlink_to("..")
    assert picture_in_parquet(tmp_path / "in", "linked/out.png")[0]["image"].size == (6, 6)
    for key, value in [("classes", "../c.txt"), ("classes", "/c.txt"), ("path", "../x"), ("path", "folder:/x")]:
        row = {"classes": ["a", "b"], "templates": ["{}"], "path": "x"} | {key: value}
        own = on_disk.write(tmp_path / "own.json", json.dumps(row))
        with pytest.raises(UserError, match=rf"{key} of '.*own.json' names '.*', which is outside of its folder"):
            get_dataset(str(own))


def folder_of_table(root, table):
    for name in ("cat", "dog"):
        on_disk.write(root / f"{name}.png", on_disk.png(name))
    name = "metadata.jsonl" if table.lstrip(MARK).startswith("{") else "metadata.csv"
    on_disk.write(root / name, table)
    return open_metadata(root)


@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "rows",
    [
        ["file_name,label", "cat.png,cat", "dog.png,red dog"],
        ["file_name, label", "cat.png, cat", "dog.png, red dog"],
        ["file_name;label", "cat.png;cat", "dog.png;red dog"],
        ['"file_name"; "label"', '"cat.png"; "cat"', '"dog.png"; "red dog"'],
        ["file_name\tlabel", "cat.png\tcat", "dog.png\tred dog"],
        ["label;file_name;note", "cat;cat.png;a, b", "red dog;dog.png;"],
        ['{"file_name": "cat.png", "label": "cat"}', "", '{"file_name": "dog.png", "label": "red dog"}'],
    ],
)
def test_tables_of_spreadsheets(tmp_path, rows, mark, end):
    source = folder_of_table(tmp_path, mark + end.join(rows) + end)
    assert (source.ids, source.labels) == (["cat.png", "dog.png"], ["cat", "red dog"])
    np.testing.assert_array_equal(source[1]["image"], on_disk.pixels("dog"))


def test_marks_in_other_files(tmp_path):
    on_disk.write(tmp_path / "x.json", f'{MARK}{{"test": [["cat/a.png", 0, "cat"], ["dog/b.png", 1, "dog"]]}}')
    for name in ("cat/a.png", "dog/b.png"):
        on_disk.write(tmp_path / name, PNG)
    assert open_split(tmp_path / "x.json").names == ("cat", "dog")
    on_disk.write(tmp_path / "names.txt", f"{MARK}cat\ndog\n")
    rows = [
        ("own.yaml", "classes: names.txt\ntemplates: ['{}']\npath: split:x.json"),
        ("own.json", '{"classes": "names.txt", "templates": ["{}"], "path": "split:x.json"}'),
    ]
    for name, text in rows:
        dataset = get_dataset(str(on_disk.write(tmp_path / name, MARK + text)))
        assert dataset.classes == ("cat", "dog")
        assert open_source(dataset).labels == [0, 1]
    files = [
        ("a.png", PNG),
        ("a.cls", f"{MARK}1".encode()),
        ("b.png", PNG),
        ("b.json", f'{MARK}{{"label": 0}}'.encode()),
    ]
    on_disk.write(tmp_path / "wds" / "classnames.txt", f"{MARK}dog\ncat\n")
    on_disk.write_tar(tmp_path / "wds" / "0.tar", files)
    source = TarImages(tmp_path / "wds")
    assert (source.labels, source.names) == (["1", 0], ("dog", "cat"))
    assert read_text(tmp_path / "names.txt") == "cat\ndog\n"


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
@pytest.mark.parametrize("names", [("0000", "0001"), ("default/test/0000", "default/test/0001"), ("test/0", "test/1")])
def test_parquet_of_the_hub(tmp_path, names, kind):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    for number, name in enumerate(names):
        path = tmp_path / "eurosat" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = slice(10 * number, 10 * number + 10)
        images = pa.array([on_disk.png(one) for one in on_disk.NAMES[rows]], getattr(pa, kind)())
        pq.write_table(pa.table({"image": images, "label": on_disk.LABELS[rows]}), path)
    source = open_source("eurosat", tmp_path)
    assert source.labels == on_disk.LABELS
    for index, name in enumerate(on_disk.NAMES):
        np.testing.assert_array_equal(source[index]["image"], on_disk.pixels(name))


def test_parquet_of_two_configurations(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    for name in ("one", "two"):
        path = on_disk.write(tmp_path / name / "test" / "0000.parquet", b"")
        pq.write_table(pa.table({"image": [PNG, None], "label": [0, 1]}), path)
    with pytest.raises(UserError, match=r"one/test' and '.*two/test' both hold split 'test'; give the path of one"):
        ParquetImages(tmp_path)
    source = ParquetImages(tmp_path / "two")
    with pytest.raises(ImageError, match="the file is empty"):
        source[1]


@ENDLESS
def test_files_that_options_name_are_regular(tmp_path, make):
    make(tmp_path / "file.json")
    for read in (read_numbers, lambda path: read_cover(path, model="m", variant="vanilla")):
        with pytest.raises(UserError, match=r"file\.json.*(cannot be read|is not a JSON file)"):
            read(tmp_path / "file.json")
