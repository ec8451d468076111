"""Measures the memory and time of converting a synthetic checkpoint of a giant, and of restoring it onto eight devices.

PYTHONPATH=. python experiments/giants/run.py --work runs/giants

EVA-CLIP-18B at its true widths with three of its 48 image blocks and its whole text tower: random fp16 weights, 3.6 GB.
Each step runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

DEPTH = 3
NAME = f"EVA-CLIP-18B:{DEPTH}-blocks"
DEVICES = 8


def make_row():
    """Puts the shortened backbone into the zoo and returns its row."""
    from lrjax.models import zoo

    full = zoo.get("EVA-CLIP-18B")
    image = dataclasses.replace(full.spec.image, blocks=dataclasses.replace(full.spec.image.blocks, depth=DEPTH))
    row = dataclasses.replace(full, tag=f"{DEPTH}-blocks", spec=dataclasses.replace(full.spec, image=image))
    zoo.BACKBONES[row.name] = row
    return row


def write_source(path: Path) -> dict[str, int]:
    """Writes the checkpoint tensor by tensor and returns the bytes of the file and of its largest tensor."""
    import numpy as np

    from checkpoints_conv import FORMATS, exported_shapes
    from lrjax.models.build import abstract_params

    shapes = exported_shapes(abstract_params(make_row().spec), FORMATS["eva_original"].TABLE)
    header, end = {}, 0
    for key, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for shape in shapes.values():
            values = generator.standard_normal(shape, np.float32)
            file.write((0.02 * values).astype(np.float16).tobytes())
    return {"file": path.stat().st_size, "largest tensor": max(2 * math.prod(shape) for shape in shapes.values())}


def write_torch(source: Path, path: Path) -> dict[str, int]:
    """Writes the same tensors as a file of `torch.save`."""
    import safetensors.torch
    import torch

    torch.save(safetensors.torch.load_file(source), path)
    return {"file": path.stat().st_size}


def convert(source: str, out: Path, *options: str) -> dict[str, int]:
    """Runs the command line and returns the bytes of what it wrote and of its largest chunk."""
    from checkpoints_conv.__main__ import main

    make_row()
    if main(["--model", NAME, "--source", source, "--out", str(out), "--force", *options]):
        raise SystemExit(1)
    arrays = [json.loads(path.read_text()) for path in out.glob("params/*/.zarray")]
    itemsize = 2 if "bfloat16" in options else 4
    return {
        "parameters": sum(itemsize * math.prod(one["shape"]) for one in arrays),
        "largest chunk": max(itemsize * math.prod(one["chunks"]) for one in arrays),
    }


def start_up(*modules: str) -> dict[str, int]:
    """Converts the shipped checkpoint of 7 MB, which shows what the libraries alone take."""
    import importlib

    for module in modules:
        importlib.import_module(module)
    from checkpoints_conv.__main__ import main
    from lrjax.weights.checkpoint import locate

    out = Path("embedded")
    main(["--model", "EVA02-embedded", "--source", str(locate("embedded")), "--out", str(out), "--force"])
    return {}


def restore(source: Path) -> dict[str, int]:
    """Restores the converted directory onto virtual CPU devices, spread as FSDP says."""
    import jax

    from lrjax.models.build import abstract_params
    from lrjax.sharding import FSDP, make_mesh, tree_shardings
    from lrjax.weights.checkpoint import load_params

    row = make_row()
    target = abstract_params(row.spec)
    params = load_params(row, source, target=target, shardings=tree_shardings(target, make_mesh(DEVICES), FSDP))
    jax.block_until_ready(params)
    shards = [shard.data for leaf in jax.tree.leaves(params) for shard in leaf.addressable_shards]
    return {"parameters on all devices": sum(shard.nbytes for shard in shards)}


STEPS = {
    "start": start_up,
    "start with torch": lambda: start_up("torch"),
    "source": lambda: write_source(Path("source.safetensors")),
    "torch": lambda: write_torch(Path("source.safetensors"), Path("source.pt")),
    "float32": lambda: convert("source.safetensors", Path("float32")),
    "bfloat16": lambda: convert("source.safetensors", Path("bfloat16"), "--dtype", "bfloat16"),
    "float32 of torch": lambda: convert("source.pt", Path("torch")),
    "restore": lambda: restore(Path("float32")),
}


def peak_memory() -> int:
    """Returns the largest resident set of this process so far, mapped files included, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Runs every step in a process of its own and prints what it measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="new directory; takes 26 GB and is removed at the end")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        start = time.perf_counter()
        sizes = STEPS[options.step]()
        print(json.dumps({"seconds": time.perf_counter() - start, "peak RSS": peak_memory(), **sizes}))
        return
    options.work.mkdir(parents=True)
    try:
        environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}"}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        for step in STEPS:
            command = [sys.executable, str(Path(__file__).resolve()), "--work", ".", "--step", step]
            done = subprocess.run(command, cwd=options.work, env=environment, check=True, stdout=subprocess.PIPE)
            found = json.loads(done.stdout.splitlines()[-1])
            seconds = found.pop("seconds")
            sizes = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in found.items())
            print(f"{step}: {seconds:.0f} s, {sizes}", flush=True)
    finally:
        shutil.rmtree(options.work)


if __name__ == "__main__":
    main()
