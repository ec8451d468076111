"""The command itself in two processes: the numbers of one, written and printed by the first alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_helpers import failure, tiny_row, write_checkpoint, write_recipe

TESTS = Path(__file__).parent
CODE = (
    "import sys; from lrjax import main; from lrjax.models import zoo; from run_helpers import tiny_row\n"
    "zoo.BACKBONES['tiny'] = tiny_row()\n"
    "sys.exit(main.main(sys.argv[1:]))"
)


def start(devices, arguments, **environment):
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"PYTHONPATH": paths, "XLA_FLAGS": flags, "COLUMNS": "80"} | environment
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def together(*arguments):
    """Runs two processes, each with its own arguments behind the shared ones, and returns what they wrote."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        address = f"localhost:{one.getsockname()[1]}"
    running = [
        start(
            1,
            [*own, "--config.distributed"],
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(process),
        )
        for process, own in enumerate(arguments)
    ]
    try:
        return [(one.communicate(timeout=1800), one.returncode) for one in running]
    finally:
        for one in running:
            one.kill()


def rows(workdir):
    lines = map(json.loads, (workdir / "results.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "config_hash"} for line in lines]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    checkpoint = write_checkpoint(tiny_row(), tmp_path / "checkpoint", one_class=False)
    recipe = write_recipe(
        tmp_path / "recipe.py",
        model="tiny",
        source=str(checkpoint),
        data={"names": ("shapes", "colours"), "count": 21, "workers": 0},
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 8},
        report={"plots": False, "weights": "equal"},
    )
    alone = start(2, ["--config", recipe, f"--config.workdir={tmp_path / 'one'}"])
    shown, _ = alone.communicate(timeout=1800)
    assert alone.returncode == 0

    def given(workdir, *more):
        return ["--config", recipe, f"--config.workdir={tmp_path / workdir}", *more]

    # The second process needs no disk of the first: it has no part of the results there.
    first, second = together(given("two", "--config.data.names=shapes"), given("none", "--config.data.names=shapes"))
    assert (first[1], second[1]) == (0, 0), (first, second)
    first, second = together(given("two"), given("none"))
    assert (first[1], second[1]) == (0, 0), (first, second)
    assert first[0][1].count("zeroshot on shapes (vanilla): finished earlier") == 1
    assert first[0][1].count("finished earlier") == 1
    printed = [
        "".join(line for line in out.splitlines(True) if "[Gloo]" not in line) for (out, _), _ in (first, second)
    ]
    assert printed == [shown, ""]
    assert "parameters from" in first[0][1] and "parameters from" not in second[0][1]
    assert not (tmp_path / "none").exists()
    expected = rows(tmp_path / "one")
    assert rows(tmp_path / "two") == expected
    for row in expected:
        paths = [tmp_path / name / "samples" / f"{row['key']}.npz" for name in ("one", "two")]
        left, right = (dict(np.load(path)) for path in paths)
        for name in left:
            np.testing.assert_array_equal(
                left[name][np.argsort(left["index"])], right[name][np.argsort(right["index"])]
            )


def test_no_cluster(tmp_path):
    recipe = write_recipe(
        tmp_path / "recipe.py", model="tiny", data={"names": ("shapes",)}, report={"weights": "equal"}
    )
    alone = start(1, ["--config", recipe, "--config.distributed"])
    shown, stderr = alone.communicate(timeout=600)
    message = failure((alone.returncode, shown, stderr), alone=False)
    assert "config.distributed is set, but the processes cannot be joined" in message
    assert "set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID" in message
