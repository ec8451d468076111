"""What can be trained beside a backbone: losses and gradients against PyTorch, what stays frozen, every family."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
import torch_twin
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.adaptation import LastBlocks, last_blocks
from lrjax.models.build import Encoders
from lrjax.models.lr_tokens import token_shape
from lrjax.sharding import make_mesh, put_batch, to_host
from lrjax.train.distill import Distiller, ViewMaker
from lrjax.train.loop import caption_numbers, check_training
from lrjax.train.optim import make_optimizer
from lrjax.train.trainable import adaptation_of, check_method

pytestmark = pytest.mark.usefixtures("light_compilation")
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)

BATCH, SIDE, CAPTIONS = 8, 40, 5
NUMBERS = np.arange(BATCH, dtype=np.int32) % CAPTIONS
METHODS = {
    "late tokens and classifier": {"first_block": 1, "captions": CAPTIONS},
    "fine-tuning": {"tokens": False, "unfrozen": 0.5},
    "prompts": {"tokens": False, "prompts": 3, "clamp_scale": False},
    "all": {"unfrozen": 0.5, "prompts": 3, "captions": CAPTIONS, "shared_crop": True},
}


def make_distiller(row=None, **changes):
    row, options = row or tiny.row(), tiny.train_options(**changes)
    return Distiller(row, Encoders(row.spec), options, make_optimizer(options, row.spec.image.blocks.depth, 50))


def training_images():
    return np.stack([tiny.picture(index, SIDE, SIDE) for index in range(BATCH)])


@functools.cache
def make_views():
    return np.asarray(jax.jit(ViewMaker.create(tiny.train_options(), tiny.SIZE))(jax.random.key(1), training_images()))


@functools.cache
def gradient_of(method, **changes):
    """The trainable tree, moved off its beginning, with loss and gradient."""
    distiller = make_distiller(**METHODS[method], **changes)
    trainable = jax.device_get(distiller.init(0, tiny.params())["trainable"])
    rng = np.random.default_rng(3)
    trainable = jax.tree.map(lambda leaf: np.float32(leaf + 0.05 * rng.normal(size=leaf.shape)), trainable)
    captions = NUMBERS if "captions" in METHODS[method] else None
    loss, gradient = jax.jit(distiller.gradient)(trainable, tiny.params(), make_views(), captions)
    return trainable, float(loss), jax.device_get(gradient)


def twin_gradient(trainable):
    spec, native, params = tiny.row().spec.image, tiny.row().preprocess, torch_twin.to_torch(tiny.params()["image"])
    leaves, structure = jax.tree.flatten(trainable)
    leaves = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    tree = jax.tree.unflatten(structure, leaves)
    tokens = tree.get("tokens")
    if tokens is not None:
        tokens = [None] * (tiny.DEPTH + 1 - len(tokens)) + list(tokens)
    views = make_views()
    images = (torch.from_numpy(views.copy()).float() / 255 - torch.tensor(native.mean)) / torch.tensor(native.std)
    with torch.no_grad():
        teacher = torch_twin.image_tower(params, images[:, 0], spec)
    students = [
        torch_twin.image_tower(
            params, images[:, index], spec, tokens, prompts=tree.get("prompts"), replaced=tree.get("blocks")
        )
        for index in range(views.shape[1])
    ]
    loss = torch_twin.distillation_loss(teacher, students, tree["log_scale"])
    if "classifier" in tree:
        kernel, bias = tree["classifier"]["kernel"], tree["classifier"]["bias"]
        loss = loss + sum(F.cross_entropy(s @ kernel + bias, torch.tensor(NUMBERS).long()) for s in students)
    loss.backward()
    return loss.item(), jax.tree.unflatten(structure, [leaf.grad.numpy() for leaf in leaves])


def assert_close(actual, wanted, bound):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(wanted), strict=True):
        assert np.linalg.norm(a - b) <= bound * np.linalg.norm(b) + 1e-7, path


@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradients_equal_pytorch(method):
    trainable, loss, gradient = gradient_of(method)
    expected, wanted = twin_gradient(trainable)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_close(gradient, wanted, 1e-4)
    assert all(np.linalg.norm(leaf) > 1e-5 for leaf in jax.tree.leaves(wanted))


def test_the_trees_hold_what_the_options_say():
    late, tuned, prompts, every = (gradient_of(method)[0] for method in METHODS)
    assert late.keys() == {"log_scale", "tokens", "classifier"}
    assert len(late["tokens"]) == tiny.DEPTH - 1
    assert len(every["tokens"]) == tiny.DEPTH + 1
    assert tuned.keys() == {"log_scale", "blocks"}
    assert prompts.keys() == {"log_scale", "prompts"}
    assert every.keys() == {"log_scale", "tokens", "prompts", "blocks", "classifier"}
    assert tuned["blocks"].keys() == {"1"}
    assert prompts["prompts"].shape == (3, tiny.WIDTH)
    adaptation = adaptation_of(late, tiny.row().spec.image)
    assert adaptation.keys() == {"tokens"}
    assert not np.any(adaptation["tokens"][:2])
    np.testing.assert_array_equal(adaptation["tokens"][2:], np.stack(late["tokens"]))


@pytest.mark.parametrize("remat", [SLOW("none"), "selective", SLOW("full")])
def test_microbatches_have_the_gradient_of_the_batch(remat):
    _, loss, gradient = gradient_of("all")
    _, parts_loss, parts = gradient_of("all", microbatches=4, remat=remat)
    assert parts_loss == pytest.approx(loss, rel=1e-6)
    assert_close(parts, gradient, 1e-5)


@functools.cache
def five_steps(devices=1, placement="replicate", **changes):
    """The trainable tree before and after five steps of all methods at once, losses, predictor and state."""
    predictor = tiny.predictor(devices, placement=placement)
    distiller = make_distiller(**METHODS["all"], unfrozen_rate=0.5, **changes)
    distiller = dataclasses.replace(distiller, encoders=predictor.encoders)
    layout = distiller.layout(predictor.params, predictor.mesh)
    state = jax.jit(lambda params: distiller.init(0, params), out_shardings=layout)(predictor.params)
    before, losses = jax.device_get(state["trainable"]), []
    step = distiller.make_step(predictor.mesh, 5, layout=layout)
    images, captions = put_batch((training_images(), NUMBERS), predictor.mesh)
    for _ in range(5):
        state, log = step(state, predictor.params, images, captions)
        losses.append(float(log["loss"]))
    return before, jax.device_get(state["trainable"]), losses, predictor, state


@pytest.mark.slow
def test_sharding_and_microbatches_do_not_change_five_steps():
    *_, losses, _, _ = five_steps()
    *_, others, _, state = five_steps(4, "fsdp", microbatches=2)
    assert others == pytest.approx(losses, rel=1e-5)  # 4e-7 was seen
    check_parts(state, 4)


def check_parts(state, devices):
    """Matrices of the unfrozen block and their moments are spread over the devices, all else is whole on each."""
    spread = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        parts = devices if "/blocks/" in name and name.endswith("kernel") else 1
        assert {shard.data.size for shard in leaf.addressable_shards} == {leaf.size // parts}, name
        spread += parts > 1
    assert spread == 3 * 7  # value and two moments of q, k, v, out, gate, up and down


def test_unfrozen_blocks_lie_on_eight_devices_as_those_of_the_backbone():
    distiller, predictor = make_distiller(**METHODS["all"]), tiny.predictor(8, placement="fsdp")
    layout = distiller.layout(predictor.params, predictor.mesh)
    state = jax.jit(lambda params: distiller.init(0, params), out_shardings=layout)(predictor.params)
    check_parts(state, 8)
    jax.tree.map(np.testing.assert_array_equal, to_host(state["trainable"]["blocks"]), last_blocks(tiny.params(), 1))


def test_five_steps_move_what_is_trained_and_no_other_bit():
    before, after, losses, predictor, _ = five_steps()
    jax.tree.map(np.testing.assert_array_equal, before["blocks"], last_blocks(tiny.params(), 1))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(predictor.params), tiny.params())
    moved = jax.tree.map(lambda old, new: np.abs(old - new).max(), before, after)
    assert min(jax.tree.leaves(moved)) > 0, moved
    assert losses[-1] < losses[0]
    params = tiny.params()
    whole = params | {"image": LastBlocks(after["blocks"]).params(params["image"])}
    jax.tree.map(np.testing.assert_array_equal, whole["text"], tiny.params()["text"])
    for old, new in zip(
        jax.tree.leaves(tiny.params()["image"]["blocks"]), jax.tree.leaves(whole["image"]["blocks"]), strict=True
    ):
        np.testing.assert_array_equal(old[0], new[0])
        assert not np.array_equal(old[1], new[1])


def test_a_predictor_embeds_with_its_adaptation():
    trainable = gradient_of("all")[0]
    predictor, native = tiny.predictor(), tiny.row().preprocess
    adaptation = adaptation_of(trainable, tiny.row().spec.image)
    views = make_views()
    embedded = np.asarray(predictor.adapted(adaptation).image(views))
    images = (torch.from_numpy(views[:, 1].copy()).float() / 255 - torch.tensor(native.mean)) / torch.tensor(native.std)
    tree = torch_twin.to_torch({name: trainable[name] for name in ("prompts", "blocks")})
    expected = torch_twin.image_tower(
        torch_twin.to_torch(tiny.params()["image"]),
        images,
        tiny.row().spec.image,
        [torch.from_numpy(table) for table in trainable["tokens"]],
        prompts=tree["prompts"],
        replaced=tree["blocks"],
    )
    np.testing.assert_allclose(embedded[:, 1], expected.numpy(), atol=1e-5)
    assert not np.allclose(embedded, predictor.image(views), atol=1e-3)


FAMILIES = {
    "CLIP and MetaCLIP": "ViT-B-32-quickgelu:metaclip_fullcc",
    "SigLIP": "ViT-B-16-SigLIP:webli",
    "CLIPA": "ViT-L-14-CLIPA:datacomp1b",
    "CoCa": "coca_ViT-B-32:laion2b_s13b_b90k",
}


def tiny_family(name):
    base = zoo.get(name)
    image, text = base.spec.image, base.spec.text
    blocks = dataclasses.replace(image.blocks, width=16, depth=2, heads=2, hidden=24)
    heads = {"queries": 3} if image.queries else {}
    heads |= {"pool_heads": 2} if image.pool_heads else {}
    image = dataclasses.replace(image, size=24, patch=8, embedding=16, blocks=blocks, **heads)
    text_blocks = dataclasses.replace(text.blocks, width=16, depth=1, heads=2, hidden=24)
    text = dataclasses.replace(text, vocabulary=32, embedding=16, blocks=text_blocks)
    return dataclasses.replace(base, spec=dataclasses.replace(base.spec, image=image, text=text))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_tokens_of_its_own_grid(family):
    row = tiny_family(FAMILIES[family])
    distiller, params = make_distiller(row, prompts=2), tiny.random_params(row.spec)
    trainable = distiller.init(0)["trainable"]
    assert token_shape(row.spec.image) == (3, 9, 16)
    assert [table.shape for table in trainable["tokens"]] == [(9, 16)] * 3
    views = np.stack([[tiny.picture(10 * i + j, 24, 24) for j in range(3)] for i in range(4)])

    @jax.jit
    def run(trainable, params, views):
        without = {"tokens": tuple(jnp.zeros_like(table) for table in trainable["tokens"])}
        students = [distiller.study(tree, params, views[:, 0]) for tree in (trainable, without)]
        return distiller.gradient(trainable, params, views), distiller.teach(params, views[:, 0]), *students

    (loss, gradient), vanilla, student, unchanged = run(trainable, params, views)
    assert np.isfinite(float(loss))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    np.testing.assert_allclose(unchanged, vanilla, atol=2e-6)
    assert not np.allclose(student, vanilla, atol=1e-3)


def test_impossible_methods_are_refused():
    with pytest.raises(UserError, match=r"first_block is 2, but tiny.* has the blocks 0 to 1"):
        check_method(tiny.train_options(first_block=2), tiny.row())
    with pytest.raises(UserError, match="RN50:openai is a ResNet"):
        check_method(tiny.train_options(), zoo.get("RN50:openai"))


def test_caption_numbers_are_checked():
    batch = {"id": np.array(["a/1.png", "b/2.png"]), "label": np.array([3, 4])}
    np.testing.assert_array_equal(caption_numbers(batch, 5), [3, 4])
    with pytest.raises(UserError, match=r"b/2\.png has caption 4, but config\.train\.captions=4"):
        caption_numbers(batch, 4)
    with pytest.raises(UserError, match=r"a/1\.png has no caption number"):
        caption_numbers({"id": batch["id"]}, 4)


def test_images_without_captions_are_refused_before_anything_long(tmp_path):
    images = tiny.write_training_images(tmp_path / "images")
    config = tiny.config(tmp_path / "run", tiny.train_options(root=str(images), captions=5))
    with pytest.raises(UserError, match=r"011\.png has no caption number, which config\.train\.captions=5 needs"):
        check_training(config, make_mesh(1), row=tiny.row())
    assert not (tmp_path / "run").exists()


def test_the_classifier_needs_every_number_of_the_images(tmp_path):
    options = {"count": 8, "images_per_caption": 2, "captions": 4, "steps": 2}
    source, steps = check_training(tiny.config(tmp_path, tiny.train_options(**options)), make_mesh(1), row=tiny.row())
    assert (len(source), source[7]["label"], steps) == (8, 3, 2)
    few = tiny.config(tmp_path, tiny.train_options(**options | {"captions": 3}))
    with pytest.raises(
        UserError, match=r"captions/1/000003/001 has caption 3, but config\.train\.captions=3 counts 0 to 2"
    ):
        check_training(few, make_mesh(1), row=tiny.row())
    alone = tiny.config(tmp_path, tiny.train_options(**options | {"images_per_caption": 0}))
    with pytest.raises(
        UserError, match=r"no caption number.*of procedural ones, set config\.train\.images_per_caption"
    ):
        check_training(alone, make_mesh(1), row=tiny.row())
