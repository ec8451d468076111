"""Correctness of all zoom views against a plain loop with Pillow, and parts that survive an interruption."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image

import tiny
from asking import ask
from lrjax.data.datasets import get_dataset
from lrjax.data.images import ImageError, host_windows
from lrjax.errors import UserError
from lrjax.metrics.aggregation import AGGREGATES, CROPS
from lrjax.metrics.zoom import GROUPS, STANDARD_VIEW, VIEW_SCALES
from lrjax.models.build import Encoders
from lrjax.ops.preprocess import short_side_size
from lrjax.ops.zoom import ANCHORS, CENTRE_SCALES, SCALES, VIEWS, centre_zoom_specs, crop_spec, zoom_spec
from lrjax.questions.bench import LOGIT_SCALE
from lrjax.questions.zoom.question import Zoom
from lrjax.results.parts import Parts

COUNT, CLASSES, SIZE = 10, 7, tiny.SIZE
IMAGENET = (np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]))
encode = jax.jit(Encoders(tiny.row().spec).image)
labels = np.array([(index * 5) % CLASSES for index in range(COUNT)])


SET = np.random.default_rng(3).permutation(np.flatnonzero(VIEW_SCALES != 224))[:40]  # it lacks one of the groups


def pillow_views(image):
    views = np.zeros((len(ANCHORS), len(SCALES), SIZE, SIZE, 3), np.uint8)
    for number, scale in enumerate(SCALES):
        height, width = short_side_size(*image.shape[:2], zoom_spec(scale, size=SIZE).side)
        picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        for anchor, (row, column) in enumerate(ANCHORS):
            left = column * (width // 3) + width // 3 // 2 - SIZE // 2
            top = row * (height // 3) + height // 3 // 2 - SIZE // 2
            views[anchor, number] = picture.crop((left, top, left + SIZE, top + SIZE))
    return views.reshape(VIEWS, SIZE, SIZE, 3)


def pillow_crops(image):
    specs = (crop_spec(mirrored=True, size=SIZE), *centre_zoom_specs(size=SIZE))
    return np.concatenate([host_windows(Image.fromarray(image), spec) for spec in specs])


@functools.cache
def plain_embeddings(normalisation, views=pillow_views):
    """Embeddings of all views of all pictures, [N, V, E]."""
    native = tiny.row().preprocess
    mean, std = IMAGENET if normalisation == "imagenet" else (np.float32(native.mean), np.float32(native.std))
    rows, source = [], tiny.Pictures(COUNT)
    for index in range(COUNT):
        pixels = views(source[index]["image"]).astype(np.float32) / 255
        rows.append(np.asarray(encode(tiny.params(), (pixels - mean) / std)))
    return np.stack(rows)


@functools.cache
def classifier():
    """Directions in which the embeddings of the pictures differ, so that the guesses do."""
    rows = plain_embeddings("imagenet")[:, STANDARD_VIEW]
    rows = rows[:CLASSES] - rows.mean(axis=0)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain_logits(normalisation="imagenet", views=pillow_views):
    return LOGIT_SCALE * plain_embeddings(normalisation, views) @ classifier().T


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def combined(probabilities, rule):
    return getattr(probabilities, rule)(axis=1).argmax(axis=1)


@functools.cache
def cached_predictor(devices=1, placement="replicate"):
    return tiny.predictor(devices, placement=placement)


class WithSet(Zoom):
    """Combines the views of `SET`."""

    def inputs(self, setting):
        return {"aggregate": SET}


def evaluate(source=None, *, predictor=None, aggregate=False, options=(), **more):
    source = tiny.Pictures(COUNT) if source is None else source
    question = (WithSet if aggregate else Zoom)(**({"scales_at_once": 36, "crops": False} | dict(options)))
    return ask(question, source, classifier(), predictor=predictor or cached_predictor(), **more)


def table(outcome):
    return np.unpackbits(outcome.samples["hr"]["correct"], axis=1, count=VIEWS).astype(bool)


@functools.cache
def plain_outcome():
    return evaluate(options={"keep": ("confidence", "guess"), "crops": True}, aggregate=True)


@pytest.mark.parametrize("normalisation", [pytest.param("imagenet", marks=pytest.mark.slow), "native"])
def test_every_view_of_every_image_equals_a_plain_loop(normalisation):
    keep = ("guess", "confidence")
    outcome = plain_outcome()
    if normalisation == "native":
        outcome = evaluate(options={"normalisation": normalisation, "scales_at_once": 9, "keep": keep}, aggregate=True)
    logits, samples = plain_logits(normalisation), outcome.samples["hr"]
    np.testing.assert_array_equal(samples["guess"], logits.argmax(axis=-1))
    np.testing.assert_array_equal(table(outcome), logits.argmax(axis=-1) == labels[:, None])
    np.testing.assert_allclose(samples["confidence"], softmax(logits).max(axis=-1), atol=2e-3)
    np.testing.assert_array_equal(samples["index"], np.arange(COUNT))
    np.testing.assert_array_equal(samples["label"], labels)
    assert samples["correct"].shape == (COUNT, 41)
    assert samples["correct"].dtype == np.uint8
    assert samples["confidence"].dtype == np.float16
    assert len(np.unique(samples["guess"])) == CLASSES
    for name, guess in zip(AGGREGATES, samples["aggregated"].T, strict=True):
        group, _, rule = name.partition(" ")
        if views := sorted({*GROUPS[group].tolist()} & {*SET.tolist()}):
            np.testing.assert_array_equal(guess, combined(softmax(logits)[:, views], rule), err_msg=name)
        else:
            assert group == "zoom-224" and (guess == -1).all()


def test_crops_equal_a_plain_loop():
    samples, logits = plain_outcome().samples["hr"], plain_logits("imagenet", pillow_crops)
    assert logits.shape == (COUNT, 21, CLASSES)
    for name, guess in zip(CROPS, samples["crops"].T, strict=True):
        count, _, rule = name.partition("-crop ")
        np.testing.assert_array_equal(guess, combined(softmax(logits)[:, : int(count)], rule), err_msg=name)
    np.testing.assert_array_equal(samples["centre"], logits[:, 10:].argmax(axis=-1))
    assert samples["centre"].dtype == samples["crops"].dtype == np.int16
    assert len({tuple(guess) for guess in samples["crops"].T}) > 1  # the rules differ


def test_numbers_are_those_of_the_table():
    outcome = plain_outcome()
    correct, found = table(outcome), {metric: value for (metric, _), (value, _) in outcome.values.items()}
    assert {n for _, n in outcome.values.values()} == {COUNT}
    assert (SCALES[STANDARD_VIEW % 36], ANCHORS[STANDARD_VIEW // 36]) == (256, (1, 1))
    assert found.pop("zoom_acc1") == correct[:, STANDARD_VIEW].mean()
    assert found.pop("zoom_upper_bound") == correct.any(axis=1).mean() > correct.mean(axis=0).max()
    samples = plain_outcome().samples["hr"]
    for name, guess in zip(CENTRE_SCALES, samples["centre"].T, strict=True):
        assert found.pop(f"zoom_centre_{name}") == (guess == labels).mean()
    assert found.pop("zoom_5crop_mean") == (samples["crops"][:, 1] == labels).mean()
    assert found.pop("zoom_10crop_max") == (samples["crops"][:, 2] == labels).mean()
    assert found.pop("zoom_in_mean") == (samples["aggregated"][:, 1] == labels).mean()
    assert found.pop("zoom_out_max") == (samples["aggregated"][:, 2] == labels).mean()
    for name in ("5crop_max", "10crop_mean", "in_max", "out_mean"):
        del found[f"zoom_{name}"]  # and no view of the set neither zooms in nor out
    best = np.sort(correct.mean(axis=0))[::-1][:5]
    np.testing.assert_array_equal(list(found.values()), best)
    for name, value in found.items():
        row, column, scale = map(int, name.removeprefix("zoom_acc1_").split("_"))
        assert value == correct[:, ANCHORS.index((row, column)) * 36 + SCALES.index(scale)].mean()


@pytest.mark.parametrize(("devices", "placement"), [(8, "replicate"), (8, "fsdp")])
def test_eight_devices_give_the_numbers_of_one(devices, placement):
    options = {"options": {"keep": ("guess",)}, "aggregate": True}
    eight = evaluate(predictor=cached_predictor(devices, placement), **options)
    assert {metric for metric, _ in eight.values} > {
        "zoom_acc1",
        "zoom_upper_bound",
        "zoom_in_max",
        "zoom_out_mean",
    }
    assert eight.values.items() < plain_outcome().values.items()
    for name, rows in eight.samples["hr"].items():
        np.testing.assert_array_equal(rows, plain_outcome().samples["hr"][name], err_msg=name)


class Interrupted(tiny.Pictures):
    """Ends the program when it comes to an image."""

    def __init__(self, count, last, **options):
        super().__init__(count, **options)
        self.last, self.read = last, []

    def __getitem__(self, index):
        if index >= self.last:
            raise KeyboardInterrupt
        self.read.append(index)
        return super().__getitem__(index)


def test_finished_parts_are_not_computed_again(tmp_path):
    options = {"options": {"keep": ("confidence", "guess")}, "part_size": 3, "batch_size": 4, "aggregate": True}
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(COUNT, 8), parts=Parts(tmp_path, "key"), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["key-0-4.npz"]
    source = Interrupted(COUNT, 99)
    outcome = evaluate(source, parts=Parts(tmp_path, "key"), **options)
    assert sorted(source.read) == list(range(4, COUNT))
    assert outcome.values.items() <= plain_outcome().values.items()
    assert "aggregated" in outcome.samples["hr"]
    for name, rows in outcome.samples["hr"].items():
        # Batches of another size round otherwise, by one float16 at most.
        expected = plain_outcome().samples["hr"][name]
        np.testing.assert_allclose(rows, expected, atol=1e-3 * (name == "confidence"), err_msg=name)
    other = Interrupted(COUNT, 99)
    evaluate(other, parts=Parts(tmp_path, "another"), **options)
    assert len(other.read) == COUNT


def test_damaged_images_are_named_and_count_nowhere_even_from_a_part(tmp_path):
    source = tiny.Pictures(COUNT, damaged=(1, 9))
    with pytest.raises(ImageError, match=r"picture1\.png"):
        evaluate(source)
    for _ in range(2):
        outcome = evaluate(source, on_error="skip", workers=2, parts=Parts(tmp_path, "key"))
        assert outcome.skipped == ("picture1.png", "picture9.png")
        kept = np.delete(np.arange(COUNT), [1, 9])
        np.testing.assert_array_equal(outcome.samples["hr"]["index"], kept)
        np.testing.assert_array_equal(table(outcome), table(plain_outcome())[kept])
    with pytest.raises(UserError, match=r"all 2 images are damaged.*picture0\.png"):
        evaluate(tiny.Pictures(2, damaged=(0, 1)), on_error="skip")


class WithSets(tiny.Pictures):
    """Every third picture has two right classes."""

    def __getitem__(self, index):
        row = super().__getitem__(index)
        return row | ({"label": (row["label"], (row["label"] + 1) % CLASSES)} if index % 3 == 0 else {})


def test_a_guess_in_the_set_of_labels_is_right(tmp_path):
    parts = Parts(tmp_path, "key")
    outcome = evaluate(WithSets(COUNT), batch_size=4, part_size=1, parts=parts)
    guess, sets = plain_outcome().samples["hr"]["guess"], outcome.samples["hr"]["label"]
    assert sets.shape == (COUNT, 2)
    np.testing.assert_array_equal(sets[:, 0], labels)
    np.testing.assert_array_equal(sets[:, 1], np.where(np.arange(COUNT) % 3 == 0, (labels + 1) % CLASSES, -1))
    np.testing.assert_array_equal(table(outcome), (guess[:, :, None] == sets[:, None]).any(axis=-1))
    assert table(outcome).sum() > table(plain_outcome()).sum()


def test_tokens_change_the_guesses():
    outcome = evaluate(tiny.Pictures(COUNT), lr_tokens=tiny.random_tokens(), options={"keep": ("guess",)})
    assert not np.array_equal(outcome.samples["hr"]["guess"], plain_outcome().samples["hr"]["guess"])


def test_impossible_options():
    with pytest.raises(UserError, match="batch_size 9 does not divide over 8 devices"):
        evaluate(predictor=cached_predictor(8), batch_size=9)
    with pytest.raises(UserError, match="no images"):
        evaluate(tiny.Pictures(0))
    with pytest.raises(UserError, match=r"16 bits.*pictures has 32769"):
        ask(Zoom(), tiny.Pictures(1), tiny.unit_rows(0, 32769), predictor=cached_predictor())


@pytest.mark.parametrize("name", ["imagenet_a", "imagenet_r"])
def test_the_mask_of_the_label_space_is_a_choice_of_rows(name):
    whole, part = get_dataset("imagenet"), get_dataset(name)
    columns = [whole.folders.index(folder) for folder in part.folders]
    assert columns == sorted(columns)
    assert tuple(whole.classes[column] for column in columns) == part.classes
    assert part.templates == whole.templates
    weights, embedded = tiny.unit_rows(0, 1000), tiny.unit_rows(1, 64)
    masked = np.full((64, 1000), -np.inf, np.float32)
    masked[:, columns] = (embedded @ weights.T)[:, columns]
    own = (embedded @ weights[columns].T).argmax(axis=1)
    np.testing.assert_array_equal(np.asarray(columns)[own], masked.argmax(axis=1))


def test_embeddings_that_are_not_finite_stop_the_run():
    message = "tiny embeds 8 of a batch of 8 as NaN or infinite, the first is image 0 of the data set"
    with pytest.raises(UserError, match=message):
        evaluate(predictor=tiny.broken_predictor("image"))
