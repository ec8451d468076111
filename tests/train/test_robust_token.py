"""RobustSAM for classification against the same method written again in PyTorch."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F

import tiny
import torch_twin
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import Encoders
from lrjax.models.predict import Predictor
from lrjax.sharding import make_mesh, put_batch, replicated
from lrjax.train.distill import Distiller
from lrjax.train.optim import make_optimizer
from lrjax.train.trainable import adaptation_of, check_method
from lrjax.weights.token_file import read_adaptation, write_adaptation
from torch_twin import linear

pytestmark = pytest.mark.usefixtures("light_compilation")

BATCH, SIZE = 6, 40  # a grid of 5 x 5, which the four cells of the selection do not divide


@functools.cache
def row():
    image = dataclasses.replace(tiny.row().spec.image, size=SIZE)
    return dataclasses.replace(tiny.row(), spec=dataclasses.replace(tiny.row().spec, image=image))


@functools.cache
def params():
    return tiny.random_params(row().spec)


@functools.cache
def distiller():
    options = tiny.train_options(tokens=False, robust_token=True)
    return Distiller(row(), Encoders(row().spec), options, make_optimizer(options, tiny.DEPTH, 50))


@functools.cache
def gradient():
    """Loss and gradient on two devices, over which the batch norms see the whole batch."""
    mesh = make_mesh(2)
    compiled = jax.jit(distiller().gradient, out_shardings=replicated(mesh))
    frozen = jax.device_put(params(), replicated(mesh))
    views = np.stack([[tiny.picture(10 * i + j, SIZE, SIZE) for j in range(3)] for i in range(BATCH)])
    placed = put_batch(views, mesh)
    return frozen, views, lambda tree: compiled(jax.device_put(tree, replicated(mesh)), frozen, placed)


def convolution(x, layer, **options):
    return F.conv2d(x, layer["kernel"].permute(3, 2, 0, 1), layer.get("bias"), **options)


def double(x, layer):
    return F.conv_transpose2d(x, layer["kernel"].permute(0, 3, 1, 2), layer["bias"], stride=2)


def select(x, module):
    norm = module["batch_norm"]
    batch = F.batch_norm(x, None, None, norm["scale"], norm["bias"], training=True)
    batch = convolution(F.leaky_relu(batch), module["batch"], padding=1)
    instance = convolution(F.leaky_relu(F.instance_norm(x)), module["instance"], padding=1)
    cells = F.adaptive_avg_pool2d(batch + instance, 4).permute(0, 2, 3, 1)
    squeezed = linear(cells.flatten(1), module["select"]["squeeze"]).relu()
    scores = torch.stack(
        [linear(squeezed, module["select"][name]).reshape(cells.shape) for name in ("batch", "instance")]
    )
    shares = scores.softmax(dim=0).permute(0, 1, 4, 2, 3)
    shares = [F.interpolate(share, scale_factor=x.shape[-1] / 4, mode="nearest") for share in shares]
    return batch * shares[0] + instance * shares[1]


def features(x, module, clear):
    """[B, N, D] patch rows to [B, D / 8, 4 G, 4 G]."""
    grid = round(x.shape[1] ** 0.5)
    x = x.transpose(1, 2).reshape(len(x), -1, grid, grid)
    if not clear:
        x = torch.cat([x, select(x, module)], dim=1)
        weights = linear(
            linear(x.mean(dim=(2, 3)), module["attention"]["squeeze"]).relu(), module["attention"]["excite"]
        )
        spectrum = torch.fft.fft2(x * weights.sigmoid()[:, :, None, None])
        magnitude = linear(spectrum.abs().permute(0, 2, 3, 1), module["magnitude"]).permute(0, 3, 1, 2)
        x = torch.fft.ifft2(torch.polar(torch.ones_like(magnitude), spectrum.angle()) * magnitude).real
        x = convolution(x, module["merge"], padding=1)
    x = double(x, module["double"]).permute(0, 2, 3, 1)
    x = torch_twin.norm(x, module["norm"], 1e-6).permute(0, 3, 1, 2)
    return double(F.gelu(x), module["double_again"])


def read_class_row(x, layers):
    for _ in range(2):
        x = F.instance_norm(x[:, None])[:, 0]
    for index in range(5):
        x = linear(x, layers[str(index)])
        x = x.relu() if index in (0, 2, 3) else x
    return x


def embed(images, tree=None, *, clear=False):
    """Embeddings, and the features of both depths together."""
    found = []

    def read(first, last):
        if tree is not None:
            modules = tree["denoisers"]
            found.append(features(first, modules["first"], clear) + features(last[:, 1:], modules["last"], clear))
        return last[:, 0] if clear else read_class_row(last[:, 0], tree["robust_token"]["readout"])

    class_token = None if clear else tree["robust_token"]["class_token"]
    tower = torch_twin.to_torch(params()["image"])
    embedded = torch_twin.image_tower(tower, images, row().spec.image, class_token=class_token, read=read)
    return embedded, found[0]


def normalized(views):
    native = row().preprocess
    return (torch.from_numpy(views.copy()).float() / 255 - torch.tensor(native.mean)) / torch.tensor(native.std)


def test_loss_and_gradients_equal_pytorch():
    rng = np.random.default_rng(3)  # off the beginning, where scales are one and shifts zero
    trainable = jax.device_get(distiller().init(0)["trainable"])
    trainable = jax.tree.map(lambda leaf: np.float32(leaf + 0.02 * rng.normal(size=leaf.shape)), trainable)
    _, views, run = gradient()
    loss, found = jax.device_get(run(trainable))
    leaves, structure = jax.tree.flatten(trainable)
    leaves = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    tree, images = jax.tree.unflatten(structure, leaves), normalized(views)
    with torch.no_grad():
        teacher, clear = embed(images[:, 0], tree, clear=True)
    low = torch.cat([images[:, index] for index in range(1, 3)])  # one batch, as for the batch norms
    students, restored = embed(low, tree)
    expected = 0.0
    for index in range(2):
        view = slice(index * BATCH, (index + 1) * BATCH)
        expected += (students[view] - teacher).square().sum(dim=-1).mean() + (restored[view] - clear).square().mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    wanted = jax.tree.unflatten(structure, [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves])
    assert (found.pop("log_scale"), wanted.pop("log_scale")) == (0, None)
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
        assert np.linalg.norm(other) > 1e-7, path
        assert np.linalg.norm(leaf - other) <= 1e-4 * np.linalg.norm(other), path


def test_steps_move_what_is_trained_and_no_other_bit(tmp_path):
    frozen, views, run = gradient()
    state = jax.device_get(distiller().init(0))
    before = after = state["trainable"]
    optimizer, losses = state["optimizer"], []
    update = jax.jit(distiller().optimizer.update)
    for _ in range(4):
        loss, found = jax.device_get(run(after))
        losses.append(float(loss))
        updates, optimizer = update(found, optimizer, after)
        after = jax.device_get(optax.apply_updates(after, updates))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(frozen), params())
    moved = jax.tree.map(lambda old, new: np.abs(old - new).max(), before, after)
    assert moved.pop("log_scale") == 0
    assert min(jax.tree.leaves(moved)) > 0, moved
    assert losses[-1] < losses[0]

    adaptation = adaptation_of(after, row().spec.image)
    assert adaptation.keys() == {"robust_token"}
    write_adaptation(tmp_path / "tokens.safetensors", adaptation, model=row().name, facts={})
    read = read_adaptation(tmp_path / "tokens.safetensors", row())[0]
    jax.tree.map(np.testing.assert_array_equal, read, adaptation)
    vanilla = Predictor(row(), frozen, tiny.tokenizer(), make_mesh(2))
    embedded = np.asarray(vanilla.adapted(read).image(views))
    np.testing.assert_array_equal(embedded, vanilla.adapted(adaptation).image(views))
    expected = embed(normalized(views[:, 1]), torch_twin.to_torch(after))[0]
    np.testing.assert_allclose(embedded[:, 1], expected.numpy(), atol=1e-5)
    with pytest.raises(UserError, match=r"its robust_token/class_token has the shape \[32\], but .* needs \[128\]"):
        read_adaptation(tmp_path / "tokens.safetensors", zoo.get("EVA02-embedded"))


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP:webli", "coca_ViT-B-32:laion2b_s13b_b90k"])
def test_backbones_without_a_class_row_are_refused(name):
    with pytest.raises(UserError, match="does not read its embedding from a class token"):
        check_method(tiny.train_options(robust_token=True), zoo.get(name))
