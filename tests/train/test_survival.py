"""Trainings that are killed, terminated, out of disk or diverging: nothing saved is lost, what follows is the same."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils
from safetensors.numpy import load_file

import tiny
from lrjax.errors import UserError
from lrjax.train import loop
from lrjax.train.checkpoints import Checkpoints
from lrjax.train.distill import Distiller
from lrjax.train.guard import check_numbers, loss_bound
from lrjax.train.history import COLUMNS, History, read_table

STEPS, SAVE_EVERY = 30, 4
FLAGS = "--xla_backend_optimization_level=0"  # compiles in half of the time
SCRIPT = Path(__file__).with_name("train_in_process.py")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a training in a process: a function of a working directory and the arguments of the script."""
    folder = tmp_path_factory.mktemp("survival")
    images = tiny.write_training_images(folder / "images")
    root = SCRIPT.parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
        "XLA_FLAGS": FLAGS,  # one device
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),  # only the first one compiles
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }

    def start(workdir, *arguments, **variables):
        command = [sys.executable, SCRIPT, images, workdir, STEPS, SAVE_EVERY, *arguments]
        return subprocess.Popen(
            [str(word) for word in command], env=environment | variables, stderr=subprocess.PIPE, text=True
        )

    return start


def finish(process):
    _, stderr = process.communicate(timeout=600)
    return process.returncode, stderr


def wait_for_step(process, workdir, step):
    while process.poll() is None and len(rows_of(workdir)) < step:
        time.sleep(0.002)
    assert process.poll() is None, process.stderr.read()


def rows_of(workdir):
    return read_table(workdir / "training.csv", COLUMNS)


def outcome(workdir):
    return (workdir / "training.csv").read_text(), (workdir / "tokens.safetensors").read_bytes()


def checkpoints(workdir):
    return sorted(int(path.name) for path in (workdir / "tokens").iterdir() if path.name.isdecimal())


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    assert finish(start(workdir))[0] == 0
    assert [int(row["step"]) for row in rows_of(workdir)] == list(range(1, STEPS + 1))
    assert len({row["images"] for row in rows_of(workdir)}) == STEPS
    return workdir


@pytest.mark.slow
def test_killed_seven_times_and_bit_identical(start, whole, tmp_path):
    # A checkpoint, the first one after step 1, is written, then committed by the third of three renames.
    for place, saved in (("rename 0 3", []), ("rename 1 6", [1, SAVE_EVERY])):
        assert finish(start(tmp_path, KILLED_AT=place))[0] == -signal.SIGKILL
        assert checkpoints(tmp_path) == saved
    moments = random.Random(3)
    for part in range(5):
        process = start(tmp_path)
        wait_for_step(process, tmp_path, (2 + part) * SAVE_EVERY + moments.randint(1, SAVE_EVERY))
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        assert finish(process)[0] == -signal.SIGKILL
    assert finish(start(tmp_path))[0] == 0
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_sigterm_saves_and_a_rerun_continues(start, whole, tmp_path):
    process = start(tmp_path)
    wait_for_step(process, tmp_path, SAVE_EVERY + 1)
    process.send_signal(signal.SIGTERM)
    status, stderr = finish(process)
    assert status == 143
    newest = checkpoints(tmp_path)[-1]
    assert newest >= SAVE_EVERY + 1
    assert "stopped by SIGTERM" in stderr
    assert f"tokens/{newest}; run again" in stderr
    assert len(rows_of(tmp_path)) == newest
    assert not (tmp_path / "tokens.safetensors").exists()

    saved = {path: path.read_bytes() for path in (tmp_path / "tokens" / str(newest)).rglob("*") if path.is_file()}
    status, stderr = finish(start(tmp_path, 4096))  # no file may grow beyond: as on a full disk
    assert status == 2
    assert "cannot be written" in stderr and f"tokens/{newest}" in stderr and "make room" in stderr
    assert all(path.read_bytes() == content for path, content in saved.items())
    assert checkpoints(tmp_path)[-1] == newest

    assert finish(start(tmp_path))[0] == 0
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_control_c_saves_too(start, tmp_path):
    process = start(tmp_path)
    wait_for_step(process, tmp_path, SAVE_EVERY + 1)
    process.send_signal(signal.SIGINT)
    status, stderr = finish(process)
    assert status == 130
    assert "ends after this step and saves" in stderr
    assert f"stopped by SIGINT; the last good checkpoint is {tmp_path}/tokens/{checkpoints(tmp_path)[-1]}; " in stderr
    assert len(rows_of(tmp_path)) == checkpoints(tmp_path)[-1] > SAVE_EVERY


def start_two(start, workdir):
    with socket.socket() as one:
        one.bind(("localhost", 0))
        address = f"localhost:{one.getsockname()[1]}"
    shared = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(workdir, **shared, JAX_PROCESS_ID=str(process)) for process in range(2)]


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_and_eight_devices_continue(start, whole, tmp_path):
    first, second = start_two(start, tmp_path)
    wait_for_step(first, tmp_path, SAVE_EVERY + 2)
    second.kill()
    assert finish(second)[0] == -signal.SIGKILL
    status, stderr = finish(first)
    assert status == 1
    assert "process 0 of 2 failed; if another one ended before it" in stderr

    assert finish(start(tmp_path, XLA_FLAGS=f"{FLAGS} --xla_force_host_platform_device_count=8"))[0] == 0
    losses, expected = ([float(row["loss"]) for row in rows_of(workdir)] for workdir in (tmp_path, whole))
    assert losses == pytest.approx(expected, rel=1e-5)
    tokens, wanted = (load_file(workdir / "tokens.safetensors")["tokens"] for workdir in (tmp_path, whole))
    np.testing.assert_allclose(tokens, wanted, atol=1e-5)


# Divergence


@pytest.mark.slow
def test_a_diverging_training_stops_before_it_saves(tmp_path, monkeypatch):
    images = tiny.write_training_images(tmp_path / "images")
    original = Distiller.compare

    def compare(self, trainable, *embedded):
        far = jnp.abs(trainable["log_scale"] - np.log(1 / 0.07)) > 0.02
        return original(self, trainable, *embedded) * jnp.where(far, jnp.nan, 1.0)

    options = tiny.train_options(steps=12, root=str(images), save_every=1, buckets=((8, 16),), scale_learning_rate=4e-3)
    monkeypatch.setattr(Distiller, "compare", compare)
    with pytest.raises(UserError, match="diverged at step") as caught:
        loop.train_tokens(tiny.config(tmp_path / "run", options), tiny.predictor(), weights="abc")
    message = str(caught.value)
    newest = checkpoints(tmp_path / "run")[-1]
    assert f"diverged at step {newest + 1}: " in message
    assert "loss nan" in message
    assert f"tokens/{newest};" in message
    assert message.count(".png") == 8
    assert len(rows_of(tmp_path / "run")) == newest


def test_processes_must_share_the_directory(tmp_path, monkeypatch):
    with Checkpoints(tmp_path / "tokens", {"seed": 0}, save_every=2) as checkpoints:
        assert checkpoints.check() is None
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        monkeypatch.setattr(multihost_utils, "process_allgather", lambda step: np.array([4, int(step)]))
        with pytest.raises(UserError, match=r"see different checkpoints in .*tokens; give all of them the same"):
            checkpoints.check()
        monkeypatch.undo()


def test_checkpoints_of_another_version_are_refused(tmp_path, monkeypatch):
    with Checkpoints(tmp_path / "tokens", {"seed": 0}, save_every=1) as checkpoints:
        monkeypatch.setattr(checkpoints.manager, "latest_step", lambda: 1)
        restored = {"position": {"key": "a", "step": 1}}
        monkeypatch.setattr(checkpoints.manager, "restore", lambda *_, **__: restored)
        with pytest.raises(UserError, match=r"tokens was written by another version of lrjax"):
            checkpoints.check()
        monkeypatch.undo()


def test_numbers_are_checked():
    options = tiny.train_options(batch_size=64, buckets=((8, 16), (16, 32), (32, 40)), image_size=40)
    bound = loss_bound(options)
    assert bound == pytest.approx(10 * 4 * np.log(64))

    def check(**numbers):
        check_numbers(7, {"loss": 3.0, "scale": 14.0} | numbers, bound=bound, images=["a.png", "b.png"], newest="here")

    check(loss=bound)
    for numbers, words in (
        ({"loss": float("nan")}, "step 7: loss nan; here"),
        ({"loss": bound + 1}, r"loss 167\.4 above 166\.4, 10 times that of guessing; here"),
        ({"scale": float("inf")}, "scale inf; here.*a.png, b.png"),
    ):
        with pytest.raises(UserError, match=words):
            check(**numbers)


def test_history_is_continued_and_damage_is_told(tmp_path):
    numbers = {"loss": 0.1, "scale": 14.0, "learning_rate": 1e-3, "gradient_norm": 2.0, "norm": 1 / 3}
    with History(tmp_path, first=0) as history:
        for step in (1, 2, 3):
            history.add(step, numbers, ["a", "b"])
        history.add_score(2, 0.5)
        history.add_score(3, 0.25)
    path = tmp_path / "training.csv"
    assert float(rows_of(tmp_path)[0]["norm"]) == np.float32(1 / 3)
    with path.open("a") as file:
        file.write("4,0.1")  # cut off
    with History(tmp_path, first=2) as history:
        assert [row["step"] for row in history.rows] == ["1", "2"]
        assert history.scores == [{"step": "2", "score": "0.5"}]
        assert history.chart("Training").panels[0].series[0].y == pytest.approx((0.1, 0.1))
    assert path.read_text().count("\n") == 3
    path.write_text(path.read_text() + "3,broken\n")
    with pytest.raises(UserError, match=r"training\.csv, line 4 is damaged"):
        rows_of(tmp_path)
