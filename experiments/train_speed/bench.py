"""Measures a step of LR-TK0 beside a PyTorch version of the original one, on the same weights and image files.

PYTHONPATH=.:experiments/speed python experiments/train_speed/bench.py --out results.json

(add --images 16 --batch 4 --batches 1 on a small machine).

EVA02-B-16 with random weights, 13 tables of tokens, one HR and three LR views per image. The PyTorch side resizes and
crops every view with Pillow in the processes of a DataLoader. First each side has its own recipe, which recomputes
whole blocks in PyTorch, as published, and all but the products with weights in lrjax; then both recompute blocks, then
neither recomputes anything. The losses on common views are compared before anything is timed, and the two take turns.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from channel import Worker
from PIL import Image

from lrjax.data.datasets import open_source

FOLDER = Path(__file__).parent
SIDES = ("lrjax", "torch")
MODES = {"recipes": ("selective", True), "blocks recomputed": ("full", True), "nothing recomputed": ("none", False)}
"""What each side recomputes in the backward pass."""
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""OpenMP's threads, which PyTorch uses, do not spin while they wait: on a busy machine that would slow PyTorch down."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
"""Relative difference of the losses that is accepted; bfloat16 is rounded at different places."""


def write_images(folder: Path, count: int, side: int) -> None:
    """Writes rendered scenes with noise as square PNG files, like those of a text-to-image model."""
    source = open_source("scenes", count=count, seed=3)
    for number in range(count):
        picture = Image.fromarray(source[number]["image"]).resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture) + np.random.default_rng(number).normal(0, 4, (side, side, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.png", compress_level=1)


def check_losses(workers: dict[str, Worker], precision: str) -> dict[str, float]:
    """Returns the losses of both sides on the common views.

    Raises:
        SystemExit: they differ.
    """
    losses = {side: worker.ask("first_loss") for side, worker in workers.items()}
    if not np.isclose(losses["lrjax"], losses["torch"], rtol=TOLERANCE[precision], atol=0):
        sys.exit(f"the sides differ, nothing was timed: {losses}")
    return losses


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32, help="files on disk")
    parser.add_argument("--side", type=int, default=1024, help="of the files, in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=2, help="per turn; ten times as many for the input alone")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="decoding threads of lrjax, processes of the DataLoader")
    parser.add_argument("--precision", choices=tuple(TOLERANCE), default="float32")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args()
    found = {"machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), **vars(args), "out": None}
    with tempfile.TemporaryDirectory() as name:
        (images := Path(name, "images")).mkdir()
        write_images(images, args.images, args.side)
        workers = {side: Worker([sys.executable, str(FOLDER / f"{side}_side.py")], ENVIRONMENT) for side in SIDES}
        found["sides"] = {side: worker.ask("hello") for side, worker in workers.items()}
        workers["torch"].ask("create", folder=name, batch=args.batch)
        given = {"folder": name, "batch": args.batch, "workers": args.workers, "precision": args.precision}
        found["rates"] = {}
        for mode, remats in MODES.items():
            for side, remat in zip(SIDES, remats, strict=True):
                workers[side].ask("load", **given, remat=remat, side=args.side)
            found["losses"] = check_losses(workers, args.precision)
            for part in ("input", "step", "end to end") if mode == "recipes" else ("step", "end to end"):
                rates = {side: [] for side in SIDES}
                count = args.batches * (10 if part == "input" else 1)
                for turn in range(args.turns):
                    for side in SIDES[:: 1 - 2 * (turn % 2)]:
                        seconds = workers[side].ask("measure", what=part, batches=count)["seconds"]
                        rates[side].append(count * args.batch / seconds)
                label = part if part == "input" else f"{part}, {mode}"
                ratio = statistics.median(a / b for a, b in zip(rates["lrjax"], rates["torch"], strict=True))
                found["rates"][label] = rates | {"ratio": ratio}
                shown = ", ".join(f"{side} {statistics.median(rate):.3g} images/s" for side, rate in rates.items())
                print(f"{label}: {shown}, ratio {ratio:.2f}, load {os.getloadavg()[0]:.1f}", flush=True)
        sizes = [args.batch, 2 * args.batch]
        found["memory_MB"] = {}
        for remat in ("none", "selective", "full"):
            planned = workers["lrjax"].ask("memory", batches=sizes, remat=remat)
            found["memory_MB"][remat] = (planned[1] - planned[0]) / args.batch / 1e6
            print(f"{found['memory_MB'][remat]:.0f} MB per image, recomputed: {remat}", flush=True)
        for worker in workers.values():
            worker.close()
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
