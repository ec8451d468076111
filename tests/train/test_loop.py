"""Whole trainings: continued after an interruption, finished earlier, refused."""

import copy
import dataclasses
import shutil

import numpy as np
import pytest

import tiny
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.train import loop
from lrjax.train.distill import Distiller

pytestmark = pytest.mark.usefixtures("light_compilation")


class Steps:
    """Compiles each training once, counts its steps and interrupts it when told to."""

    def __init__(self, original):
        self.original, self.compiled = original, {}
        self.reset()

    def reset(self, stop_at=None):
        self.calls, self.stop_at, self.log = 0, stop_at, []

    def __call__(self, distiller, mesh, seed, **options):
        key = (distiller.config, mesh, seed)
        if key not in self.compiled:
            self.compiled[key] = self.original(distiller, mesh, seed, **options)

        def step(state, frozen, images, captions=None):
            if self.calls == self.stop_at:
                raise KeyboardInterrupt
            self.calls += 1
            self.log.append((int(state["step"]), np.asarray(images)))
            return self.compiled[key](state, frozen, images, captions)

        return step


_STEPS = Steps(Distiller.make_step)


@pytest.fixture
def steps(monkeypatch):
    _STEPS.reset()
    monkeypatch.setattr(Distiller, "make_step", lambda *args, **options: _STEPS(*args, **options))
    return _STEPS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_training_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def predictor():
    return tiny.predictor(4)


def train(workdir, folder, predictor, *, weights="abc", seed=0, **changes):
    # 12 images in batches of 8: the six steps cross epochs.
    options = tiny.train_options(**({"steps": 6, "root": str(folder)} | changes))
    return np.asarray(loop.train_tokens(tiny.config(workdir, options, seed=seed), predictor, weights=weights)["tokens"])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, folder, predictor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distiller, "make_step", lambda *args, **options: _STEPS(*args, **options))
        _STEPS.reset()
        tokens = train(tmp_path_factory.mktemp("whole"), folder, predictor)
        return tokens, _STEPS.log


def test_tokens_of_a_whole_training(uninterrupted, predictor):
    tokens, log = uninterrupted
    assert tokens.shape == (tiny.DEPTH + 1, 16, tiny.WIDTH)
    assert tokens.dtype == np.float32
    assert np.isfinite(tokens).all()
    assert [step for step, _ in log] == list(range(6))


@pytest.mark.parametrize(("done", "kept"), [(3, 2), (5, 4)])
def test_interrupted_training_gives_the_same_bits(tmp_path, folder, predictor, steps, uninterrupted, done, kept):
    tokens, log = uninterrupted
    steps.reset(stop_at=done)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, folder, predictor)
    steps.reset()
    resumed = train(tmp_path, folder, predictor)
    assert [step for step, _ in steps.log] == list(range(kept, 6))
    for (_, images), (_, expected) in zip(steps.log, log[kept:], strict=True):
        np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(resumed, tokens)


def test_finished_training_is_restored(tmp_path, folder, predictor, steps, uninterrupted):
    first = train(tmp_path, folder, predictor)
    np.testing.assert_array_equal(first, uninterrupted[0])
    steps.reset()
    np.testing.assert_array_equal(train(tmp_path, folder, predictor, save_every=5, remat="none"), first)
    moved = shutil.copytree(folder, tmp_path / "moved")
    np.testing.assert_array_equal(train(tmp_path, moved, predictor), first)
    assert steps.calls == 0

    for other, told in (
        ({"learning_rate": 3e-3}, r"train\.learning_rate was 0\.01, is 0\.003"),
        ({"seed": 1, "weights": "other"}, "weights was .*, is 'other'; seed was 0, is 1"),
        ({"steps": 8}, r"train\.steps was \d, is 8"),
    ):
        with pytest.raises(UserError, match=rf"tokens holds another training: {told}; .*config\.workdir"):
            train(tmp_path, folder, predictor, **other)
    tiny.write_training_images(folder.parent / "more", count=13)
    path = min(moved.iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # of equal names and sizes
    for others in (folder.parent / "more", moved):
        with pytest.raises(UserError, match="images is another"):
            train(tmp_path, others, predictor)
    row, other = predictor.row, copy.copy(predictor)
    for changed in (
        zoo.with_protocol(row, "lr0fm"),
        zoo.with_numerics(dataclasses.replace(row, family="SigLIP"), "as_trained"),
    ):
        other.row = changed
        with pytest.raises(UserError, match=r"holds another training: (preprocess|architecture) is another"):
            train(tmp_path, folder, other)
    assert steps.calls == 0


def test_epochs_are_whole_batches(tmp_path, folder, predictor, steps):
    options = tiny.train_options(steps=0, epochs=3, root=str(folder))
    config = tiny.config(tmp_path, options)
    assert loop.total_steps(config, 12) == 3
    assert loop.total_steps(tiny.config(tmp_path, dataclasses.replace(options, batch_size=4)), 15) == 9
    assert loop.total_steps(tiny.config(tmp_path, tiny.train_options(steps=7)), 12) == 7
    train(tmp_path, folder, predictor, steps=0, epochs=3)
    assert steps.calls == 3


def test_impossible_batches(tmp_path, folder, predictor):
    with pytest.raises(UserError, match="batch_size 6 does not divide over 4 devices"):
        train(tmp_path, folder, predictor, batch_size=6)
    with pytest.raises(UserError, match=r"12 images.* 16"):
        train(tmp_path, folder, predictor, batch_size=16)
    with pytest.raises(UserError, match="does not exist"):
        train(tmp_path, tmp_path / "missing", predictor)
    assert not (tmp_path / "tokens").exists()
