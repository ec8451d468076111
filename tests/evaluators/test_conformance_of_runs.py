"""What holds for every question: killed, shared by devices or processes, or run again, it gives the same."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asking import asking, images_for, predictor_of_128_px
from lrjax.models.predict import Predictor
from lrjax.questions import registry
from lrjax.results.store import ResultStore

TESTS = Path(__file__).parents[1]


def start(folder, mode, devices, **environment):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    } | environment  # fmt: skip
    command = [sys.executable, str(Path(__file__).with_name("conformance_of_runs.py")), mode, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*running):
    try:
        outputs = [one.communicate(timeout=1800)[0] for one in running]
    finally:
        for one in running:
            one.kill()
    for one, output in zip(running, outputs, strict=True):
        assert one.returncode == 0, output[-4000:]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "killed"
    finish(start(folder, "killed", 1))
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with socket.socket() as one:
        one.bind(("localhost", 0))
        several = {"JAX_COORDINATOR_ADDRESS": f"localhost:{one.getsockname()[1]}", "JAX_NUM_PROCESSES": "2"}
    finish(start(folder / "one", "together", 4))
    finish(*(start(folder / "two", "together", 2, **several, JAX_PROCESS_ID=str(number)) for number in range(2)))
    return folder


def run(name, folder, predictor):
    """Asks a question: (its rows, how often a model is called, an image read or a score made for them)."""
    calls = Counter()

    def counted(owner, function, patch):
        original = getattr(owner, function)

        def counting(*arguments, **options):
            calls[function] += 1
            return original(*arguments, **options)

        patch.setattr(owner, function, counting)

    with pytest.MonkeyPatch.context() as patch:
        for owner, function in (
            (Predictor, "image"),
            (Predictor, "text"),
            (type(images_for(name)[1]), "__getitem__"),
            (registry.find(name), "score"),
        ):
            counted(owner, function, patch)
        return asking(name, folder, predictor, batch_size=8, part_size=8).rows(), calls


@pytest.fixture(scope="module", params=registry.QUESTIONS)
def first(request, tmp_path_factory):
    """A run with one device."""
    folder, predictor = tmp_path_factory.mktemp("first"), predictor_of_128_px(1)
    rows, calls = run(request.param, folder, predictor)
    return {"name": request.param, "folder": folder, "predictor": predictor, "rows": rows, "calls": calls}


def assert_equal(found, expected):
    """Of two folders with results: all is the same."""
    found, expected = ResultStore(found), ResultStore(expected)
    assert found.rows == expected.rows != []
    for key in {row.key for row in expected.rows}:
        one, other = found.samples(key), expected.samples(key)
        assert one.keys() == other.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def assert_close(found, expected):
    """Of two folders with results: all is the same, but for the rounding of floats, which is far below one image."""
    found, expected = ResultStore(found), ResultStore(expected)
    rows, wanted = ([dataclasses.replace(row, value=0) for row in store.rows] for store in (found, expected))
    assert rows == wanted != []
    assert [row.value for row in found.rows] == pytest.approx([row.value for row in expected.rows], rel=0, abs=1e-6)
    for key in {row.key for row in expected.rows}:
        one, other = found.samples(key), expected.samples(key)
        assert one.keys() == other.keys()
        for name, array in one.items():
            tolerance = 1e-5 if array.dtype.kind == "f" else 0
            assert array.dtype == other[name].dtype
            np.testing.assert_allclose(array, other[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_a_run_that_is_killed_comes_to_the_same(killed, name):
    assert json.loads((killed / "taken_up.json").read_text())[name] > 0
    folders = sorted((killed / name).glob("killed*"))
    assert folders
    for folder in folders:
        assert_equal(folder, killed / name / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_two_processes_equal_one(together, name):
    assert_close(together / "two" / name, together / "one" / name)


@pytest.mark.slow
def test_eight_devices_equal_one(first, tmp_path):
    run(first["name"], tmp_path, predictor_of_128_px(8))
    assert_close(tmp_path, first["folder"])


def test_a_second_run_computes_nothing(first):
    assert {"image", "__getitem__", "score"} <= first["calls"].keys()
    rows, calls = run(first["name"], first["folder"], first["predictor"])
    assert rows == first["rows"]
    assert not calls


def test_what_is_stored_by_example_gives_the_numbers(first):
    kind, store, found = registry.find(first["name"]), ResultStore(first["folder"]), set()
    for row in first["rows"]:
        outcomes = kind.outcomes(store.samples(row.key)).get(row.metric)
        if outcomes is not None:
            assert outcomes.statistic(*outcomes.values) == pytest.approx(row.value)
            assert len(np.unique(outcomes.index)) == len(outcomes.index)
            found.add(row.metric)
    assert kind.headline in found
