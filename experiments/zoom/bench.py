"""Measures the 324 zoom views beside the original way: Pillow's resize and crop for every view, then PyTorch.

PYTHONPATH=.:tests python experiments/zoom/bench.py

The same images, the same weights (the embedded backbone; its image tower is built by timm, as open_clip builds it), one
process. The views must be equal in every bit and the embeddings to 1e-4 before anything is timed. Both sides take
turns, whose order turns every time; rates are medians.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from lrjax import load
from lrjax.data.procedural import ProceduralSource
from lrjax.models import zoo
from lrjax.ops.preprocess import short_side_size
from lrjax.ops.zoom import (
    ANCHORS,
    SCALES,
    VIEWS,
    batch_window_taps,
    render_windows,
    round_up,
    stack_window_taps,
    window_shape,
    zoom_spec,
)
from lrjax.weights.checkpoint import locate
from torch_reference import import_open_clip

SIZE = 224
WIDTH, HEIGHT = 500, 375
PATH = "visual.trunk."


def pictures(count: int) -> list[np.ndarray]:
    """Returns drawn scenes at the most frequent size of ImageNet."""
    source = ProceduralSource("scenes", count, seed=0)
    images = (Image.fromarray(np.asarray(source[number]["image"])) for number in range(count))
    return [np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for image in images]


def pillow_view(image: Image.Image, scale: int, row: int, column: int) -> np.ndarray:
    """One view as the published listing makes it: the whole image is resized, then cropped."""
    height, width = short_side_size(image.height, image.width, scale)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    tile_x, tile_y = width // 3, height // 3
    left, top = column * tile_x + tile_x // 2 - SIZE // 2, row * tile_y + tile_y // 2 - SIZE // 2
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))


class Original:
    """Pillow in threads, which run in parallel because it lets go of Python's lock, then PyTorch."""

    def __init__(self, threads: int):
        self.pool = ThreadPoolExecutor(threads)
        weights = {
            name.removeprefix(PATH): one for name, one in load_file(locate("embedded")).items() if name.startswith(PATH)
        }
        import_open_clip()
        import timm

        self.model = timm.create_model(
            "eva02_base_patch16_clip_224",
            img_size=SIZE,
            patch_size=32,
            embed_dim=128,
            depth=4,
            num_heads=4,
            mlp_ratio=344 / 128,
            num_classes=128,
        ).eval()
        self.model.load_state_dict(weights)
        preprocess = zoo.get("EVA02-embedded").preprocess
        mean, std = preprocess.mean, preprocess.std
        self.mean, self.std = (torch.tensor(one).view(3, 1, 1) for one in (mean, std))

    def make(self, images: list[np.ndarray]) -> np.ndarray:
        jobs = [
            (Image.fromarray(image), scale, row, column)
            for scale in sorted(SCALES)
            for image in images
            for row, column in ANCHORS
        ]
        views = np.stack(list(self.pool.map(lambda job: pillow_view(*job), jobs)))
        return views.reshape(len(SCALES), -1, SIZE, SIZE, 3)

    @torch.inference_mode()
    def embed(self, views: np.ndarray) -> np.ndarray:
        rows = []
        for batch in views:
            pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
            rows.append(torch.nn.functional.normalize(self.model((pixels - self.mean) / self.std), dim=-1))
        return torch.stack(rows).numpy()


class Ours:
    """One resize per scale for nine views, and the classifier, in XLA."""

    def __init__(self):
        self.predictor = load("EVA02-embedded", "embedded", devices=1)
        self.render = jax.jit(render_windows, static_argnames=("size", "places", "images_at_once"))

    def make(self, images: list[np.ndarray]) -> list[jax.Array]:
        sizes = np.array([image.shape[:2] for image in images])
        side = round_up(int(sizes.max()))
        canvas = np.zeros((len(images), side, side, 3), np.uint8)
        for rows, image in zip(canvas, images, strict=True):
            rows[: image.shape[0], : image.shape[1]] = image
        canvas, views = jax.device_put(canvas), []
        for scale in sorted(SCALES):
            spec = zoom_spec(scale)
            items = stack_window_taps([batch_window_taps(sizes, spec, shape=window_shape(sizes, spec))])
            rendered = self.render(canvas, items, size=SIZE, places=spec.places)
            views.append(rendered.reshape(len(images), -1, SIZE, SIZE, 3))
        return jax.block_until_ready(views)

    def embed(self, views: list[jax.Array]) -> np.ndarray:
        rows = [self.predictor.image(batch) for batch in views]
        return np.stack(jax.device_get(rows)).reshape(len(SCALES), -1, rows[0].shape[-1])


def seconds(function: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    """Returns how long a call takes, and its result."""
    start = time.perf_counter()
    result = function(argument)
    return time.perf_counter() - start, result


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Compares, then times both sides in turns."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: args.threads]))  # XLA has a thread for every core
    torch.set_num_threads(args.threads)
    images, sides = pictures(args.images), {"lrjax": Ours(), "original": Original(args.threads)}
    views = {name: side.make(images) for name, side in sides.items()}
    embedded = {name: sides[name].embed(views[name]) for name in sides}
    same = np.stack(views["lrjax"]).reshape(views["original"].shape)
    np.testing.assert_array_equal(same, views["original"])
    difference = float(np.abs(embedded["lrjax"] - embedded["original"]).max())
    if not difference <= 1e-4:
        raise SystemExit(f"embeddings differ by {difference:.1e}; nothing was timed")
    found = {name: [] for name in sides}
    loads = [os.getloadavg()[0]]
    for turn in range(args.repetitions):
        for name in list(sides)[:: 1 - 2 * (turn % 2)]:
            time.sleep(0.05)  # OpenMP's threads spin for a while after their work
            made, result = seconds(sides[name].make, images)
            found[name].append((made, seconds(sides[name].embed, result)[0]))
        loads.append(os.getloadavg()[0])
    count, rows = VIEWS * len(images), []
    for label, pick in (("making views", [1, 0]), ("classifying", [0, 1]), ("both", [1, 1])):
        spent = {name: np.array(turns) @ pick for name, turns in found.items()}
        ratios = spent["original"] / spent["lrjax"]
        rows.append(
            {"part": label}
            | {name: count / float(np.median(one)) for name, one in spent.items()}
            | {"ratio": float(np.median(ratios)), "range": [float(ratios.min()), float(ratios.max())]}
        )
    return {
        "images": len(images),
        "repetitions": args.repetitions,
        "threads": args.threads,
        "cores": os.cpu_count(),
        "load_average": [min(loads), max(loads)],
        "difference": difference,
        "software": f"jax {jax.__version__}, torch {torch.__version__}, Pillow {Image.__version__}",
        "rows": rows,
    }


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1, help="images of a turn, 324 views each")
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2, help="of every side, and cores")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    results = measure(args)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{results['software']}, load average {results['load_average']}, difference {results['difference']:.1e}")
    print("| part | lrjax, views/s | original, views/s | ratio | range |\n|---|---|---|---|---|")
    for row in results["rows"]:
        low, high = row["range"]
        cells = [f"{row['lrjax']:.0f}", f"{row['original']:.0f}", f"**{row['ratio']:.1f}**", f"{low:.1f} to {high:.1f}"]
        print(f"| {row['part']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
