"""The public functions, on the embedded checkpoint."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lrjax
from checkpoints_conv.__main__ import main as convert
from lrjax.data.datasets import get_dataset, open_source
from lrjax.errors import UserError
from lrjax.models import __main__ as zoo_command
from lrjax.weights.checkpoint import locate

PICTURE = Image.new("RGB", (40, 40), "red")


@pytest.fixture(scope="module")
def model():
    return lrjax.load("EVA02-embedded", "embedded", devices=1)


@pytest.fixture(scope="module")
def examples():
    source = open_source("colours", count=12, seed=0)
    return [source[index] for index in range(12)]


def test_a_model_says_what_it_is(model):
    expected = "<Predictor EVA02-embedded: 1,707,777 parameters, 224 px, float32, 1 device (cpu)>"
    assert repr(model) == str(model) == expected
    wide = lrjax.load("EVA02-embedded@256", "embedded", precision="bfloat16")
    added = (8**2 - 7**2) * 128
    assert (
        repr(wide)
        == f"<Predictor EVA02-embedded@256: {1_707_777 + added:,} parameters, 256 px, bfloat16, 8 devices (cpu)>"
    )


def test_zero_shot_classification(model, examples):
    dataset = get_dataset("colours")
    classifier = lrjax.zero_shot_classifier(model, dataset.classes, dataset.templates)
    embedded = lrjax.encode_image(model, [one["image"] for one in examples])
    assert embedded.dtype == np.float32 and embedded.shape == (12, 128)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    found = (embedded @ classifier.T).argmax(axis=1)
    assert (found == [one["label"] for one in examples]).mean() > 0.8
    low = lrjax.encode_image(model, [one["image"] for one in examples], resolution=16)
    assert not np.allclose(low, embedded, atol=1e-2)


def test_arrays_pictures_and_paths_are_the_same(model, examples, tmp_path):
    pixels = examples[0]["image"]
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "one.png")
    embedded = lrjax.encode_image(model, [pixels, picture, tmp_path / "one.png", str(tmp_path / "one.png")])
    np.testing.assert_array_equal(embedded, np.repeat(embedded[:1], 4, axis=0))
    for one in (picture, tmp_path / "one.png", str(tmp_path / "one.png")):
        np.testing.assert_allclose(lrjax.encode_image(model, one), embedded[:1], atol=1e-6)


def test_modes_and_large_images_are_those_of_the_evaluation(model, examples, monkeypatch):
    picture = Image.fromarray(examples[0]["image"])
    images = [picture.convert("P"), picture.convert("RGBA"), picture.resize((1300, 1100)), picture]
    for rgb in ("after", "before"):
        found = []
        for resamples in (False, True):
            monkeypatch.setattr(type(model), "resamples", resamples)
            found.append(lrjax.encode_image(model, images, resolution=32, rgb=rgb))
        np.testing.assert_allclose(*found, atol=1e-6)
    palette = images[0].convert("RGB")
    before = lrjax.encode_image(model, [palette], resolution=32)
    np.testing.assert_allclose(found[0][:1], before, atol=1e-5)  # the last ones are those of "before"
    assert np.abs(lrjax.encode_image(model, images[:1], resolution=32) - before).max() > 1e-3


def test_batches_do_not_matter(model, examples):
    images = [one["image"][: 40 + 7 * number] for number, one in enumerate(examples)]
    whole = lrjax.encode_image(model, images)
    np.testing.assert_allclose(lrjax.encode_image(model, images, batch_size=5), whole, atol=1e-5)


def test_texts(model):
    embedded = lrjax.encode_text(model, ["a red circle", "a blue square"])
    assert embedded.shape == (2, 128)
    np.testing.assert_allclose(lrjax.encode_text(model, "a red circle"), embedded[:1], atol=1e-6)


def test_generators_arrays_and_functions_are_as_good_as_lists(model, examples):
    images, texts = [one["image"] for one in examples[:2]], ["a red circle", "a blue square"]
    embedded = lrjax.encode_image(model, images, resolution=16)
    np.testing.assert_array_equal(lrjax.encode_image(model, iter(images), resolution=np.int32(16)), embedded)
    np.testing.assert_array_equal(lrjax.encode_image(model, np.stack(images), resolution=16), embedded)
    np.testing.assert_array_equal(lrjax.encode_text(model, iter(texts)), lrjax.encode_text(model, texts))
    np.testing.assert_array_equal(lrjax.encode_text(model, np.array(texts)), lrjax.encode_text(model, texts))
    classes, templates = ["dog", "cat"], ["a photo of a {}.", "{}!"]
    functions = [lambda name: f"a photo of a {name}.", lambda name: f"{name}!"]
    expected = lrjax.zero_shot_classifier(model, classes, templates)
    for given in (functions, iter(functions), [functions[0], templates[1]], np.array(templates)):
        np.testing.assert_array_equal(lrjax.zero_shot_classifier(model, np.array(classes), given), expected)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda model: lrjax.encode_image(model, []), "no images"),
        (lambda model: lrjax.encode_image(model, [np.zeros((4, 4), np.uint8)]), r"image 0 is uint8 \[4, 4\]"),
        (lambda model: lrjax.encode_image(model, [np.zeros((4, 4, 3))]), "image 0 is float64"),
        (lambda model: lrjax.encode_image(model, ["missing.png"]), r"missing\.png"),
        (lambda model: lrjax.encode_image(model, [Image.new("RGB", (0, 4))]), "image 0 is empty, 0 x 4"),
        (lambda model: lrjax.encode_image(model, [np.zeros((4, 4, 3), np.uint8)], rgb="x"), "rgb 'x' is unknown"),
        (lambda model: lrjax.encode_text(model, []), "no texts"),
        (
            lambda model: lrjax.encode_image(model, [np.zeros((3, 8, 8), np.float32)]),
            r"float32 \[3, 8, 8\]",
        ),
        (lambda model: lrjax.encode_image(model, [None]), r"image 0 is object"),
        (lambda model: lrjax.encode_image(model, {"a": PICTURE}), r"images is \{'a': .*\}; give a list"),
        (lambda model: lrjax.encode_image(model, 3), r"images is 3; give a list"),
        (lambda model: lrjax.encode_image(model, b"png"), r"images is b'png'; give a list"),
        (lambda model: lrjax.encode_image(model, iter(())), "no images"),
        (
            lambda model: lrjax.encode_image(model, PICTURE, resolution=16.5),
            r"resolution is 16\.5; give a whole",
        ),
        (lambda model: lrjax.encode_image(model, PICTURE, resolution=True), "resolution is True; give a whole number"),
        (lambda model: lrjax.encode_image(model, PICTURE, resolution=-16), "resolution is -16; give a whole number"),
        (lambda model: lrjax.encode_image(model, PICTURE, batch_size=0), "batch_size is 0; give a whole number"),
        (lambda model: lrjax.encode_image(model, PICTURE, batch_size="8"), "batch_size is '8'; give a whole number"),
        (lambda model: lrjax.encode_text(model, ["a", 3]), "text 1 is 3; give texts"),
        (lambda model: lrjax.encode_text(model, None), "texts is None; give a list"),
        (lambda model: lrjax.encode_text(model, (text for text in ())), "no texts"),
        (lambda model: lrjax.zero_shot_classifier(model, [1, 2]), "class 0 is 1; give the names of classes as texts"),
        (lambda model: lrjax.zero_shot_classifier(model, {"a": 1}), r"classes is \{'a': 1\}; give a list"),
        (lambda model: lrjax.zero_shot_classifier(model, ["a"], [3]), "template 0 is 3; give a text with"),
        (lambda model: lrjax.zero_shot_classifier(model, ["a"], str.upper), "templates is .*; give a list"),
        (lambda model: lrjax.zero_shot_classifier(model, ["a"], [len]), "template gives 1 for the class 'a'"),
        (lambda model: lrjax.encode_image(model, np.zeros((1, 8, 8, 3), np.uint8), resolution=500), "model's own 224"),
        (
            lambda model: lrjax.encode_image(model, np.zeros((1, 8, 8, 3), np.uint8), lr_tokens=np.zeros((4, 49, 128))),
            r"\[4, 49, 128\] but this backbone needs \[5, 49, 128\]",
        ),
        (lambda model: lrjax.zero_shot_classifier(model, []), "at least one"),
        (lambda model: lrjax.zero_shot_classifier(model, "cat"), r"write \['cat'\]"),
        (lambda model: lrjax.zero_shot_classifier(model, ["a"], ["no place"]), "write exactly one"),
        (lambda model: lrjax.load("ViT-B-61"), "unknown backbone 'ViT-B-61'; did you mean"),
        (
            lambda model: lrjax.load("vit-b-16:OPENAI"),
            r"unknown backbone 'vit-b-16:OPENAI'; did you mean ViT-B-16:openai\?",
        ),
        (lambda model: lrjax.load("rn50X4@320"), r"unknown backbone 'rn50X4'; did you mean RN50x4\?"),
        (lambda model: lrjax.load("ViT-L-14"), "several checkpoints, .* name one: ViT-L-14:openai, "),
        (lambda model: lrjax.load("EVA02-embedded"), '"embedded" for the one that is shipped'),
        (lambda model: lrjax.load("EVA02-embedded", "embedded", protocol="x"), "unknown protocol 'x'"),
        (lambda model: lrjax.load("EVA02-embedded", "embedded", numerics="x"), "unknown numerics 'x'"),
        (lambda model: lrjax.load("EVA02-embedded", "embedded", placement="x"), "unknown placement 'x'"),
        (lambda model: lrjax.load("RN50:openai", "missing.pt", precision="float16"), "unknown precision 'float16'"),
        (lambda model: lrjax.load("RN50:openai", "missing.pt", devices=99), "99 devices asked for but 8 exist"),
        (lambda model: lrjax.load("EVA02-embedded@20", "embedded"), "cannot run at 20 pixels"),
        (lambda model: lrjax.load("EVA02-embedded@big", "embedded"), "input size 'big'"),
    ],
)
def test_mistakes(model, call, reason):
    with pytest.raises(UserError, match=reason):
        call(model)


def test_another_input_size(examples):
    model = lrjax.load("EVA02-embedded@160", "embedded", devices=1)
    assert model.row.spec.image.size == 160
    dataset = get_dataset("colours")
    classifier = lrjax.zero_shot_classifier(model, dataset.classes, dataset.templates)
    found = (lrjax.encode_image(model, [one["image"] for one in examples]) @ classifier.T).argmax(axis=1)
    assert (found == [one["label"] for one in examples]).mean() > 0.5


@pytest.mark.parametrize("name", ["EVA02-embedded", "EVA02-embedded@160"])
def test_a_converted_directory_spread_over_eight_devices(examples, tmp_path, name):
    source = locate("embedded")
    assert convert(["--model", "EVA02-embedded", "--source", str(source), "--out", str(tmp_path / "converted")]) == 0
    model = lrjax.load(name, tmp_path / "converted", placement="fsdp")
    kernel = model.params["image"]["blocks"]["mlp"]["up"]["kernel"]
    assert len({shard.device for shard in kernel.addressable_shards}) == 8
    assert kernel.addressable_shards[0].data.shape == (4, 16, 344)
    images, texts = [one["image"] for one in examples], ["a red circle", "a blue square"]
    expected = lrjax.load(name, "embedded", devices=1)
    np.testing.assert_allclose(lrjax.encode_image(model, images), lrjax.encode_image(expected, images), atol=2e-5)
    np.testing.assert_allclose(lrjax.encode_text(model, texts), lrjax.encode_text(expected, texts), atol=2e-5)


def test_list_models():
    assert len(lrjax.list_models()) == 85
    assert lrjax.list_models("vit-b-*", family="clip") == ["ViT-B-32:openai", "ViT-B-16:openai"]
    assert len(lrjax.list_models(family="SigLIP")) == 8
    assert lrjax.list_models("nothing") == []


def test_the_zoo_on_the_command_line(capsys):
    assert zoo_command.main(["--family", "coca", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == lrjax.list_models(family="CoCa")
    assert rows[0]["spec"]["image"]["pool"] == "query" and rows[0]["spec"]["text"]["context"] == 76
    assert zoo_command.main(["RN*"]) == 0
    assert "RN50x64:openai" in capsys.readouterr().out
    assert zoo_command.main(["RN*", "--family", "SigLIP"]) == 2
    assert "no backbone of the family 'SigLIP' fits 'RN*'" in capsys.readouterr().err


def test_importing_lrjax_is_light():
    code = "import sys, lrjax; assert 'jax' not in sys.modules; lrjax.load; assert 'jax' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lrjax.nothing
