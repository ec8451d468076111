"""Two processes with two devices each give the numbers of one process with four."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny

TESTS = Path(__file__).parents[1]


def start(folder, processes, placement):
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    paths = [str(TESTS), str(TESTS.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
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


def finish(running):
    try:
        outputs = [worker.communicate(timeout=1800)[0] for worker in running]
    finally:
        for worker in running:
            worker.kill()
    for worker, output in zip(running, outputs, strict=True):
        assert worker.returncode == 0, output[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["replicate", "fsdp"])
def test_two_processes_equal_one(tmp_path, placement):
    tiny.write_training_images(tmp_path / "images", count=16)
    for processes in (1, 2):
        finish(start(tmp_path, processes, placement))
    expected = dict(np.load(tmp_path / "found1-0.npz"))
    for process in range(2):
        found = dict(np.load(tmp_path / f"found2-{process}.npz"))
        assert found.keys() == expected.keys()
        for name, value in found.items():
            if name in ("classifier", "tokens", "restored"):
                np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(value, expected[name], err_msg=name)
        np.testing.assert_array_equal(found["tokens"], found["restored"])
        assert found["damaged/vanilla/skipped"].tolist() == ["picture1.png", "picture20.png", "picture4.png"]
        if placement == "replicate":
            assert found["zoom/index"].tolist() == [0, 1, 2]
            assert found["zoom/aggregated"].shape == (3, 6)
        assert found["damaged/tokens/hr/index"].tolist() == sorted(set(range(21)) - {1, 4, 20})
