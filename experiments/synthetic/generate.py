"""Generates training images from captions.

python -m experiments.synthetic.generate captions.txt --out data/train --images 30
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from experiments.synthetic.captions import captions_hash, read_captions
from experiments.synthetic.image_set import SetOnDisk, Settings
from experiments.synthetic.pipeline import generate, load_pipeline, noise_seed, png, resolve
from lrjax.command_line import Parser, run
from lrjax.display.progress import Progress
from lrjax.errors import UserError

PIXART = "PixArt-alpha/PixArt-XL-2-1024-MS"
PROCESSES = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)
"""Variables that torchrun, Slurm and Open MPI set: number of the process, and of processes."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m experiments.synthetic.generate",
        description="Generates training images from captions. After an interruption, run the same command again.",
    )
    own = "(default: the pipeline's own)"
    parser.add_argument("captions", metavar="FILE", help="one caption per line")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of sets of images, for config.train.root")
    parser.add_argument("--images", type=int, default=30, metavar="N", help="images per caption (default: %(default)s)")
    parser.add_argument("--pipeline", default=PIXART, help="folder or hub id (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default: %(default)s)")
    parser.add_argument("--resolution", type=int, metavar="PIXELS", help=f"side of the images {own}")
    parser.add_argument("--steps", type=int, metavar="N", help=f"of denoising {own}")
    parser.add_argument("--guidance", type=float, metavar="SCALE", help=f"classifier-free guidance {own}")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="images at once (default: %(default)s)")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16", help="of the weights")
    parser.add_argument("--device", default="", help="as PyTorch calls it (default: this process's GPU, or else cpu)")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="make part I, 0 to N - 1, of N (default: by process of torchrun, Slurm, Open MPI)",
    )
    parser.add_argument("--repeated", action="store_true", help="allow a caption to occur more than once")
    return parser


def _shard(text: str | None) -> tuple[int, int]:
    names = next((names for names in PROCESSES if all(name in os.environ for name in names)), None)
    if text is None and names is not None:
        text, told = "/".join(os.environ[name] for name in names), f"environment ({', '.join(names)})"
    else:
        text, told = text or "0/1", "--shard"
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"{told} gives part {text!r}; give I/N, with I from 0 to N - 1")
    return int(match[1]), int(match[2])


def _check(parsed: argparse.Namespace) -> None:
    for name, least in (
        ("images", 1),
        ("seed", 0),
        ("resolution", 1),
        ("steps", 1),
        ("guidance", 0),
        ("batch_size", 1),
    ):
        value = getattr(parsed, name)
        if value is not None and not value >= least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}")


def _pipeline_options(parsed: argparse.Namespace) -> dict[str, Any]:
    given = {
        "height": parsed.resolution,
        "width": parsed.resolution,
        "num_inference_steps": parsed.steps,
        "guidance_scale": parsed.guidance,
    }
    return {name: value for name, value in given.items() if value is not None}


def _generate(arguments: Sequence[str] | None) -> None:
    parsed = _parser().parse_args(arguments)
    _check(parsed)
    shard = _shard(parsed.shard)
    captions = read_captions(parsed.captions, repeated=parsed.repeated)
    settings = Settings(
        captions=len(captions),
        captions_hash=captions_hash(captions),
        pipeline=resolve(parsed.pipeline),
        seed=parsed.seed,
        resolution=parsed.resolution,
        steps=parsed.steps,
        guidance=parsed.guidance,
        dtype=parsed.dtype,
    )
    images = SetOnDisk(parsed.out, captions, parsed.images, settings)
    todo = images.missing(shard)
    if todo:
        pipeline = load_pipeline(settings.pipeline, dtype=parsed.dtype, device=parsed.device)
        whole = len(images.plan[shard[0] :: shard[1]])
        with Progress(images.layout.folder, whole, unit="image", done=whole - len(todo)) as progress:
            for start in range(0, len(todo), parsed.batch_size):
                batch = todo[start : start + parsed.batch_size]
                pictures = generate(
                    pipeline,
                    [captions[caption] for caption, _ in batch],
                    [noise_seed(parsed.seed, *one) for one in batch],
                    batch_size=parsed.batch_size,
                    options=_pipeline_options(parsed),
                )
                for one, picture in zip(batch, pictures, strict=True):
                    images.add(*one, png(picture))
                progress.update(len(batch))
    if missing := len(images.missing()):
        print(f"part {shard[0]} of {shard[1]} is complete; other parts have yet to make {missing} images")
    else:
        print(f"{len(images.plan)} images are complete: {images.write_manifest()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status.

    Args:
        arguments: command line arguments; None takes those of the process.
    """
    return run(lambda: _generate(arguments), interrupted="interrupted; run it again to go on")


if __name__ == "__main__":
    sys.exit(main())
