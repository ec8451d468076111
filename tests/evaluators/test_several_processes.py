"""Two processes with two devices each give the numbers of one process with four."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import tiny
from lrjax.train.history import COLUMNS, read_table

TESTS = Path(__file__).parents[1]


def start(folder, processes, placement):
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    paths = [str(TESTS), str(TESTS.parent)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    worker = Path(__file__).with_name("several_processes.py")
    return [
        subprocess.Popen(
            [sys.executable, str(worker), *map(str, (process, processes, port, folder, placement))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(processes)
    ]


def finish(running, status=0):
    try:
        outputs = [worker.communicate(timeout=1800)[0] for worker in running]
    finally:
        for worker in running:
            worker.kill()
    for worker, output in zip(running, outputs, strict=True):
        assert worker.returncode == status, output[-4000:]
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["replicate", "fsdp"])
def test_two_processes_equal_one(tmp_path, placement):
    tiny.write_training_images(tmp_path / "images", count=16)
    outputs = finish(start(tmp_path, 2, placement), 143)
    for output in outputs:  # SIGTERM came to one of them in step 4, which both hear of when it is over
        assert "stopped by SIGTERM; the last good checkpoint is" in output
        assert "continued/tokens/5; run again" in output
    finish(start(tmp_path, 1, placement))
    expected = dict(np.load(tmp_path / "found1-0.npz"))
    for process in range(2):
        found = dict(np.load(tmp_path / f"found2-{process}.npz"))
        assert found.keys() == expected.keys()
        for name, value in found.items():
            if name == "classifier":
                np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(value, expected[name], err_msg=name)
        assert found["damaged/vanilla/skipped"].tolist() == ["picture1.png", "picture20.png", "picture4.png"]
        if placement == "replicate":
            assert found["zoom/index"].tolist() == [0, 1, 2]
            assert found["zoom/aggregated"].shape == (3, 6)
        assert found["damaged/tokens/hr/index"].tolist() == sorted(set(range(21)) - {1, 4, 20})

    continued, whole = (read_table(tmp_path / name / "training.csv", COLUMNS) for name in ("continued", "whole"))
    assert [row["step"] for row in continued] == [str(step) for step in range(1, 8)]
    for row, wanted in zip(continued, whole, strict=True):
        assert float(row["loss"]) == pytest.approx(float(wanted["loss"]), rel=1e-5)
    for name in ("best", "tokens"):
        found, wanted = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("continued", "whole"))
        assert found.keys() == wanted.keys()
        for key, value in found.items():
            np.testing.assert_allclose(value, wanted[key], atol=1e-5, err_msg=key)
