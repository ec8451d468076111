"""A sweep that is killed at any moment keeps what is finished and comes to the same files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_helpers import tiny_row, write_checkpoint

TESTS = Path(__file__).parent


@pytest.mark.slow
def test_killed_runs_come_to_the_same_results(tmp_path):
    write_checkpoint(tiny_row(), tmp_path / "checkpoint", one_class=False)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, str(TESTS / "killed_runs.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    assert np.load(tmp_path / "killed.npy").tolist() == [9, 20]
