"""Measures an evaluation at five resolutions beside a plain PyTorch loop that reads every image once per resolution.

PYTHONPATH=.:experiments/speed python experiments/data_speed/bench.py                    # 2,000 images
PYTHONPATH=.:experiments/speed python experiments/data_speed/bench.py --model ViT-B-32   # random weights

Both start from the same JPEG files and end with top-1 guesses by the same classifier. lrjax decodes an image once; the
loop is open_clip's model, torchvision's transforms and a DataLoader, one pass per resolution, as the published
evaluation does it. The guesses are compared before anything is timed, and the two take turns.
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

from lrjax.data.datasets import get_dataset, open_source

FOLDER = Path(__file__).parent
RESOLUTIONS = (16, 32, 64, 128, "hr")
BATCH, QUALITY, HEIGHT, WIDTH = 64, 90, 375, 500
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "OMP_WAIT_POLICY": "passive"}
"""OpenMP's threads, which PyTorch uses, do not spin while they wait: on a busy machine that would slow PyTorch down."""
TIE = 1e-3
"""Difference of two logits, cosines times 100, below which rounding may decide between two classes."""


def write_images(folder: Path, count: int) -> float:
    """Writes rendered scenes as noisy JPEG files of 500 x 375, one folder per class; returns their mean size in kB."""
    classes, sizes = get_dataset("scenes").classes, []
    source = open_source("scenes", count=count, seed=3)
    for number in range(count):
        example, random = source[number], np.random.default_rng(number)
        picture = Image.fromarray(example["image"]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture) + random.normal(0, 10, (HEIGHT, WIDTH, 3))
        path = folder / f"{example['label']:02d}_{classes[example['label']][0]}" / f"{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return statistics.mean(sizes) / 1000


def check_guesses(ours: dict, theirs: dict) -> int:
    """Returns how many guesses at a tie differ.

    Raises:
        SystemExit: another guess differs.
    """
    ties = 0
    for side in map(str, RESOLUTIONS):
        differ = np.asarray(ours[side]) != np.asarray(theirs[side]["guesses"])
        if (differ & (np.asarray(theirs[side]["margins"]) > TIE)).any():
            sys.exit(f"{differ.sum()} guesses of {len(differ)} differ at {side}; nothing was timed")
        ties += int(differ.sum())
    return ties


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("embedded", "ViT-B-32"), default="embedded")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="decoding threads of lrjax, processes of the DataLoader")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        size = write_images(folder / "images", args.images)
        print(f"{args.images} files of {size:.0f} kB", flush=True)
        workers = {
            side: Worker([sys.executable, str(FOLDER / f"{side}_side.py")], ENVIRONMENT) for side in ("torch", "lrjax")
        }
        shared = {"model": args.model, "folder": name, "batch": BATCH, "workers": args.workers}
        for worker in workers.values():  # the first one writes random weights, the second one the classifier
            worker.ask("load", **shared)
        guesses = {side: worker.ask("evaluate", resolutions=RESOLUTIONS)["guesses"] for side, worker in workers.items()}
        ties = check_guesses(guesses["lrjax"], guesses["torch"])
        rates, processor = {side: [] for side in workers}, {side: [] for side in workers}
        for repetition in range(args.repetitions):
            for side in list(workers)[:: 1 - 2 * (repetition % 2)]:
                answer = workers[side].ask("evaluate", resolutions=RESOLUTIONS)
                rates[side].append(args.images / answer["seconds"])
                processor[side].append(1000 * answer["processor"] / args.images)
                print(f"{side:>6} {rates[side][-1]:.2f} images/s, load {os.getloadavg()[0]:.1f}", flush=True)
        parts = {side: worker.ask("parts", resolutions=RESOLUTIONS) for side, worker in workers.items()}
        for worker in workers.values():
            worker.close()
    total = {side: statistics.median(values) for side, values in processor.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["lrjax"], rates["torch"], strict=True)]
    found = {"model": args.model, "images": args.images, "kB": size, "ties": ties, "rates": rates, "parts_ms": parts}
    found |= {"processor_ms": processor, "processor_ratio": total["torch"] / total["lrjax"]}
    found |= {"ratio": statistics.median(ratios), "ratios": ratios, "machine": platform.machine()}
    for side in workers:
        row = ", ".join(f"{part} {value:.2f}" for part, value in parts[side].items())
        rate = statistics.median(rates[side])
        print(f"{side:>6}: {rate:.2f} images/s; ms of the processor per image {total[side]:.2f}, each alone: {row}")
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(
        f"ratio {found['ratio']:.2f} ({spread}), by the processor's time {found['processor_ratio']:.2f}; ties: {ties}"
    )
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
