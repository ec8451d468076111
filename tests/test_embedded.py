"""The shipped backbone: its file, its row and what it can do."""

import jax
import numpy as np
import pytest

import checkpoints_conv
import tiny
from asking import ask
from lrjax.data.datasets import get_dataset, open_source
from lrjax.data.prompts import class_prompts
from lrjax.data.tokenizers import get_tokenizer
from lrjax.models import zoo
from lrjax.models.build import abstract_params, count_params
from lrjax.models.predict import Predictor
from lrjax.questions.zeroshot import ZeroShot
from lrjax.sharding import REPLICATE, make_mesh
from lrjax.weights.checkpoint import load_params, locate

ROW = zoo.get("EVA02-embedded")
DATASETS = ("shapes", "textures", "letters", "scenes", "colours", "combinations")


@pytest.fixture(scope="module")
def predictor():
    mesh = make_mesh(1)
    params = load_params(ROW, "embedded", target=abstract_params(ROW.spec))
    tokenizer = get_tokenizer(f"file:{locate('embedded').parent / 'tokenizer.json'}", ROW.spec.text.context)
    return Predictor(ROW, tiny.place_tree(params, mesh, REPLICATE), tokenizer, mesh)


def test_file_is_small_and_in_the_layout_of_open_clip():
    path = locate("embedded")
    assert path.stat().st_size <= 20e6
    assert (path.parent / "README.md").is_file(), "the checkpoint has no card"
    with checkpoints_conv.open_checkpoint(path) as reader:
        assert checkpoints_conv.recognise(reader.keys()) == "open_clip_eva"
        target = abstract_params(ROW.spec)
        tree = checkpoints_conv.convert(reader, checkpoints_conv.FORMATS["open_clip_eva"].TABLE, target)
        back = checkpoints_conv.export(tree, checkpoints_conv.FORMATS["open_clip_eva"].TABLE)
        assert set(back) == set(reader.keys())
        for key, value in back.items():
            np.testing.assert_array_equal(value, reader.read(key))
    assert count_params(target) == ROW.parameters
    assert count_params(target["image"]) == ROW.image_parameters


def test_real_zero_shot_model_that_falls_with_resolution(predictor):
    accuracy = {}
    for name in DATASETS:
        dataset = get_dataset(name)
        classifier = predictor.classifier(class_prompts(dataset.classes, dataset.templates))
        source = open_source(dataset, count=10 * len(dataset.classes), seed=17)
        answer = ask(ZeroShot(resolutions=(16,)), source, classifier, predictor=predictor, batch_size=64)
        found = {cell: value for cell, (value, _) in answer.values.items()}
        accuracy[name] = found["acc1", 16], found["acc1", "hr"]
        assert found["acc1", "hr"] >= 3 / len(dataset.classes), name
    low, native = np.mean(list(accuracy.values()), axis=0)
    assert native >= 0.65
    assert native - low >= 0.15


def test_embeddings_do_not_depend_on_the_batch(predictor):
    views = jax.random.randint(jax.random.key(0), (4, 1, 224, 224, 3), 0, 256).astype(np.uint8)
    together = predictor.image(views)
    alone = predictor.image(views[:1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
