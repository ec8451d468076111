import difflib

import numpy as np
import pytest
from PIL import Image

from lrjax.data import datasets, prompts
from lrjax.data.locations import class_names
from lrjax.errors import UserError

# name: images, classes, templates, group. Pathak et al. 2025 (arXiv 2502.03950), appendix A; counts as the accuracies
# require.
EXPECTED = {
    "imagenet": (50000, 1000, 80, "generic"),
    "imagenet_a": (7500, 200, 80, "generic"),
    "imagenet_v2": (10000, 1000, 80, "generic"),
    "imagenet_r": (30000, 200, 80, "texture"),
    "imagenet_sketch": (50889, 1000, 80, "edges"),
    "caltech101": (5647, 101, 34, "generic"),
    "dtd": (1880, 47, 8, "edges texture"),
    "food101": (25250, 101, 1, "fine-grained"),
    "sun397": (19850, 397, 2, "scene"),
    "cars": (8041, 196, 8, "fine-grained"),
    "aircraft": (3333, 100, 2, "fine-grained"),
    "pets": (3669, 37, 1, "fine-grained"),
    "flowers102": (6149, 102, 1, "fine-grained"),
    "eurosat": (5400, 10, 3, "texture"),
    "ucf101": (3783, 101, 48, "scene"),
}
MORE = ("cifar10", "imagenet_hard", "imagenet_hard_4k", "imagenet_plus_real", "imagenet_real", "mnist")
CAPTIONED = {"coco": 5000, "flickr30k": 1000, "captioned": None}
PROCEDURAL = ("shapes", "textures", "letters", "scenes", "colours", "combinations")


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_have_the_published_counts(name):
    dataset = datasets.get_dataset(name)
    count, classes, templates, group = EXPECTED[name]
    assert dataset.expected_count == count
    assert len(dataset.classes) == classes
    assert len(dataset.templates) == len(set(dataset.templates)) == templates
    assert " ".join(dataset.group) == group
    if dataset.folders is not None:
        assert len(set(dataset.folders)) == classes
    assert dataset.paper_classes == {"caltech101": 102, "food101": 102, "aircraft": 102}.get(name, classes)
    filled = prompts.class_prompts(dataset.classes, dataset.templates)
    assert len(filled) == classes
    assert all(len(row) == templates for row in filled)


def test_names_in_order():
    real = sorted([*MORE, "coco", "flickr30k"])
    assert datasets.dataset_names() == (*EXPECTED, *real, *PROCEDURAL, "captioned")


@pytest.mark.parametrize("name", CAPTIONED)
def test_data_sets_with_captions_have_no_classes(name):
    dataset = datasets.get_dataset(name)
    assert dataset.captioned
    assert (dataset.classes, dataset.templates, dataset.paper_classes) == ((), (), 0)
    assert dataset.expected_count == CAPTIONED[name]


def test_known_classes():
    imagenet = datasets.get_dataset("imagenet")
    assert (imagenet.classes[0], imagenet.folders[0]) == ("tench", "n01440764")
    assert (imagenet.classes[151], imagenet.folders[151]) == ("Chihuahua", "n02085620")
    assert imagenet.folders == tuple(sorted(imagenet.folders))
    assert imagenet.templates[0] == "a bad photo of a {}."
    for name, first, last in [("imagenet_a", 6, 988), ("imagenet_r", 1, 988)]:
        subset = datasets.get_dataset(name)
        assert (subset.classes[0], subset.classes[-1]) == (imagenet.classes[first], imagenet.classes[last])
        assert set(zip(subset.folders, subset.classes, strict=True)) <= set(
            zip(imagenet.folders, imagenet.classes, strict=True)
        )
    assert datasets.get_dataset("aircraft").classes[72] == "F-16A/B"
    assert datasets.get_dataset("caltech101").classes[:2] == ("off-center face", "centered face")
    assert datasets.get_dataset("ucf101").templates[-1] == "a demonstration of the person practicing {}."


@pytest.mark.parametrize("name", ["caltech101", "dtd", "food101", "eurosat", "ucf101", "sun397"])
def test_folders_and_classes_are_aligned(name):
    dataset = datasets.get_dataset(name)
    for folder, words in zip(dataset.folders or dataset.classes, dataset.classes, strict=True):
        folder = folder.lower().replace("_", "").replace("/", "")
        match = difflib.SequenceMatcher(None, folder, words.lower().replace(" ", "")).find_longest_match()
        assert match.size >= 3 or (folder, words) in {("herbaceousvegetation", "brushland or shrubland")}, (
            folder,
            words,
        )


def test_classes_agree_with_tfds_names():
    tfds = pytest.importorskip("tensorflow_datasets")
    for name in EXPECTED:
        dataset = datasets.get_dataset(name)
        if dataset.tfds is None:
            continue
        builder = tfds.builder(dataset.tfds[0], try_gcs=False)
        names = builder.info.features["label"].names
        find = class_names(dataset).find
        labels = {number: find(one) for number, one in enumerate(names) if find(one) is not None}
        assert sorted(labels.values()) == list(range(len(dataset.classes))), name
        left_out = {names[i] for i in range(len(names)) if i not in labels}
        if name == "caltech101":
            assert left_out == {"background_google"}
        elif name != "imagenet_a" and name != "imagenet_r":
            assert not left_out


def test_unknown_name_proposes_a_close_one():
    with pytest.raises(UserError, match=r"unknown data set 'Imagenet-A'; did you mean imagenet_a"):
        datasets.get_dataset("Imagenet-A")
    with pytest.raises(UserError, match=r"known are imagenet, .*combinations"):
        datasets.get_dataset("qqqq")


def test_prompts_hash_depends_on_content_and_order():
    assert datasets.prompts_hash("imagenet") == datasets.prompts_hash("imagenet_v2")
    hashes = {datasets.prompts_hash(name) for name in datasets.dataset_names()}
    assert len(hashes) == len(datasets.dataset_names()) - 8  # those with captions have no prompts
    # printf '%s' '[["a", "b"], ["{}"]]' | sha256sum
    assert prompts.content_hash(["a", "b"], ["{}"]) == "760d04dc1e6db3ff"
    assert prompts.content_hash(["b", "a"], ["{}"]) != prompts.content_hash(["a", "b"], ["{}"])


def test_class_prompts():
    assert prompts.class_prompts(["cat", "a {dog}"], ["one {}.", "{}"]) == [
        ["one cat.", "cat"],
        ["one a {dog}.", "a {dog}"],
    ]
    for classes, templates in [([], ["{}"]), (["a"], []), (["a"], ["no hole"]), (["a"], ["{} {}"])]:
        with pytest.raises(UserError):
            prompts.class_prompts(classes, templates)


def make(root, folders):
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(root / folder / "x.png")


def labels(source):
    """For each image, (number of the folder it was written to, label)."""
    rows = [source[i] for i in range(len(source))]
    pixels = [row["image"].getpixel((0, 0)) for row in rows]
    return [(red + 256 * green, row["label"]) for (red, green, _), row in zip(pixels, rows, strict=True)]


@pytest.mark.parametrize(
    ("name", "rename"),
    [
        ("pets", lambda dataset: dataset.classes),
        ("pets", lambda dataset: [name.lower().replace(" ", "_") for name in dataset.classes]),
        ("eurosat", lambda dataset: dataset.folders),
        ("sun397", lambda dataset: dataset.folders),
        ("sun397", lambda dataset: [name.replace(" ", "_") for name in dataset.classes]),
        ("aircraft", lambda dataset: [name.replace("/", "_") for name in dataset.classes]),
        ("imagenet_a", lambda dataset: dataset.folders),
        ("flowers102", lambda dataset: [str(i + 1) for i in range(102)]),
        ("flowers102", lambda dataset: [f"{i:03d}" for i in range(102)]),
    ],
)
def test_open_folder_keeps_the_class_order(tmp_path, name, rename):
    dataset = datasets.get_dataset(name)
    make(tmp_path / name, rename(dataset))
    found = labels(datasets.open_source(name, tmp_path))
    assert sorted(found) == [(i, i) for i in range(len(dataset.classes))]


def test_open_folder_errors(tmp_path):
    with pytest.raises(UserError, match="has no folder"):
        datasets.open_source("eurosat", tmp_path)
    with pytest.raises(UserError, match="needs files"):
        datasets.open_source("eurosat")
    with pytest.raises(UserError, match="no test split of 'aircraft'"):
        datasets.open_source("aircraft", "tfds")
    (tmp_path / "eurosat").mkdir()
    with pytest.raises(UserError, match="no class folders"):
        datasets.open_source("eurosat", tmp_path)
    make(tmp_path / "eurosat", datasets.get_dataset("eurosat").folders[:-1])
    with pytest.raises(UserError, match="class folder 'SeaLake' is missing"):
        datasets.open_source("eurosat", tmp_path)
    make(tmp_path / "eurosat", ["Lake"])
    with pytest.raises(UserError, match="Lake' is none of its classes"):
        datasets.open_source("eurosat", tmp_path)
    make(tmp_path / "eurosat", ["SeaLake"])
    with pytest.raises(UserError, match="Lake' is none of the 10 classes"):
        datasets.open_source("eurosat", tmp_path)


def test_open_reports_an_unexpected_count(tmp_path, caplog):
    make(tmp_path / "eurosat", datasets.get_dataset("eurosat").folders)
    datasets.open_source("eurosat", tmp_path)
    assert "10 images instead of 5400" in caplog.text


def test_open_sample(tmp_path):
    make(tmp_path / "dtd", datasets.get_dataset("dtd").classes)
    ids = [[row["id"] for row in datasets.open_source("dtd", tmp_path, count=20, seed=seed)] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert len(set(ids[0])) == 20
    parts = [datasets.open_source("dtd", tmp_path, count=count, seed=1) for count in (20, 20, 47)]
    whole = datasets.open_source("dtd", tmp_path).fingerprint
    assert parts[0].fingerprint == parts[1].fingerprint != whole
    assert parts[2].fingerprint == whole  # a sample of all images is the data set
    for count in (0, 48):
        with pytest.raises(UserError, match=r"dtd"):
            datasets.open_source("dtd", tmp_path, count=count)


def test_open_procedural():
    source = datasets.open_source("shapes", count=5, seed=3)
    assert len(source) == 5
    row = source[4]
    assert row["image"].dtype == np.uint8
    assert row["label"] == 4
    dataset = datasets.get_dataset("shapes")
    assert dataset.procedural
    assert len(datasets.open_source("shapes")) == 10 * len(dataset.classes)
