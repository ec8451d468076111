"""No label is guessed: it comes back as the files mean it, or is refused, whatever the kind of files."""

import importlib.util
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import on_disk
from lrjax.data.datasets import find_source, get_dataset, open_source
from lrjax.data.locations import class_names
from lrjax.data.sources.base import ListedImages
from lrjax.data.sources.names import Names
from lrjax.errors import UserError

PNG = on_disk.png("a")
CLASSES = {
    "languages": ("C", "C++", "C#"),
    "case": ("A", "B", "a", "b"),
    "symbols": ("+", "-", "=", "<", ">"),
    "grades": ("A-", "A", "A+", "A*"),
    "emoji": ("\U0001f600", "\U0001f621", "\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"),
    "hindi": ("कमल", "कमला", "कमली"),
    "thai": ("มา", "ม้า", "หมา", "หม้า"),
    "korean": ("고양이", "개", "가"),
    "accents": ("café", "cafe", "coté", "côte"),
    "width": ("2 m", "² m", "２ m"),  # noqa: RUF001
    "separators": ("x-ray", "x ray", "x_ray"),
    "order": ("man bites dog", "dog bites man"),
    "digits": ("1", "2", "3", "0"),
    "counted": ("0", "1", "2"),
    "padded": ("01", "1", "10"),
    "versions": ("1.0", "1", "2.0"),
    "some digits": ("1", "cat", "0"),
}
REFUSED = {("cls_numbers", name) for name in ("digits", "counted", "some digits")}
"""Digits in `.cls` that number the names of classnames.txt, and are names of other classes."""


def nfd(name):
    return unicodedata.normalize("NFD", name)


def labels(source):
    """For each image, the label that it was written for, and its label."""
    written = {on_disk.pixels(str(label)).tobytes(): label for label in range(10)}
    rows = [source[i] for i in range(len(source))]
    return [(written[np.asarray(row["image"]).tobytes()], row["label"]) for row in rows]


def found(root, kind, classes, spelled=str):
    """What comes back of a data set of one's own, sorted; None where it is refused."""
    try:
        return sorted(labels(open_source(on_disk.own(root, kind, classes, spelled))))
    except UserError:
        return None


def diagonal(count):
    return [(label, label) for label in range(count)]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", [kind for kind in on_disk.OWN if kind != "array_record"])
def test_names_that_differ_in_little(tmp_path, kind, name):
    expected = None if (kind, name) in REFUSED else diagonal(len(CLASSES[name]))
    for spelled in (str, nfd):
        assert found(tmp_path / spelled.__name__, kind, CLASSES[name], spelled) == expected


@pytest.mark.parametrize("name", ["languages", "case", "korean", "digits"])
def test_names_that_differ_in_little_in_array_record(tmp_path, name):
    pytest.importorskip("tensorflow_datasets")
    assert found(tmp_path, "array_record", CLASSES[name], nfd) == diagonal(len(CLASSES[name]))


@pytest.mark.parametrize(
    ("classes", "spellings", "certain"),
    [
        (("Great Dane", "red fox"), ("great_dane", "RED-FOX"), True),
        (("Great Dane", "red fox"), ("dane, great", "Fox (red)"), True),
        (("C", "C++", "C#"), ("c", "c++", "c#"), True),
        (("Ａ 1", "b"), ("a-1", "B"), True),  # noqa: RUF001
        (("x-ray", "x ray"), ("X-RAY", "X RAY"), True),
        (("x-ray", "x ray"), ("X_Ray", "x ray"), False),  # two classes for a name
        (("A", "B"), ("A", "a"), False),  # two names for a class
        (("Great Dane", "red fox"), ("Great Dane", "great_dane"), False),
        (("C++", "Java"), ("C", "Java"), False),  # a symbol tells them apart
        (("A-", "B"), ("A", "B"), False),
        (("cafe", "dog"), ("café", "dog"), False),
        (("AC", "Queen"), ("AC DC", "Queen"), False),
    ],
)
@pytest.mark.parametrize("kind", [kind for kind in on_disk.OWN if kind != "array_record"])
def test_other_spellings(tmp_path, kind, classes, spellings, certain):
    spelled = dict(zip(classes, spellings, strict=True)).get
    assert found(tmp_path, kind, classes, spelled) == (diagonal(len(classes)) if certain else None)


def own(root, classes, files=(), path="images", **keys):
    """Writes a data set of one's own with any files and returns the path of its row."""
    for name, content in files:
        on_disk.write(root / path / name, content)
    row = {"classes": list(classes), "templates": ["a {}"], "path": path, **keys}
    return str(on_disk.write(root / "own.json", json.dumps(row)))


def table(root, classes, given, name="metadata.csv", **keys):
    """As `own`, with a table of labels as they are written there."""
    lines = [f"{i}.png,{label}" if name.endswith("csv") else f'{{"file_name": "{i}.png", "label": {label}}}'
             for i, label in enumerate(given)]  # fmt: skip
    content = "\n".join((["file_name,label"] if name.endswith("csv") else []) + lines)
    return own(root, classes, [(name, content), *((f"{i}.png", PNG) for i in range(len(given)))], **keys)


LETTERS, DIGITS = ("a", "b", "c"), ("1", "2", "3", "0")


@pytest.mark.parametrize(
    ("classes", "given", "as_text", "as_number", "as_json_text"),
    [
        (LETTERS, "012", [0, 1, 2], [0, 1, 2], [0, 1, 2]),
        (LETTERS, "20", [2, 0], [2, 0], None),  # digits as texts must count all classes
        (LETTERS, "123", None, None, [0, 1, 2]),
        (LETTERS, ["0.0", "2.0", "1.0"], [0, 2, 1], None, [0, 2, 1]),
        (LETTERS, ["00", "02", "01"], [0, 2, 1], None, [0, 2, 1]),
        (LETTERS, ["0.5"], None, None, None),
        (LETTERS, ["-1"], None, None, None),
        (LETTERS, ["10", "9", "8"], None, None, None),
        ([str(i) for i in range(12)], ["11", "2", "10"], [11, 2, 10], [11, 2, 10], [11, 2, 10]),
        (DIGITS, "1230", [0, 1, 2, 3], None, [0, 1, 2, 3]),
        (DIGITS, "12", [0, 1], None, [0, 1]),
        (DIGITS, ["1.0", "2.0", "3.0", "0.0"], [0, 1, 2, 3], None, None),
        (DIGITS, ["01", "02", "03", "00"], [0, 1, 2, 3], None, None),
        (("1", "2", "3"), "0121", None, None, None),  # 1 and 2 are names, 0 is none
        (("10", "20", "0"), "012", None, None, None),
        (("10", "20", "0"), ["10", "20"], [0, 1], [0, 1], [0, 1]),
        (("-1", "0", "1"), ["-1", "1"], [0, 2], [0, 2], [0, 2]),
        (("3", "cat"), ["3", "cat"], [0, 1], None, [0, 1]),
    ],
)
def test_digits(tmp_path, classes, given, as_text, as_number, as_json_text):
    def opened(root, *arguments):
        try:
            return open_source(table(root, classes, *arguments)).labels
        except UserError:
            return None

    quoted = [json.dumps(one) for one in given]
    assert opened(tmp_path / "csv", given) == as_text
    assert opened(tmp_path / "numbers", given, "metadata.jsonl") == as_number
    assert opened(tmp_path / "texts", quoted, "metadata.jsonl") == as_json_text


def test_the_refusal_of_digits_names_both_classes(tmp_path):
    with pytest.raises(
        UserError, match=r"label 0 of '.*' is the name of a class of 'own', and the number of another, '1'"
    ):
        open_source(table(tmp_path, DIGITS, "1230", "metadata.jsonl"))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("[[0]]", r"\[\[0\]\]"),
        ("[0, null]", r"\[0, None\]"),
        ("true", "True"),
        ("[true]", r"\[True\]"),
        ("1.5", "1.5"),
        ("1.0", "1.0"),
        ('" "', "' '"),
        ('{"a": 1}', r"\{'a': 1\}"),
    ],
)
def test_labels_of_a_wrong_type(tmp_path, label, shown):
    with pytest.raises(
        UserError, match=rf"^row 2 of '.*' has the label {shown}; give a whole number, a class name, or"
    ):
        open_source(table(tmp_path, LETTERS, ["0", label], "metadata.jsonl"))


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val"),
        ("Train", "TEST"),
        ("validation",),
        ("train", "val", "notes"),
        ("train2017", "val2017"),
        ("train_2017", "val_2017"),
        ("trainset", "test-dev"),
        ("train_images", "test-dev2015"),
    ],
)
def test_splits_instead_of_classes(tmp_path, folders):
    files = [(f"{folder}/{name}/1.png", PNG) for folder in folders for name in ("ants", "bees")]
    part = next(folder for folder in folders if folder.lower().startswith(("val", "test")))
    with pytest.raises(
        UserError, match=rf"images' holds '[\w-]+', a split, instead of class folders; give '.*images/{part}'"
    ):
        open_source(own(tmp_path, ("ants", "bees"), files))
    assert open_source(own(tmp_path, ("ants", "bees"), path=f"images/{part}")).labels == [0, 1]
    if len(folders) == 2:
        path = own(tmp_path, ("ants", "bees"), path="all.tar")
        on_disk.write_tar(tmp_path / "all.tar", files)
        with pytest.raises(UserError, match=r"all.tar' holds '[\w-]+', a split, .*; make an archive of one split"):
            open_source(path)


def test_a_class_may_be_called_as_a_split(tmp_path):
    files = [(f"{name}/1.png", PNG) for name in ("plane", "train", "test")]
    assert open_source(own(tmp_path, ("train", "plane", "test"), files)).labels == [0, 1, 2]


@pytest.mark.parametrize("names", [("train station", "test tube"), ("training shoe", "valley"), ("eval_1x", "devil2")])
def test_unknown_classes_that_begin_as_splits(tmp_path, names):
    files = [(f"{name}/1.png", PNG) for name in names]
    with pytest.raises(UserError, match="class folders carry none of the class names"):
        open_source(own(tmp_path, ("ants", "bees"), files))


@pytest.mark.parametrize("kind", ["folder", "tar", "metadata", "csv", "cls", "parquet_texts"])
def test_unknown_names_are_a_doubt(tmp_path, kind, caplog):
    path = on_disk.own(tmp_path, kind, ("cat", "dog"), {"cat": "chat", "dog": "chien"}.get)
    what = "class folders" if kind in ("folder", "tar") else "labels"
    with pytest.raises(
        UserError,
        match=rf"^data set 'own': {what} carry none of the class names .*in sorted order.*on_doubt",
    ):
        open_source(path)
    source = open_source(path, on_doubt="warn")
    assert (sorted(labels(source)), source.matched) == ([(0, 0), (1, 1)], "in sorted order")
    assert "taken in sorted order" in caplog.text


@pytest.mark.parametrize("kind", ["cls_numbers", "json_numbers", "split", "parquet"])
def test_unknown_names_of_numbers_are_a_doubt(tmp_path, kind):
    spelled = {"cat": "chat", "dog": "chien", "fox": "fox"}.get
    assert found(tmp_path, kind, ("cat", "fox", "dog"), spelled) is None


def write_parquet(path, labels, names):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    info = json.dumps({"info": {"features": {"label": {"names": names}}}})
    images = [{"bytes": on_disk.png(str(label)), "path": f"{path.stem}{label}"} for label in labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": labels}).replace_schema_metadata({"huggingface": info}), path)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"1": "b", "0": "c", "2": "a"}, ["c", "b", "a"], None),
        (["c", "b", "a"], ["c", "a", "b"], r"test-0.parquet' and '.*test-1.parquet' differ in their class names"),
        (["c", "b", "a"], None, r"differ in their class names"),
        ({"cat": 0}, {"cat": 0}, r"the class names of column 'label' of '.*' are no list of texts"),
    ],
)
def test_class_names_of_parquet(tmp_path, first, second, message):
    write_parquet(tmp_path / "images" / "test-0.parquet", [0, 1], first)
    write_parquet(tmp_path / "images" / "test-1.parquet", [1, 2], second)
    if message is None:
        assert open_source(own(tmp_path, LETTERS)).labels == [2, 1, 1, 0]
    else:
        with pytest.raises(UserError, match=message):
            open_source(own(tmp_path, LETTERS))


def test_pictures_of_digits_in_another_order(tmp_path):
    on_disk.write_idx(tmp_path / "images", np.zeros((10, 4, 4)), np.arange(10))
    with pytest.raises(
        UserError, match=r"label 0 of '.*images' is the name of a class of 'own', and the number of another"
    ):
        open_source(own(tmp_path, "1234567890"))
    assert open_source(own(tmp_path, "0123456789")).labels == list(range(10))


def test_imagenet_as_the_hub_names_it():
    """Other words than CLIP's for 182 classes, and commas, in the order of CLIP."""
    timm = importlib.util.find_spec("timm")  # only a file of it is read
    if timm is None:
        pytest.skip("timm has the names")
    lemmas = Path(timm.origin).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    words = dict(line.split("\t") for line in lemmas.read_text().splitlines())
    imagenet = get_dataset("imagenet")
    names = [words[folder] for folder in imagenet.folders]
    ids = [str(number) for number in range(1000)]
    source = class_names(imagenet).fit(ListedImages("hub", ids, list(range(1000)), names))
    assert (source.labels, source.doubts) == (list(range(1000)), ())
    with pytest.raises(UserError, match="mend the names"):
        class_names(imagenet).fit(ListedImages("hub", ids, list(range(1000)), names[::-1]))


def test_names_of_numbers_that_only_count(tmp_path):
    names = on_disk.write(tmp_path / "images" / "classnames.txt", "0\n1\n2\n")
    files = [one for key in "210" for one in ((f"{key}.png", PNG), (f"{key}.cls", key.encode()))]
    on_disk.write_tar(tmp_path / "images" / "0.tar", files)
    assert open_source(own(tmp_path, LETTERS)).labels == [2, 1, 0]
    names.write_text("a\n\nc\n")
    with pytest.raises(UserError, match=r"class 1 is called '' instead of 'b', and only 2 of 3 names agree"):
        open_source(own(tmp_path, LETTERS))


def numbered_shard(root, name, *members):
    files = [one for key in "210" for one in ((f"{name}{key}.png", PNG), (f"{name}{key}.cls", key.encode()))]
    on_disk.write_tar(root / "images" / f"{name}.tar", [*files, *members])


@pytest.mark.parametrize("content", [b"c\na\nb\n", b"\xef\xbb\xbfc\r\na\r\nb"])
@pytest.mark.parametrize("member", ["classnames.txt", "./classnames.txt"])
def test_class_names_in_a_shard(tmp_path, member, content):
    numbered_shard(tmp_path, "0", (member, content))
    numbered_shard(tmp_path, "1")
    source = open_source(own(tmp_path, LETTERS))
    assert (source.labels, source.matched, source.left_out) == ([1, 0, 2, 1, 0, 2], "by name", {})
    assert open_source(own(tmp_path, LETTERS, path="images/0.tar")).labels == [1, 0, 2]
    on_disk.write(tmp_path / "images" / "classnames.txt", "c\na\nb\n")
    numbered_shard(tmp_path, "1", (member, b"c\na\nb"))
    assert open_source(own(tmp_path, LETTERS)).labels == [1, 0, 2, 1, 0, 2]


def test_class_names_of_shards_that_differ(tmp_path):
    numbered_shard(tmp_path, "0", ("classnames.txt", b"c\na\nb"))
    numbered_shard(tmp_path, "1", ("classnames.txt", b"a\nb\nc"))
    with pytest.raises(
        UserError, match=r"names 'classnames.txt' of '.*0.tar' and 'classnames.txt' of '.*1.tar' differ; keep"
    ):
        open_source(own(tmp_path, LETTERS))
    numbered_shard(tmp_path, "1", ("classnames.txt", b"\xff"))
    with pytest.raises(UserError, match=r"class names 'classnames.txt' of '.*1.tar' cannot be read \(.*; write the"):
        open_source(own(tmp_path, LETTERS))
    numbered_shard(tmp_path, "1")
    on_disk.write(tmp_path / "images" / "classnames.txt", "a\nb\nc\n")
    with pytest.raises(UserError, match=r"names '.*images/classnames.txt' and 'classnames.txt' of '.*0.tar' differ;"):
        open_source(own(tmp_path, LETTERS))


def hundred(words, changed):
    return [f"other {i}" if i in changed else word for i, word in enumerate(words)]


@pytest.mark.parametrize(
    ("order", "changed", "doubts"),
    [
        (reversed, range(20), 0),  # as the hub calls the classes of ImageNet
        (reversed, range(21), 1),
        (sorted, range(2), 1),  # other words are elsewhere in sorted names
    ],
)
def test_many_names_of_which_some_are_unknown(tmp_path, order, changed, doubts):
    words = list(order([f"word {i:03d}" for i in range(100)]))
    path = own(tmp_path, words, [("1.png", PNG)])
    on_disk.write(tmp_path / "images" / "split_own.json", json.dumps({"test": [["1.png", 0, "x"]]}))
    names = sorted(hundred(words, changed)) if order is sorted else hundred(words, changed)
    rows = [["1.png", 0, names[0]]]
    unused = [[f"{i}.png", i, name] for i, name in enumerate(names)]
    on_disk.write(tmp_path / "images" / "split_own.json", json.dumps({"test": rows, "train": unused}))
    source, _ = find_source(get_dataset(path))
    assert (source.labels, len(source.doubts)) == ([0], doubts)


def test_wordnet_ids(tmp_path):
    imagenet = get_dataset("imagenet")
    numbers = (388, 2, 151)  # giant panda, great white shark, Chihuahua
    files = [(f"{imagenet.folders[number]}/1.png", PNG) for number in numbers]
    row = own(tmp_path, [imagenet.classes[number] for number in numbers], files)
    source = open_source(row)
    assert {one.split("/")[0]: label for one, label in zip(source.ids, source.labels, strict=True)} == {
        imagenet.folders[number]: label for label, number in enumerate(numbers)
    }
    with pytest.raises(UserError, match="sorted order"):
        open_source(own(tmp_path, ("x", "y", "z")))


@pytest.mark.parametrize(
    ("indices", "given", "expected"),
    [
        ([3, 1], [3, 1], [0, 1]),  # numbers of the whole
        ([3, 1], [0, 1], [0, 1]),  # of the part
        ([3, 1], [1], [1]),  # of both
        ([1, 0], [1], None),  # the first class of the part in the whole, and the second in the part
        ([3, 1], [2], None),
    ],
)
def test_numbers_of_a_part_of_a_data_set(tmp_path, indices, given, expected):
    table(tmp_path, (), given, "metadata.jsonl")
    row = {"prompts": {"of": "cifar10", "indices": indices}, "path": "images"}
    path = str(on_disk.write(tmp_path / "own.json", json.dumps(row)))
    if expected is None:
        with pytest.raises(UserError, match=r"not in the whole|outside 0 to 1"):
            open_source(path)
    else:
        assert open_source(path).labels == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": ["cat"]}, r"has one class, 'cat'; a classifier needs two or more"),
        ({"prompts": {"of": "mnist", "indices": [2]}}, r"has one class, '2'"),
        ({"classes": ["cat", "dog", "cat"]}, r"names class 'cat' twice; rename one, or tell them apart by 'folders'"),
        ({"classes": ["café", nfd("café")]}, r"names class 'café' twice"),
        ({"classes": ["cat", " "]}, r"classes of '.*' has ' '; write texts"),
        ({"classes": ["cat", "\ud83d"]}, r"classes of '.*' have half of a character"),
    ],
)
def test_class_lists_that_are_refused(tmp_path, keys, message):
    path = on_disk.write(tmp_path / "own.json", json.dumps({"templates": ["{}"], "path": "images", **keys}))
    with pytest.raises(UserError, match=message) as caught:
        get_dataset(str(path))
    assert "\n" not in str(caught.value)


def test_the_closest_name_counts():
    names = Names([("Crane", "crane", "red crane")])
    assert [names.find(one) for one in ("crane", "CRANE", "Crane, Red", "heron", "")] == [
        {1},
        {0, 1},
        {2},
        set(),
        set(),
    ]
