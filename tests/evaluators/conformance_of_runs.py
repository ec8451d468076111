"""Asks all questions: killed again and again and then finished, or as one of several processes.

python conformance_of_runs.py killed FOLDER
python conformance_of_runs.py together FOLDER

Every run that is killed is a fork of this process, which has imported everything but asked jax for no device yet. The
run tells each of its steps, and after some it gets SIGKILL.
"""

import functools
import itertools
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path

from asking import asking, images_for, predictor_of_128_px
from lrjax.questions import registry
from lrjax.results.parts import Parts
from lrjax.sharding import join_processes, run_jointly

KILLS = 6
STEPS = {"replace": b"w", "fsync": b"w", "__getitem__": b"i", "get": b"p"}
"""What is told of a function: something is written, an image is read, a finished part is taken up."""


def tell(owner, name, pipe):
    function = getattr(owner, name)

    @functools.wraps(function)
    def telling(*arguments):
        os.write(pipe, STEPS[name])
        return function(*arguments)

    setattr(owner, name, telling)


def run(name, folder, moment=None):
    """Asks a question, killed after as many steps as `moment`: (whether it came to its end, its steps)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for owner, function in ((os, "replace"), (os, "fsync"), (Parts, "get")):
                tell(owner, function, writing)
            tell(type(images_for(name)[1]), "__getitem__", writing)
            asking(name, folder, predictor_of_128_px(), batch_size=2, part_size=2).rows()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    steps = b""
    while step := os.read(reading, 1):
        steps += step
        if len(steps) == moment:
            os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0 or (moment and status == -signal.SIGKILL), status
    return status == 0, steps


def kill(folder):
    taken_up = {}
    for name in registry.QUESTIONS:
        _, whole = run(name, folder / name / "whole")
        moments, kills, taken_up[name] = random.Random(name), 0, 0
        for number in itertools.count():
            done = False
            while not done:
                moment = moments.randint(1, len(whole)) if kills < KILLS else None
                done, steps = run(name, folder / name / f"killed{number}", moment)
                kills += not done
                taken_up[name] += steps.count(b"p")
            if kills == KILLS:
                break
    (folder / "taken_up.json").write_text(json.dumps(taken_up))


def share(folder):
    if "JAX_NUM_PROCESSES" in os.environ:
        join_processes()

    def ask():
        predictor = predictor_of_128_px()
        for name in registry.QUESTIONS:
            asking(name, folder / name, predictor, batch_size=8, part_size=8).rows()
        return 0

    return run_jointly(ask)


if __name__ == "__main__":
    sys.exit({"killed": kill, "together": share}[sys.argv[1]](Path(sys.argv[2])))
