"""Images with captions: Karpathy's files, data sets of users in this form, drawn ones."""

import json
import pickle

import numpy as np
import pytest

import on_disk
from lrjax.data import datasets
from lrjax.data.procedural import CaptionedSource, CaptionSource
from lrjax.errors import UserError


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
        with pytest.raises(UserError, match="'coco' has captions, which are read from karpathy:PATH; correct"):
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
