"""Evaluates and trains the tiny backbone as one of several processes and stores the numbers.

python several_processes.py PROCESS PROCESSES PORT FOLDER PLACEMENT

Of several processes the last one gets SIGTERM during the training, and all stop. One process alone continues this
training and does it all over again.
"""

import logging
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import tiny
from asking import ask
from lrjax.data import datasets
from lrjax.data.sources.base import Part
from lrjax.models.predict import Predictor
from lrjax.questions.zeroshot import ZeroShot
from lrjax.questions.zoom.question import Zoom
from lrjax.sharding import join_processes, run_jointly
from lrjax.train.loop import train_tokens

process, processes, port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
DEVICES = 4
RESOLUTIONS = (8, "hr")
STEPS, TERMINATED, BATCH = 7, 4, 8


class Mixed(tiny.Pictures):
    """Sets of labels, a palette and a large picture that concern one process only."""

    def __getitem__(self, index):
        example, picture = super().__getitem__(index), tiny.picture(index, 40 + index, 60)
        if index == 1:
            return example | {"label": (0, 3, 5)}
        if index == 6:
            return example | {"image": Image.fromarray(picture).convert("P")}
        return example | {"image": tiny.picture(13, 1100, 900)} if index == 13 else example


class WithSet(Zoom):
    """Combines a quarter of the views."""

    def inputs(self, setting):
        return {"aggregate": np.arange(99)}


def start():
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES // processes)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    if processes > 1:
        os.environ |= {"JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": str(processes)}
        os.environ["JAX_PROCESS_ID"] = str(process)
        join_processes()


def run():
    assert (jax.process_count(), jax.device_count()) == (processes, DEVICES)
    predictor = tiny.predictor(None, placement=sys.argv[5])
    found = {"classifier": predictor.classifier([[f"a {k}", f"the {k}"] for k in range(7)])}
    tokens = tiny.random_tokens()
    for name, damaged in (("whole", ()), ("damaged", (1, 4, 20))):
        for variant, lr_tokens in (("vanilla", None), ("tokens", tokens)):
            outcome = ask(
                ZeroShot(resolutions=(8,)),
                tiny.Pictures(21, damaged=damaged),
                found["classifier"],
                predictor=predictor,
                lr_tokens=lr_tokens,
                on_error="skip",
            )
            found[f"{name}/{variant}/values"] = np.array(list(outcome.values.values()))
            found[f"{name}/{variant}/skipped"] = np.array(sorted(outcome.skipped))
            for side in RESOLUTIONS:
                for key, rows in outcome.samples[side].items():
                    found[f"{name}/{variant}/{side}/{key}"] = rows
    for variant, resamples in (("devices", True), ("pillow", False)):
        Predictor.resamples = resamples
        outcome = ask(ZeroShot(resolutions=(8,)), Mixed(21), found["classifier"], predictor=predictor)
        found[f"mixed/{variant}/values"] = np.array(list(outcome.values.values()))
        for key, rows in outcome.samples["hr"].items():
            found[f"mixed/{variant}/{key}"] = rows
    if sys.argv[5] == "replicate":
        three = Part(Mixed(21), [1, 6, 13])  # a set of labels, a palette and a large picture
        question = WithSet(scales_at_once=36, keep=("guess",), crops=False)
        outcome = ask(question, three, found["classifier"], predictor=predictor, batch_size=4)
        found["zoom/values"] = np.array(list(outcome.values.values()))
        for key, rows in outcome.samples["hr"].items():
            found[f"zoom/{key}"] = rows
    np.savez(folder / f"found{processes}-{process}.npz", **found)
    if processes > 1:
        terminate_at(TERMINATED)
    for name in ("continued", "whole"):
        options = tiny.train_options(
            steps=STEPS, root=str(folder / "images"), buckets=((8, 16),), unfrozen=0.5, save_every=100, evaluate_every=3
        )
        config = tiny.config(folder / name, options)
        train_tokens(config, predictor, weights="abc", evaluate=lambda adaptation, step: step / STEPS)
    return 0


def terminate_at(step):
    """Sends SIGTERM to the last process when it reads an image of a step."""
    read, count = datasets.ImageList.__getitem__, 0

    def counted(self, index):
        nonlocal count
        count += 1
        if process == processes - 1 and count == step * BATCH // processes:
            os.kill(os.getpid(), signal.SIGTERM)
        return read(self, index)

    datasets.ImageList.__getitem__ = counted


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    start()
    sys.exit(run_jointly(run))
