"""A tiny training in a process of its own, or one of several, to be killed.

Arguments: folder of images, working directory, steps, steps between checkpoints and perhaps the bytes of the largest
file that it may write. The variable KILLED_AT holds the arguments of `die_at`, if it is to kill itself.
"""

import logging
import os
import resource
import sys
import time

import tiny
from killed_runs import die_at
from lrjax.data import datasets
from lrjax.errors import UserError
from lrjax.sharding import join_processes, run_jointly
from lrjax.train.loop import train_tokens


def main(images, workdir, steps, save_every, limit=None):
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        join_processes()
    options = tiny.train_options(steps=int(steps), root=images, save_every=int(save_every))
    config = tiny.config(workdir, options)
    predictor, read = tiny.predictor(None), datasets.ImageList.__getitem__

    def read_slowly(self, index):
        time.sleep(0.005)  # a step takes 40 ms then, so that there is something to hit
        return read(self, index)

    datasets.ImageList.__getitem__ = read_slowly
    if place := os.environ.get("KILLED_AT"):
        name, *numbers = place.split()
        die_at(name, *map(int, numbers))
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        train_tokens(config, predictor, weights="abc")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run_jointly(lambda: main(*sys.argv[1:])))
