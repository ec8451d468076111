"""Kills a sweep again and again, at random moments and at chosen places, and checks what is left each time.

python killed_runs.py FOLDER

Every run is a fork of this process, which has imported everything but asked jax for no device yet.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from lrjax import main
from lrjax.models import zoo
from lrjax.questions.bench import Bench
from lrjax.results.store import ResultStore
from run_helpers import tiny_row, write_recipe

RANDOM_KILLS = 20
PLACES = (("fsync", 0, 1), ("replace", 0, 1), ("replace", 1, 1), ("fsync", 0, 2), ("replace", 0, 3), ("replace", 1, 3),
          ("fsync", 0, 4), ("replace", 0, 4), ("replace", 1, 40))  # fmt: skip
"""Function of os, whether it is done before the kill, and at which of its calls."""


def die_at(name, done, call):
    function, calls = getattr(os, name), itertools.count(1)

    def patched(*arguments):
        last = next(calls) == call
        if last and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        found = function(*arguments)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(os, name, patched)


class Sweep:
    """The runs into one working directory."""

    def __init__(self, folder, workdir, whole=None):
        self.folder, self.workdir, self.whole = folder, workdir, whole

    def run(self, *, place=None, seconds=None):
        """Runs the sweep, to its end or to a kill, and returns whether it came to its end."""
        log = self.folder / "evaluated"
        log.write_text("")
        finished = self.finished()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(self.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            if place is not None:
                die_at(*place)
            sweep = Bench.sweep

            def logged(bench, *arguments, **options):
                with log.open("a") as file:
                    file.write(f"{bench.predictor.row.name} {bench.title.split()[0]}\n")
                return sweep(bench, *arguments, **options)

            Bench.sweep = logged
            self.workdir.mkdir(exist_ok=True)
            os.chdir(self.workdir)  # the report has the command, which is the same for all
            os._exit(main.main(["--config", str(self.folder / "recipe.py"), "--config.workdir=."]))
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), (status, (self.folder / "output").read_text())
        evaluated = [tuple(line.split()) for line in log.read_text().splitlines()]
        assert not finished & set(evaluated), "finished numbers were computed again"
        assert len(set(evaluated)) == len(evaluated)
        left = self.finished()
        assert finished <= left
        assert len(set(evaluated) - left) <= 1, "more than one unfinished evaluation"
        if status == 0 and self.whole is not None:
            assert files(self.workdir) == self.whole
        return status == 0

    def finished(self):
        """Checks what lies in the working directory and returns the (model, data set) that are done."""
        path = self.workdir / "results.jsonl"
        if not path.exists():
            return set()
        content = path.read_bytes()
        assert self.whole is None or self.whole[Path("results.jsonl")].startswith(content)
        assert content.endswith(b"\n")
        for line in content.splitlines():
            json.loads(line)
        store = ResultStore(self.workdir)
        for row in store.rows:
            assert len(store.samples(row.key)["index"]) == row.n
        found = {(row.model, row.dataset) for row in store.rows}
        assert len(store.rows) == 4 * len(found)  # two resolutions, two metrics
        return found


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(folder):
    zoo.BACKBONES["tiny"] = tiny_row()
    names = [f"{name}={folder / 'checkpoint' / 'tiny.safetensors'}" for name in ("tiny", "tiny@48")]
    write_recipe(
        folder / "recipe.py",
        models=tuple(names),
        devices=1,
        data={"names": ("shapes", "colours"), "count": 24, "workers": 2},
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 8},
        report={"plots": False, "weights": "equal"},
    )
    Sweep(folder, folder / "first").run()  # compiles
    start = time.monotonic()
    assert Sweep(folder, folder / "whole").run()
    duration = time.monotonic() - start
    whole = files(folder / "whole")
    accuracies = {row.value for row in ResultStore(folder / "whole").rows}
    assert len(accuracies) > 5

    placed = Sweep(folder, folder / "placed", whole)
    for place in PLACES:
        assert not placed.run(place=place), place
    assert placed.run()

    moments, killed = random.Random(0), 0
    for number in itertools.count():
        sweep, done = Sweep(folder, folder / f"random{number}", whole), False
        while not done and killed < RANDOM_KILLS:
            done = sweep.run(seconds=moments.uniform(0, duration))
            killed += not done
        if killed == RANDOM_KILLS:
            assert done or sweep.run()
            break
        shutil.rmtree(sweep.workdir)
    np.save(folder / "killed.npy", [len(PLACES), killed])


if __name__ == "__main__":
    check(Path(sys.argv[1]))
