"""Zero-shot accuracy against a plain loop over single images with Pillow and numpy."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import tiny
from asking import ask
from lrjax.data.images import ImageError
from lrjax.data.loader import batches
from lrjax.errors import UserError
from lrjax.models.build import Encoders
from lrjax.models.predict import Predictor
from lrjax.questions import bench as benches
from lrjax.questions.bench import view_spec
from lrjax.questions.case import Views
from lrjax.questions.zeroshot import ZeroShot

SIZE, CLASSES = tiny.SIZE, 7
RESOLUTIONS = (8, 13, "hr")


def pillow_view(image, side, preprocess):
    """The picture as the model sees it: resized to `side` unless that is "hr", resized to the model, cropped."""
    kernel = Image.Resampling[preprocess.kernel.upper()]
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    for length in [SIZE] if side == "hr" else [side, SIZE]:
        width, height = picture.size
        if preprocess.mode == "squash":
            new = (length, length)
        elif width <= height:
            new = (length, int(length * height / width))
        else:
            new = (int(length * width / height), length)
        picture = picture.resize(new, kernel)
    left, top = (round((length - SIZE) / 2) for length in picture.size)
    return np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)).convert("RGB"))


@functools.cache
def encode():
    return jax.jit(Encoders(tiny.row().spec).image)


def plain_embeddings(source, side, tokens=None):
    native, rows = tiny.row().preprocess, []
    for index in range(len(source)):
        view = pillow_view(source[index]["image"], side, native).astype(np.float32) / 255
        view = (view - np.float32(native.mean)) / np.float32(native.std)
        adaptation = {} if tokens is None else {"tokens": tokens}
        rows.append(np.asarray(encode()(tiny.params(), view[None], adaptation))[0])
    return np.stack(rows)


@functools.cache
def classifier(classes=CLASSES):
    """Directions in which the embeddings of the pictures differ, so that the guesses do."""
    rows = plain_embeddings(tiny.Pictures(23), "hr")
    rows = rows[:classes] - rows.mean(axis=0)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def cached_predictor(devices=1, placement="replicate"):
    return tiny.predictor(devices, placement=placement)


def evaluate(source, *, predictor=None, **options):
    sides = options.pop("resolutions", RESOLUTIONS)
    question = ZeroShot(resolutions=tuple(side for side in sides if side != "hr"))
    return ask(question, source, classifier(), predictor=predictor or cached_predictor(), **options)


@pytest.mark.parametrize("tokens", [None, tiny.random_tokens()], ids=["vanilla", "tokens"])
def test_accuracies_equal_a_plain_loop(tokens):
    source = tiny.Pictures(23)  # the third batch is padded
    labels = np.array([source[index]["label"] for index in range(len(source))])
    outcome = evaluate(source, lr_tokens=tokens)
    assert len(outcome.values) == 2 * len(RESOLUTIONS)
    assert outcome.skipped == ()
    guesses = set()
    for side in RESOLUTIONS:
        logits = plain_embeddings(source, side, tokens) @ classifier().T
        ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        hits = ranked == labels[:, None]
        assert outcome.values["acc1", side] == (hits[:, 0].sum() / 23, 23)
        assert outcome.values["acc5", side] == (hits.any(axis=1).sum() / 23, 23)
        samples = outcome.samples[side]
        np.testing.assert_array_equal(samples["index"], np.arange(23))
        np.testing.assert_array_equal(samples["label"], labels)
        np.testing.assert_array_equal(samples["top5"], ranked)
        guesses |= set(ranked[:, 0])
    assert len(guesses) > 3


def test_tokens_change_the_guesses():
    source = tiny.Pictures(23)
    vanilla, tokens = evaluate(source), evaluate(source, lr_tokens=tiny.random_tokens())
    assert not np.array_equal(vanilla.samples[8]["top5"], tokens.samples[8]["top5"])


class Pictures(tiny.Pictures):
    """Every third picture has a mode that the device cannot resample, and one is too large for it."""

    def __getitem__(self, index):
        example = super().__getitem__(index)
        picture = Image.fromarray(example["image"])
        if index % 3 == 1:
            picture = picture.convert(["P", "RGBA", "CMYK", "L"][index // 3 % 4])
        if index == 6:
            picture = Image.fromarray(tiny.picture(6, 1100, 700))
        return example | {"image": picture}


@pytest.mark.parametrize("devices", [1, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("mode", "kernel"), [("crop", "bicubic"), ("squash", "bilinear")])
def test_views_of_every_resolution_equal_pillow(mode, kernel, devices):
    preprocess = dataclasses.replace(tiny.row().preprocess, mode=mode, kernel=kernel)
    row = dataclasses.replace(tiny.row(), preprocess=preprocess)
    predictor = Predictor(row, {}, tiny.tokenizer(), cached_predictor(devices).mesh)
    specs = [view_spec(row, Views(resolution=None if side == "hr" else side)) for side in RESOLUTIONS]
    for source in (tiny.Pictures(9), Pictures(14)):
        for host in (False, True):
            for batch in batches(source, 8, specs=specs, host=host):
                views = predictor.views(batch)
                assert views.shape == (8, len(RESOLUTIONS), SIZE, SIZE, 3)
                assert len(views.addressable_shards) == devices
                for index, rendered in zip(batch.index[batch.mask], np.asarray(views), strict=False):
                    for side, view in zip(RESOLUTIONS, rendered, strict=True):
                        expected = pillow_view(source[int(index)]["image"], side, preprocess)
                        np.testing.assert_array_equal(view, expected, err_msg=f"{index} {side} {host}")


@pytest.mark.parametrize("rgb", ["after", "before"])
def test_devices_and_pillow_give_the_same_numbers(monkeypatch, rgb):
    def scores(resamples):
        monkeypatch.setattr(Predictor, "resamples", resamples)
        return evaluate(Pictures(23, damaged=(2,)), rgb=rgb, on_error="skip", workers=2)

    assert not cached_predictor().resamples
    device, host = scores(True), scores(False)
    assert device.values == host.values
    assert device.skipped == ("picture2.png",)
    np.testing.assert_array_equal(device.samples[8]["top5"], host.samples[8]["top5"])


def test_conversion_to_rgb_before_the_resizes_changes_the_guesses():
    after, before = evaluate(Pictures(23)), evaluate(Pictures(23), rgb="before")
    same = (after.samples[13]["top5"] == before.samples[13]["top5"]).all(axis=1)
    assert same[np.arange(23) % 3 != 1].all()
    assert not same.all()


def test_sets_of_labels():
    class Sets(tiny.Pictures):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return example | {"label": tuple((example["label"] + k) % CLASSES for k in range(1 + index % 3))}

    source = Sets(23)
    outcome, plain = evaluate(source), evaluate(tiny.Pictures(23))
    assert outcome.samples["hr"]["label"].shape == (23, 4)
    for side in RESOLUTIONS:
        top = plain.samples[side]["top5"]
        np.testing.assert_array_equal(outcome.samples[side]["top5"], top)
        for metric, k in (("acc1", 1), ("acc5", 5)):
            right = sum(bool(set(source[i]["label"]) & set(top[i, :k].tolist())) for i in range(23))
            assert outcome.values[metric, side] == (right / 23, 23)
    for k in (0, 1):  # sets of one are plain labels
        ones = Sets(1 + k)
        assert evaluate(ones).samples["hr"]["label"].shape == ((1,), (2, 2))[k]


def test_native_size_as_a_resolution_is_the_native_view():
    assert evaluate(tiny.Pictures(9), resolutions=(8, 32)).values == evaluate(tiny.Pictures(9), resolutions=(8,)).values


@pytest.mark.parametrize("count", [1, 8, 9])
def test_every_image_counts_once(count):
    outcome = evaluate(tiny.Pictures(count))
    assert {n for _, n in outcome.values.values()} == {count}
    np.testing.assert_array_equal(outcome.samples["hr"]["index"], np.arange(count))


def test_programs_are_compiled_once_for_all_data_sets(monkeypatch):
    monkeypatch.setattr(Predictor, "resamples", True)
    predictor = tiny.predictor()
    logits = benches._reader(predictor.mesh, embedding=False)
    before = predictor._views._cache_size(), logits._cache_size()  # predictors on one mesh share these
    evaluate(tiny.Pictures(27, square=48), predictor=predictor)
    assert predictor._views._cache_size() - before[0] == predictor._image._cache_size() == 1
    evaluate(tiny.Pictures(11, square=50), predictor=predictor)
    assert predictor._views._cache_size() - before[0] == 2
    assert predictor._image._cache_size() == 1
    monkeypatch.setattr(Predictor, "resamples", False)
    evaluate(tiny.Pictures(27), predictor=predictor)
    assert predictor._views._cache_size() - before[0] == 2
    assert predictor._image._cache_size() == 1
    assert logits._cache_size() - before[1] <= 1


def test_eight_devices_give_the_numbers_of_one():
    source, one = tiny.Pictures(23), evaluate(tiny.Pictures(23))
    for placement in ("replicate", "fsdp"):
        eight = evaluate(source, predictor=cached_predictor(8, placement))
        assert eight.values == one.values
        for side in RESOLUTIONS:
            for name, rows in one.samples[side].items():
                np.testing.assert_array_equal(eight.samples[side][name], rows)


def test_damaged_image_stops_the_run_or_is_left_out():
    source = tiny.Pictures(23, damaged=(3, 22))
    with pytest.raises(ImageError, match=r"picture3\.png"):
        evaluate(source)
    outcome, whole = evaluate(source, on_error="skip", workers=2), evaluate(tiny.Pictures(23))
    assert outcome.skipped == ("picture3.png", "picture22.png")
    assert {n for _, n in outcome.values.values()} == {21}
    kept = np.delete(np.arange(23), [3, 22])
    for side in RESOLUTIONS:
        np.testing.assert_array_equal(outcome.samples[side]["index"], kept)
        np.testing.assert_array_equal(outcome.samples[side]["top5"], whole.samples[side]["top5"][kept])


def test_skipped_images_count_as_done_in_the_progress(capsys):
    evaluate(tiny.Pictures(23, damaged=(3, 22)), on_error="skip", title="pictures (vanilla)")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pictures (vanilla): ")]
    assert lines[0] == "pictures (vanilla): 0 of 23 images, first batch, compiles what is new"
    assert re.fullmatch(
        r"pictures \(vanilla\): 23 of 23 images, [\d.,]+ (images/s|s/image), \d\d:\d\d in all", lines[-1]
    )
    assert len(lines) == 2


def test_nothing_to_measure():
    with pytest.raises(UserError, match="no images"):
        evaluate(tiny.Pictures(0))
    with pytest.raises(UserError, match=r"all 3 images are damaged.*picture0\.png"):
        evaluate(tiny.Pictures(3, damaged=(0, 1, 2)), on_error="skip")


def test_impossible_options():
    with pytest.raises(UserError, match=r"resolution 33 is larger than the 32 px input of tiny"):
        evaluate(tiny.Pictures(2), resolutions=(16, 33, "hr"))
    with pytest.raises(UserError, match="batch_size 9 does not divide over 8 devices"):
        evaluate(tiny.Pictures(2), predictor=cached_predictor(8), batch_size=9)


def test_few_classes_have_no_top5():
    source = tiny.Pictures(5, classes=3)
    outcome = ask(ZeroShot(resolutions=()), source, classifier(3), predictor=cached_predictor())
    assert outcome.values.keys() == {("acc1", "hr")}
    assert outcome.samples["hr"]["top5"].shape == (5, 3)


def test_bfloat16_counts_the_same_images():
    outcome = evaluate(tiny.Pictures(23), predictor=tiny.predictor(dtype=jnp.bfloat16))
    full = evaluate(tiny.Pictures(23))
    assert {n for _, n in outcome.values.values()} == {23}
    same = outcome.samples["hr"]["top5"][:, 0] == full.samples["hr"]["top5"][:, 0]
    assert same.mean() > 0.8


@pytest.mark.parametrize("devices", [1, 8])
def test_embeddings_that_are_not_finite_stop_the_run(devices):
    message = "tiny embeds 8 of a batch of 8 as NaN or infinite, the first is image 0 of the data set"
    with pytest.raises(UserError, match=message):
        evaluate(tiny.Pictures(23), predictor=tiny.broken_predictor("image", devices))
