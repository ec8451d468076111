"""The optimizer against LAMB in numpy and in timm, and its schedule and groups."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import tiny
from lrjax.train.optim import layer_rates, make_optimizer
from torch_reference import import_torchvision

DEPTH = 2


def tree(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    tables = tuple(jnp.asarray(rng.normal(0, scale, (4, 3)), jnp.float32) for _ in range(DEPTH + 1))
    return {"tokens": tables, "log_scale": jnp.float32(2.659)}


def updates_of(options, gradients, parameters, total_steps):
    optimizer = make_optimizer(options, DEPTH, total_steps)
    state, found = optimizer.init(parameters), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        found.append(updates)
    return found


def reference_first_step(parameter, gradient, rate, decay):
    """LAMB (arXiv 1904.00962), algorithm 2, first step: the bias-corrected moments are the gradient and its square."""
    parameter, gradient = np.float64(parameter), np.float64(gradient)
    update = gradient / (np.abs(gradient) + 1e-6) + decay * parameter
    return -rate * np.linalg.norm(parameter) / np.linalg.norm(update) * update


def test_layer_rates():
    assert layer_rates(3, 0.5) == (1.0, 0.125, 0.25, 0.5)
    assert layer_rates(2, 1.0) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("clip_norm", [1e6, 1e-5])
def test_first_step_is_lamb_per_table(clip_norm):
    options = tiny.train_options(
        learning_rate=1e-2, scale_learning_rate=3e-3, layer_decay=0.5, weight_decay=0.05, clip_norm=clip_norm
    )
    # The lower bound clips gradients to the size of LAMB's epsilon, so that the clipping shows in the result.
    parameters, gradients = tree(0), tree(1)
    (updates,) = updates_of(options, [gradients], parameters, 100)
    norm = np.sqrt(sum(np.square(np.float64(leaf)).sum() for leaf in jax.tree.leaves(gradients)))
    clipped = jax.tree.map(lambda leaf: np.float64(leaf) * min(1.0, clip_norm / norm), gradients)
    for table, gradient, actual, factor in zip(
        parameters["tokens"], clipped["tokens"], updates["tokens"], (1.0, 0.25, 0.5), strict=True
    ):
        expected = reference_first_step(table, gradient, 1e-2 * factor, 0.05)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-9)
    # No weight decay on the temperature: the direction is the sign of the gradient, the trust ratio its own size.
    np.testing.assert_allclose(
        updates["log_scale"], reference_first_step([2.659], [clipped["log_scale"]], 3e-3, 0.0)[0], rtol=1e-5
    )


def test_steps_are_those_of_lamb_in_timm():
    import_torchvision()
    from timm.optim import Lamb

    options = tiny.train_options(learning_rate=1e-2, scale_learning_rate=3e-3, layer_decay=1.0, weight_decay=0.05)
    parameters, gradients = tree(0), [tree(seed) for seed in (1, 2, 3, 4)]
    tables = [torch.tensor(np.asarray(table), requires_grad=True) for table in parameters["tokens"]]
    scale = torch.tensor(2.659, requires_grad=True)
    groups = [{"params": tables, "weight_decay": 0.05}, {"params": [scale], "weight_decay": 0.0, "lr": 3e-3}]
    twin = Lamb(groups, lr=1e-2, eps=1e-6, max_grad_norm=None, always_adapt=True)
    for gradient in gradients:
        scale.grad = torch.tensor(float(gradient["log_scale"]))
        for table, wanted in zip(tables, gradient["tokens"], strict=True):
            table.grad = torch.tensor(np.asarray(wanted))
        twin.step()
    found = parameters
    for updates in updates_of(dataclasses.replace(options, clip_norm=1e9), gradients, parameters, 10**8):
        found = optax.apply_updates(found, updates)
    for table, expected in zip(found["tokens"], tables, strict=True):
        np.testing.assert_allclose(table, expected.detach(), rtol=1e-5, atol=1e-7)
    assert float(found["log_scale"]) == pytest.approx(scale.item(), rel=1e-6)


def test_gradients_above_the_bound_are_scaled_down():
    # Adam's first step hides the size of the gradient; the second moment of two unequal steps shows it.
    parameters, small = tree(0), jax.tree.map(lambda leaf: leaf * 1e-3, tree(1))
    large = jax.tree.map(lambda leaf: leaf * 1e3, small)
    bound = float(optax.global_norm(small))
    options = tiny.train_options(clip_norm=bound)
    clipped = updates_of(options, [large, small], parameters, 100)
    plain = updates_of(options, [small, small], parameters, 100)
    free = updates_of(tiny.train_options(clip_norm=1e9), [large, small], parameters, 100)
    for a, b, c in zip(clipped[1]["tokens"], plain[1]["tokens"], free[1]["tokens"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
        assert not np.allclose(b, c, rtol=1e-2)


def rates_over_time(options, total_steps):
    """The rate of every step: constant gradients make each LAMB update rate * |parameter| long."""
    optimizer = make_optimizer(options, DEPTH, total_steps)
    parameters = tree(0)
    state, update = optimizer.init(parameters), jax.jit(optimizer.update)
    found = []
    for _ in range(total_steps):
        updates, state = update(tree(1), state, parameters)
        lengths = jax.tree.map(lambda u, p: float(jnp.linalg.norm(u) / jnp.linalg.norm(p)), updates, parameters)
        found.append([*lengths["tokens"], lengths["log_scale"]])
    return np.array(found)


def test_schedule_warms_up_and_falls_to_zero_by_a_cosine():
    options = tiny.train_options(
        learning_rate=2e-3, scale_learning_rate=5e-4, layer_decay=0.5, warmup_steps=4, weight_decay=0.05
    )
    rates = rates_over_time(options, 44)
    np.testing.assert_allclose(rates[:5, 0], 2e-3 * np.arange(5) / 4, rtol=1e-4, atol=1e-9)
    cosine = (1 + np.cos(np.pi * np.arange(40) / 40)) / 2
    np.testing.assert_allclose(rates[4:, 0], 2e-3 * cosine, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(rates[4:, 3], 5e-4 * cosine, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(rates[:, 1:3], rates[:, :1] * [0.25, 0.5], rtol=1e-4, atol=1e-8)


def test_long_warmup_is_cut_to_a_tenth():
    rates = rates_over_time(tiny.train_options(learning_rate=1e-3, warmup_steps=2000), 30)
    assert rates[0, 0] == 0
    assert rates[:, 0].argmax() == 3
    assert rates[3, 0] == pytest.approx(1e-3, rel=1e-4)


def test_one_step_is_a_whole_schedule():
    (updates,) = updates_of(tiny.train_options(learning_rate=1e-3, warmup_steps=2000), [tree(1)], tree(0), 1)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(updates))


def test_temperature_without_gradient_stays():
    # Weight decay would shrink it.
    gradients = tree(1) | {"log_scale": jnp.float32(0)}
    for updates in updates_of(tiny.train_options(weight_decay=0.5), [gradients] * 3, tree(0), 10):
        assert float(updates["log_scale"]) == 0
