"""The predict functions: embeddings on any devices, in any placement and precision, and the text classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrjax
import tiny
from lrjax.errors import UserError
from lrjax.models.build import Encoders
from lrjax.ops.preprocess import normalize
from lrjax.sharding import put_batch

PROMPTS = [[f"{noun} {k}" for noun in ("a", "some", "the")] for k in range(100)]


def views():
    return np.stack([[tiny.picture(3 * b + r, 32, 32) for r in range(3)] for b in range(8)])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("tokens", [None, tiny.random_tokens()], ids=["vanilla", "tokens"])
def test_embeddings_do_not_depend_on_devices_or_placement(tokens):
    native, adaptation = tiny.row().preprocess, {} if tokens is None else {"tokens": tokens}
    images = normalize(views().reshape(-1, 32, 32, 3), native.mean, native.std)
    expected = np.asarray(jax.jit(Encoders(tiny.row().spec).image)(tiny.params(), images, adaptation)).reshape(8, 3, -1)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=-1), 1, rtol=1e-6)
    for devices, placement in ((1, "replicate"), (8, "replicate"), (8, "fsdp")):
        predictor = tiny.predictor(devices, placement=placement)
        embedded = predictor.adapted(adaptation).image(put_batch(views(), predictor.mesh))
        assert embedded.dtype == jnp.float32
        assert len(embedded.addressable_shards) == devices
        np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_bfloat16_embeddings_are_close_and_float32():
    half, full = tiny.predictor(dtype=jnp.bfloat16), tiny.predictor()
    a, b = (np.asarray(one.image(put_batch(views(), one.mesh))) for one in (half, full))
    assert a.dtype == np.float32
    assert (a != b).any()
    assert (a * b).sum(axis=-1).min() > 0.999


@pytest.mark.parametrize("devices", [1, 3, 8])
def test_classifier_normalises_averages_and_normalises(devices):
    predictor = tiny.predictor(devices)
    actual = predictor.classifier(PROMPTS)  # 300 texts: more than one batch
    encode = jax.jit(Encoders(tiny.row().spec).text)
    expected = []
    for texts in PROMPTS:
        embedded = np.float64(encode(tiny.params(), predictor.tokenizer(texts)))
        expected.append(unit(unit(embedded).mean(axis=0)))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    # Normalising only at the end would give something else.
    assert len(np.unique(actual.round(4), axis=0)) == len(PROMPTS)


def test_text_order_and_count():
    predictor = tiny.predictor(8)
    texts = [f"text {index}" for index in range(11)]
    embedded = predictor.text(texts)
    assert embedded.shape == (11, tiny.EMBEDDING)
    np.testing.assert_allclose(predictor.text(texts[::-1]), embedded[::-1], atol=1e-6)
    np.testing.assert_allclose(predictor.text(texts[:1]), embedded[:1], atol=1e-6)


def test_texts_that_are_embedded_as_nan_are_refused():
    with pytest.raises(
        UserError, match="tiny embeds 256 of a batch of 256 as NaN or infinite, the first is text 'a 0'"
    ):
        tiny.broken_predictor("text").classifier(PROMPTS)


def test_images_that_are_embedded_as_nan_are_refused():
    pictures = [tiny.picture(index, 40, 40) for index in range(3)]
    with pytest.raises(UserError, match="tiny embeds 2 of a batch of 2 as NaN or infinite, the first is image 0"):
        lrjax.encode_image(tiny.broken_predictor("image"), pictures, batch_size=2)
