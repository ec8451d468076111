"""float32 is float32 on every device: what programs ask of TPUs and GPUs, which round products unless told not to."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType

import tiny
from lrjax.models import zoo
from lrjax.models.build import Encoders, abstract_params, similarities
from lrjax.models.predict import Predictor
from lrjax.ops.preprocess import batch_view_taps
from lrjax.ops.zoom import ANCHORS, batch_window_taps, stack_window_taps, window_shape, zoom_spec
from lrjax.questions import bench
from lrjax.questions.bench import view_spec
from lrjax.questions.case import Views
from lrjax.questions.zoom import question as zoom
from lrjax.questions.zoom import views as zoom_views
from lrjax.sharding import REPLICATE, batch_sharding, make_mesh, replicated, tree_shardings
from lrjax.train.distill import Distiller
from lrjax.train.optim import make_optimizer

BATCH, VIEWS, CLASSES, CAPTIONS, SIDE = 8, 2, 7, 3, 40
MODELS = {"RN50", *{row.family: row.name for row in zoo.BACKBONES.values()}.values()}  # one of each family
METHODS = {
    "tokens": {},
    "much": {"prompts": 2, "unfrozen": 0.5, "captions": CAPTIONS, "microbatches": 2},
    "robust token": {"tokens": False, "robust_token": True, "captions": CAPTIONS},
}
PRODUCT = re.compile(r"stablehlo\.(?:dot_general|convolution)\b")


def products(lowered):
    """(precisions, operands) of every matrix product and convolution of a program, as StableHLO writes them."""
    lines = [line for line in lowered.as_text().splitlines() if PRODUCT.search(line)]
    return [
        (set(re.findall(r"\b(?:DEFAULT|HIGH|HIGHEST)\b", line)), tuple(re.findall(r"tensor<([^>]+)>", line)[:2]))
        for line in lines
    ]


def precisions(lowered):
    return set().union(*(found for found, _ in products(lowered)))


def arrays(*shape, dtype=jnp.float32, sharding=None):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def abstract(tree, shardings):
    return jax.tree.map(lambda leaf, place: arrays(*leaf.shape, dtype=leaf.dtype, sharding=place), tree, shardings)


def predictor(mesh, row=None, dtype=jnp.float32):
    row = row or tiny.row()
    params = abstract_params(row.spec)
    return Predictor(row, abstract(params, tree_shardings(params, mesh, REPLICATE)), None, mesh, dtype=dtype)


def lower_image(mesh, row=None, dtype=jnp.float32):
    model = predictor(mesh, row, dtype)
    size = model.row.spec.image.size
    views = arrays(BATCH, VIEWS, size, size, 3, dtype=jnp.uint8, sharding=batch_sharding(mesh))
    native = model.row.preprocess
    return model._image.lower(model.params, {}, views, (native.mean, native.std))


def lower_text(mesh, row=None, dtype=jnp.float32):
    model = predictor(mesh, row, dtype)
    ids = arrays(BATCH, model.row.spec.text.context, dtype=jnp.int32, sharding=batch_sharding(mesh))
    return model._text.lower(model.params, ids)


def embeddings(mesh, views=VIEWS):
    rows = arrays(BATCH, views, tiny.EMBEDDING, sharding=batch_sharding(mesh))
    return rows, arrays(CLASSES, tiny.EMBEDDING, sharding=replicated(mesh))


def lower_zeroshot(mesh):
    return bench._reader(mesh, embedding=False).lower(*embeddings(mesh))


def lower_zoom(mesh):
    score, *_ = zoom._programs(mesh)
    rows, scales = batch_sharding(mesh), 4
    totals = arrays(BATCH, 1, CLASSES, sharding=rows)
    label = arrays(BATCH, 1, dtype=jnp.int32, sharding=rows)
    members = np.zeros((scales, len(ANCHORS), 1), bool)
    return score.lower(*embeddings(mesh, scales * len(ANCHORS)), label, members, (totals, totals))


def lower_zoom_crops(mesh):
    return zoom._programs(mesh)[1].lower(*embeddings(mesh, 21))


def lower_step(mesh, method="tokens", dtype=jnp.float32):
    row, options = tiny.row(), tiny.train_options(**METHODS[method])
    model = predictor(mesh, row, dtype)
    optimizer = make_optimizer(options, row.spec.image.blocks.depth, 50)
    distiller = Distiller(row, Encoders(row.spec, dtype, mesh), options, optimizer)
    layout = distiller.layout(model.params, mesh)
    state = abstract(jax.eval_shape(distiller.init, 0, model.params), layout)
    images = arrays(BATCH, SIDE, SIDE, 3, dtype=jnp.uint8, sharding=batch_sharding(mesh))
    captions = arrays(BATCH, dtype=jnp.int32, sharding=batch_sharding(mesh)) if options.captions else None
    return distiller.make_step(mesh, 0, layout=layout).lower(state, model.params, images, captions)


SCORES = {"zeroshot": lower_zeroshot, "zoom": lower_zoom, "zoom crops": lower_zoom_crops}


@pytest.mark.parametrize("tower", [lower_image, lower_text])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_product_of_a_float32_tower_is_float32(model, tower):
    with jax.default_matmul_precision("tensorfloat32"):
        assert precisions(tower(make_mesh(1), zoo.get(model))) == {"HIGHEST"}
        assert jax.config.jax_default_matmul_precision == "tensorfloat32"


@pytest.mark.parametrize("tower", [lower_image, lower_text])
def test_bfloat16_towers_multiply_as_jax_is_configured(tower):
    assert precisions(tower(make_mesh(1), dtype=jnp.bfloat16)) == {"DEFAULT"}
    with jax.default_matmul_precision("tensorfloat32"):
        assert precisions(tower(make_mesh(1), dtype=jnp.bfloat16)) == {"HIGH"}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_float32_in_every_precision(name):
    assert precisions(SCORES[name](make_mesh(1))) == {"HIGHEST"}


@pytest.mark.parametrize("method", METHODS)
def test_every_product_of_a_float32_step_is_float32(method):
    assert precisions(lower_step(make_mesh(1), method)) == {"HIGHEST"}


def test_the_losses_of_a_bfloat16_step_are_float32():
    contrast = {("8x16xf32", "16x8xf32"), ("8x8xf32", "8x16xf32"), ("8x8xf32", "16x8xf32")}  # of embeddings [8, 16]
    captions = {("1x8x16xf32", "16x3xf32"), ("1x8x3xf32", "1x8x16xf32"), ("1x8x3xf32", "16x3xf32")}
    found = products(lower_step(make_mesh(1), "much", jnp.bfloat16))
    assert {operands for precision, operands in found if precision == {"HIGHEST"}} == contrast | captions
    assert {operands for precision, operands in found if precision == {"DEFAULT"}}.isdisjoint(contrast | captions)


def test_similarities_of_bfloat16_rows_are_float32():
    a, b = (jnp.asarray(tiny.unit_rows(seed, 5), jnp.bfloat16) for seed in (1, 2))
    found = similarities(a, b)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.float64(a) @ np.float64(b).T, atol=1e-6)


def test_resampling_has_integers_only():
    model = predictor(make_mesh(1))
    specs = [view_spec(model.row, Views(resolution=side)) for side in (8, None)]
    sizes = np.full((BATCH, 2), SIDE)
    stages = tuple(batch_view_taps(sizes, spec, canvas=SIDE) for spec in specs)
    views = model._views.lower(arrays(BATCH, SIDE, SIDE, 3, dtype=jnp.uint8), stages, None)
    window = zoom_spec(64, size=tiny.SIZE)
    taps = stack_window_taps([batch_window_taps(sizes, window, shape=window_shape(sizes, window))])
    render = zoom_views._renderer(model.mesh, window.size, window.places)
    windows = render.lower(arrays(BATCH, 64, 64, 3, dtype=jnp.uint8), taps)
    for lowered in (views, windows):
        assert "xi32>" in lowered.as_text()
        assert not re.search(r"xb?f\d+>", lowered.as_text())


def test_a_tpu_compiler_multiplies_in_float32(monkeypatch):
    pytest.importorskip("libtpu", reason="libtpu, with which JAX compiles for TPUs without one, is not installed")
    for name, value in {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else a second process stops at a lock file
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }.items():
        monkeypatch.setenv(name, value)
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    for lower in (lower_image, lower_text, *SCORES.values(), lower_step):
        program = lower(mesh).compile().as_text()
        found = re.findall(r" (?:convolution|dot)\(.*", program)
        assert found
        assert all("operand_precision={highest,highest}" in line for line in found)
        assert "bf16[" not in program
