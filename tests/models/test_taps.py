"""What a tower gives on the way, models without a text tower, and adapters that do not fit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from lrjax.data.datasets import get_dataset, open_source
from lrjax.errors import UserError
from lrjax.models.build import Encoders, abstract_params, count_params, normalize_rows
from lrjax.models.predict import Predictor
from lrjax.models.zoo import get
from lrjax.questions import registry
from lrjax.questions.case import Setting
from lrjax.sharding import make_mesh

ROWS = (tiny.SIZE // tiny.PATCH) ** 2 + 1
IMAGES = np.random.default_rng(0).normal(size=(3, tiny.SIZE, tiny.SIZE, 3)).astype(np.float32)
PROMPTS = np.random.default_rng(1).normal(size=(2, tiny.WIDTH)).astype(np.float32)


@pytest.mark.parametrize("adaptation", [{}, {"tokens": tiny.random_tokens()}, {"prompts": PROMPTS}])
def test_taps_are_what_the_embedding_is_made_of(adaptation):
    encoders, params = Encoders(tiny.row().spec), tiny.params()
    rows = ROWS + len(adaptation.get("prompts", ()))
    taps = ("entry", "blocks", "attention", "normed")
    apply = jax.jit(encoders.apply, static_argnames="taps")
    found = jax.device_get(apply(params, IMAGES, adaptation, taps=taps))
    assert {name: array.shape for name, array in found.items()} == {
        "embedding": (3, tiny.EMBEDDING),
        "entry": (3, rows, tiny.WIDTH),
        "blocks": (tiny.DEPTH, 3, rows, tiny.WIDTH),
        "attention": (tiny.DEPTH, 3, tiny.HEADS, rows, rows),
        "normed": (3, rows, tiny.WIDTH),
    }
    alone = encoders.image(params, IMAGES, adaptation)
    np.testing.assert_allclose(found["embedding"], alone, atol=1e-6)
    head = params["image"]["head"]
    by_hand = found["normed"][:, 0] @ head["kernel"] + head.get("bias", np.zeros(()))
    np.testing.assert_allclose(normalize_rows(jnp.asarray(by_hand)), alone, atol=1e-6)
    last = found["blocks"][-1].astype(np.float32)
    centred = last - last.mean(axis=-1, keepdims=True)
    norm = params["image"]["norm"]
    scaled = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + tiny.row().spec.image.blocks.eps)
    np.testing.assert_allclose(found["normed"], scaled * norm["scale"] + norm["bias"], atol=1e-5)
    np.testing.assert_allclose(found["attention"].sum(axis=-1), 1, atol=1e-6)


def test_gradients_reach_what_is_tapped():
    encoders, params = Encoders(tiny.row().spec), tiny.params()

    def first(images):
        return encoders.apply(params, images, taps=("blocks",))["blocks"][0].sum()

    assert np.abs(jax.grad(first)(jnp.asarray(IMAGES))).max() > 1e-3


@pytest.mark.parametrize("name", ["ViT-B-32:openai", "RN50:openai", "ViT-B-16-SigLIP"])
def test_a_tap_that_is_not_there(name):
    spec = get(name).spec
    images = jax.ShapeDtypeStruct((1, spec.image.size, spec.image.size, 3), jnp.float32)

    def shapes(*taps):
        return jax.eval_shape(lambda p, x: Encoders(spec).apply(p, x, taps=taps), abstract_params(spec), images)

    with pytest.raises(UserError, match=r"the image tower has no tap 'logits'; use \w+, "):
        shapes("logits")
    if spec.image.transformer is None:
        assert shapes("stage4", "stage1")["stage1"].shape == (1, 56, 56, 256)
    else:
        assert shapes("normed")["normed"].shape == (1, spec.image.rows, spec.image.blocks.width)


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_without_a_text_tower(name):
    row = tiny.row()
    row = dataclasses.replace(row, spec=dataclasses.replace(row.spec, text=None))
    params = {key: part for key, part in tiny.params().items() if key != "text"}
    assert jax.tree.structure(abstract_params(row.spec)) == jax.tree.structure(params)
    assert count_params(params) < count_params(tiny.params())
    encoders = Encoders(row.spec)
    np.testing.assert_array_equal(
        encoders.image(params, IMAGES), Encoders(tiny.row().spec).image(tiny.params(), IMAGES)
    )
    with pytest.raises(UserError, match="no text tower"):
        encoders.text(params, np.zeros((1, tiny.CONTEXT), np.int32))
    with pytest.raises(UserError, match="tiny has no text tower"):
        Predictor(row, params, None, make_mesh(1)).text(["a"])
    dataset = get_dataset({"classes": "shapes", "captions": "captioned"}[registry.find(name).asks_of])
    datasets = [(dataset, open_source(dataset, count=3, seed=0))]
    with pytest.raises(UserError, match=r"compares images with texts, and mine has no text tower"):
        registry.find(name)().check(Setting(model="mine", variant="vanilla", backbone=row, datasets=datasets))


@pytest.mark.parametrize(
    ("name", "adaptation", "message"),
    [
        ("RN50:openai", {"prompts": PROMPTS}, "a ResNet has no patch rows, which visual prompts change"),
        ("RN50:openai", {"blocks": {}}, "a ResNet has no patch rows, which blocks change"),
        ("ViT-B-16-SigLIP", {"robust_token": {}}, "robust tokens need a class token from which"),
    ],
)
def test_adapters_that_do_not_fit(name, adaptation, message):
    with pytest.raises(UserError, match=message):
        Encoders(get(name).spec).image({"image": {}}, IMAGES, adaptation)
