"""Images with captions: Karpathy's files, data sets of users in this form, drawn ones."""

import json
import pickle

import numpy as np
import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.datasets import find_source, get_dataset
from lrjax.data.procedural import CaptionedSource, CaptionSource
from lrjax.data.sources.base import Part
from lrjax.data.sources.split import open_metadata
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.questions.case import Setting
from lrjax.questions.retrieval import Retrieval


def image(name, split="test", captions=("one thing", " Another thing. "), **more):
    return {"filename": name, "split": split, "sentences": [{"raw": text} for text in captions], **more}


IMAGES = [
    image("1.png", "train"),
    image("2.png", captions=("two",), cocoid=9),
    image("3.png", "restval"),
    image("4.png", captions=("four", "vier", "four")),
]


def write(root, images=IMAGES, *, folder="images", file="dataset_flickr30k.json"):
    for one in images:
        if isinstance(one, dict) and one.get("split") == "test" and one.get("filename"):
            on_disk.write(root / folder / one.get("filepath", "") / one["filename"], on_disk.png(one["filename"]))
    return on_disk.write(root / file, json.dumps({"dataset": "some", "images": images}))


@pytest.mark.parametrize("folder", ["", "images"])
def test_the_images_of_the_split_with_all_of_their_captions(tmp_path, folder, caplog):
    write(tmp_path / "flickr30k", folder=folder)
    source = datasets.open_source("flickr30k", tmp_path)
    assert source.captions == [("two",), ("four", "vier", "four")]
    assert [source[n]["id"] for n in range(2)] == ["2.png", "4.png"]
    assert (np.asarray(source[1]["image"]) == on_disk.pixels("4.png")).all()
    assert "has 2 images instead of 1000" in caplog.text
    assert pickle.loads(pickle.dumps(source)).captions == source.captions
    assert datasets.open_source("flickr30k", tmp_path, count=1, seed=2).captions in ([("two",)], [source.captions[1]])


def test_coco_names_the_folder_of_every_image(tmp_path):
    images = [image("a.png", filepath="val2014"), image("a.png", filepath="train2014", captions=("other",))]
    path = write(tmp_path, images, folder="", file="dataset_coco.json")
    for place in (f"karpathy:{path}", str(path), str(tmp_path)):
        source = datasets.open_source("coco", sources={"coco": place})
        assert source.ids == ["val2014/a.png", "train2014/a.png"]
        assert source.captions == [("one thing", " Another thing. "), ("other",)]


def test_captions_are_no_part_of_the_fingerprint(tmp_path):
    write(tmp_path / "flickr30k")
    before = datasets.open_source("flickr30k", tmp_path).fingerprint
    write(tmp_path / "flickr30k", [*IMAGES[:3], image("4.png", captions=("cinq",))])
    after = datasets.open_source("flickr30k", tmp_path)
    assert after.captions[1] == ("cinq",)
    assert after.fingerprint == before


def test_a_data_set_of_ones_own_with_captions(tmp_path):
    write(tmp_path / "mine", file="dataset.json")
    row = on_disk.write(tmp_path / "own.yaml", "captions: true\npath: mine/dataset.json\nsplit: test\ncount: 2\n")
    dataset = datasets.get_dataset(str(row))
    assert (dataset.name, dataset.classes, dataset.captioned) == ("own", (), True)
    assert datasets.open_source(dataset).captions == [("two",), ("four", "vier", "four")]
    for text, complaint in {
        "captions: yes please": "captions of .* are 'yes please'; write true, or leave the key out",
        "captions: true\nclasses: [a, b]": "has both 'captions' and 'classes'; .* keep one",
        "captions: true\nlr0fm: 3": "has both 'captions' and 'lr0fm'; .* keep one",
    }.items():
        with pytest.raises(UserError, match=complaint):
            datasets.get_dataset(str(on_disk.write(tmp_path / "wrong.yaml", text)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "has no list 'images'; give a file of Karpathy's splits"),
        ({"images": {}}, "has no list 'images'"),
        ({"images": []}, "has no images of the split 'test' .it has no images.; name another"),
        ({"images": IMAGES[:1]}, "has no images of the split 'test' .it has train."),
        ({"images": [*IMAGES, "x"]}, "image 4 of .* has filepath, filename and split .*; write texts"),
        ({"images": [image(7)]}, "image 0 of .* has filepath, filename and split .*; write texts"),
        ({"images": [image("2.png", captions=())]}, "has the sentences .*; give every image captions, as 'raw'"),
        ({"images": [image("2.png", captions=("a", " "))]}, "give every image captions"),
        ({"images": [image("2.png") | {"sentences": ["a"]}]}, "give every image captions"),
        ({"images": [image("2.png") | {"sentences": 5}]}, "give every image captions"),
        ({"images": [image("../2.png")]}, "names '../2.png', which is outside of its folder"),
        ({"images": [image("2.png"), image("2.png")]}, "lists image '2.png' 2 times"),
        ({"images": [image("2.png"), image("8.png")]}, "lists image '8.png', which is not in .* .1 missing."),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, complaint):
    write(tmp_path / "flickr30k")
    on_disk.write(tmp_path / "flickr30k/dataset_flickr30k.json", json.dumps(content))
    with pytest.raises(UserError, match=complaint):
        datasets.open_source("flickr30k", tmp_path)


def test_kinds_without_captions_and_data_sets_with_classes_are_refused(tmp_path):
    file = write(tmp_path)
    for entry in (f"folder:{tmp_path}", f"split:{file}", "tfds:"):
        with pytest.raises(UserError, match=r"'coco' has captions, .* karpathy:PATH or metadata:PATH; correct"):
            datasets.open_source("coco", sources={"coco": entry})
    with pytest.raises(UserError, match="'dtd' has classes, not captions; correct"):
        datasets.open_source("dtd", sources={"dtd": f"karpathy:{file}"})
    (tmp_path / "coco").mkdir()
    with pytest.raises(UserError, match="has no files dataset_"):
        datasets.open_source("coco", tmp_path)
    on_disk.write(tmp_path / "dataset_coco.json", "{}")
    with pytest.raises(UserError, match="has 2 files dataset_"):
        datasets.open_source("coco", sources={"coco": str(tmp_path)})


def test_drawn_pictures_have_five_true_captions_and_are_not_those_of_a_training():
    source = datasets.open_source("captioned", count=30, seed=3)
    assert (len(source), len(source.captions)) == (30, 30)
    assert len(datasets.open_source("captioned")) == 100
    assert {len(own) for own in source.captions} == {5}
    assert CaptionedSource(40, seed=3).captions[:30] == source.captions
    assert CaptionedSource(30, seed=4).captions != source.captions
    assert (CaptionedSource(1, seed=3)[0]["image"] == source[0]["image"]).all()
    training = CaptionSource(30, seed=3)
    assert not any((source[n]["image"] == training[n]["image"]).all() for n in range(3))
    assert (
        len({source.fingerprint, CaptionedSource(29, seed=3).fingerprint, CaptionedSource(30, seed=4).fingerprint}) == 3
    )
    with pytest.raises(UserError, match="cannot hold 0 pictures"):
        CaptionedSource(0, seed=1)


OWN = {
    "metadata.csv": 'file_name,caption,group\na.png,a cat,1\nb.png,a dog,2\na.png,"one cat, asleep",1\n',
    "metadata.jsonl": '{"file_name": "a.png", "text": ["a cat", "one cat, asleep"], "group": "1"}\n'
    '{"file_name": "b.png", "text": "a dog", "group": "2"}\n',
}


@pytest.mark.parametrize("table", OWN)
@pytest.mark.parametrize("kind", ["", "metadata:"])
def test_captions_are_a_column_of_a_table(tmp_path, table, kind):
    for name in "ab":
        on_disk.write(tmp_path / "img" / f"{name}.png", on_disk.png(name))
    on_disk.write(tmp_path / "img" / table, OWN[table])
    on_disk.write(tmp_path / "own.yaml", f"captions: true\npath: {kind}img")
    dataset = get_dataset(str(tmp_path / "own.yaml"))
    source, _ = find_source(dataset)
    assert (source.ids, source.labels) == (["a.png", "b.png"], [-1, -1])
    assert source.captions == [["a cat", "one cat, asleep"], ["a dog"]]
    assert source.columns == {"group": ["1", "2"]}
    assert source.gaps == ()
    np.testing.assert_array_equal(source[1]["image"], on_disk.pixels("b"))
    Retrieval(resolutions=()).check(
        Setting(model="m", variant="v", backbone=zoo.get("EVA02-embedded"), datasets=[(dataset, source)])
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file_name": "a.png"}, r"row 1 of '.*' has no caption or text \(its columns: file_name\); give both"),
        ({"caption": "x"}, "has no file_name"),
        ({"file_name": "a.png", "caption": ["x", 3]}, "has the caption .*; give a text, or a list of texts"),
        ({"file_name": "a.png", "caption": [" "]}, "give a text, or a list of texts"),
        ({"file_name": "a.png", "text": {"x": 1}}, "give a text, or a list of texts"),
    ],
)
def test_a_table_with_wrong_captions(tmp_path, row, message):
    on_disk.write(tmp_path / "img" / "a.png", on_disk.png("a"))
    on_disk.write(tmp_path / "img" / "metadata.jsonl", json.dumps(row))
    on_disk.write(tmp_path / "own.yaml", "captions: true\npath: img")
    with pytest.raises(UserError, match=message):
        find_source(get_dataset(str(tmp_path / "own.yaml")))


def test_other_columns_go_with_their_images_and_no_one_else(tmp_path):
    for name in "abc":
        on_disk.write(tmp_path / f"{name}.png", on_disk.png(name))
    rows = [
        {"file_name": "a.png", "label": "cat", "shape": "cat", "texture": "bark", "origin": "x"},
        {"file_name": "b.png", "label": "dog", "shape": "dog", "texture": "bark", "origin": None, "some": 1},
        {"file_name": "c.png", "label": "cat", "shape": "cat", "texture": ["fur", "bark"], "origin": "y"},
    ]
    on_disk.write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    source = open_metadata(tmp_path)
    assert source.columns.keys() == {"shape", "texture", "origin"}
    assert source.origins is None
    part = CorruptedSource(Part(source, [2, 0]), "fog", severity=1)
    assert part.columns == {"shape": ["cat", "cat"], "texture": [["fur", "bark"], "bark"], "origin": ["y", "x"]}
