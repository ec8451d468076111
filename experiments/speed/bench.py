"""Measures lrjax beside open_clip: the same weights, the same inputs, one framework at a time, in turns.

PYTHONPATH=. python experiments/speed/bench.py                  # CPU, float32
PYTHONPATH=. python experiments/speed/bench.py --device gpu     # one GPU, bfloat16

Two workers, one with JAX and one with PyTorch, live side by side and block while the other is measured. Weights are
random, at the true sizes: made by open_clip, written as a checkpoint and read by lrjax like any other. The embeddings
are compared before anything is timed. Where a framework is missing the other is measured alone.
"""

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from channel import Worker

from lrjax.models import zoo

FOLDER = Path(__file__).parent
MODELS = {  # name in the zoo: what open_clip has to be told beyond the architecture to build the same model
    "ViT-B-16:datacomp_xl_s13b_b90k": {},
    "EVA02-B-16:merged2b_s8b_b131k": {},
    "RN50:openai": {"force_quick_gelu": True},
}
LIMITS = {"float32": 1e-4, "bfloat16": 0.05}
"""Largest difference of L2-normalised embeddings; that of float32 is checked on both devices."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What is encoded."""

    tower: str
    batch: int
    precision: str

    @property
    def key(self) -> str:
        return f"{self.tower}_{self.batch}"


def start_workers(args: argparse.Namespace) -> tuple[dict[str, Worker], dict[str, dict]]:
    """Starts the workers whose framework is there, and says why the others are missing."""
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # both frameworks share one GPU
    if args.device == "cpu":
        environment = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(args.threads)}
        # The workers inherit the cores, by whose number XLA sizes its thread pool.
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: args.threads]))
    workers, hellos = {}, {}
    for side in ("jax", "torch"):
        worker = Worker([sys.executable, str(FOLDER / f"{side}_worker.py")], environment)
        try:
            hello = worker.ask("hello", device=args.device)
        except RuntimeError as error:
            hello = {"missing": str(error)}
        if "missing" in hello:
            print(f"without {side}: {hello['missing']}", flush=True)
            worker.close()
        else:
            workers[side], hellos[side] = worker, hello
    if not workers:
        sys.exit("neither framework can be measured here")
    return workers, hellos


def make_inputs(name: str, case: Case, folder: Path) -> str:
    """Writes normalised random images [B, size, size, 3] or random texts [B, context] and returns the file."""
    spec, random = zoo.get(name).spec, np.random.default_rng(case.batch)
    if case.tower == "image":
        rows = random.normal(size=(case.batch, spec.image.size, spec.image.size, 3)).astype(np.float32)
    else:
        rows = np.zeros((case.batch, spec.text.context), np.int32)
        for row, length in zip(rows, random.integers(5, 25, case.batch), strict=True):
            row[:length] = random.integers(1, spec.text.vocabulary - 2, length)
            row[0], row[length] = spec.text.vocabulary - 2, spec.text.vocabulary - 1
    path = folder / f"{name.replace(':', '_')}_{case.key}.npy"
    np.save(path, rows)
    return str(path)


def prepare(workers: dict, hellos: dict, name: str, case: Case, folder: Path, *, exact: bool = False) -> dict[str, Any]:
    """Compiles and warms up a case in every variant and compares the embeddings.

    Returns:
        Seconds of the first call by (side, variant), and the largest difference of the embeddings.

    Raises:
        SystemExit: the embeddings are not equal.
    """
    inputs, first, rows = make_inputs(name, case, folder), {}, {}
    for side, worker in workers.items():
        for variant in hellos[side]["variants"][: 1 if exact else None]:
            output = folder / f"{side}_{variant}.npy"
            arguments = {"tower": case.tower, "inputs": inputs, "embeddings": str(output), "variant": variant}
            key = f"{case.key}_{variant}"
            first[side, variant] = worker.ask("prepare", key=key, exact=exact, **arguments)
            rows[side, variant] = np.load(output)
    difference = max(float(np.abs(one - other).max()) for one in rows.values() for other in rows.values())
    if not difference <= LIMITS[case.precision]:
        sys.exit(f"{name} {case.key} {case.precision}: embeddings differ by {difference:.1e}; nothing was timed")
    return {"first": first, "difference": difference}


def alternate(workers: dict, hellos: dict, case: Case, args: argparse.Namespace) -> dict[tuple[str, str], np.ndarray]:
    """Returns images or texts per second, and per second of the processor, by (side, variant) and repetition.

    The order turns every time.
    """
    sides = [(side, variant) for side in workers for variant in hellos[side]["variants"]]
    calls, rates = {}, {side: [] for side in sides}
    for side, variant in sides:
        one = workers[side].ask("measure", key=f"{case.key}_{variant}", calls=2)[0] / 2
        calls[side, variant] = max(1, round(args.seconds / one))
    for repetition in range(args.repetitions):
        for side, variant in sides[:: 1 - 2 * (repetition % 2)]:
            time.sleep(0.02)  # OpenMP's threads spin for a few milliseconds after their work
            number = calls[side, variant]
            seconds = workers[side].ask("measure", key=f"{case.key}_{variant}", calls=number)
            rates[side, variant].append([number * case.batch / one for one in seconds])
    return {side: np.asarray(found).T for side, found in rates.items()}


def summarise(name: str, case: Case, rates: dict, prepared: dict, peak: float | None) -> list[dict[str, Any]]:
    """Returns one row per variant of PyTorch, or one of what there is."""
    gflops = zoo.get(name).gflops if case.tower == "image" else None
    found = []
    ours = rates.get(("jax", "jit"))
    for side in [side for side in rates if side[0] == "torch"] or [None]:
        theirs = rates.get(side)
        row = {"model": name.partition(":")[0], "tower": case.tower, "batch": case.batch, "precision": case.precision}
        row |= {"variant": side and side[1], "difference": prepared["difference"]}
        row["first_call_s"] = {" ".join(key): round(value, 2) for key, value in prepared["first"].items()}
        for label, rate in (("lrjax", ours), ("open_clip", theirs)):
            row[label] = None if rate is None else float(np.median(rate[0]))
        if ours is not None and theirs is not None:
            ratios, processor = ours / theirs
            row |= {"ratio": float(np.median(ratios)), "quartiles": np.quantile(ratios, [0.25, 0.75]).tolist()}
            row |= {"range": [ratios.min().item(), ratios.max().item()], "repetitions": len(ratios)}
            row["processor_ratio"] = float(np.median(processor))
        if gflops and peak:
            row["share_of_peak"] = {
                label: row[label] * gflops / 1e3 / peak for label in ("lrjax", "open_clip") if row[label]
            }
        found.append(row)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the rows as a Markdown table."""

    def rate(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    lines = [
        "| model | tower | batch | lrjax /s | open_clip /s | variant | ratio | quartiles | CPU time | lrjax of peak "
        "| open_clip of peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        quartiles = "{:.2f} to {:.2f}".format(*row["quartiles"]) if "quartiles" in row else "-"
        shares = [row.get("share_of_peak", {}).get(label) for label in ("lrjax", "open_clip")]
        cells = [row["model"], row["tower"], row["batch"], rate(row["lrjax"]), rate(row["open_clip"])]
        processor = f"{row['processor_ratio']:.2f}" if "processor_ratio" in row else "-"
        cells += [row["variant"] or "-", ratio, quartiles, processor]
        cells += ["-" if one is None else f"{one:.0%}" for one in shares]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def machine(args: argparse.Namespace, hellos: dict) -> dict[str, Any]:
    """Describes the machine and the software."""
    names = {}
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = dict(map(str.strip, line.partition(":")[::2]) for line in lines if ":" in line)
    return {
        "processor": names.get("model name", platform.processor()),
        "family": f"family {names.get('cpu family')}, model {names.get('model')}",
        "cores": os.cpu_count(),
        "device": next(iter(hellos.values()))["device"],
        "threads": {side: hello["threads"] for side, hello in hellos.items()},
        "load_average_at_start": os.getloadavg()[0],
        "software": [hello["name"] for hello in hellos.values()],
        "python": platform.python_version(),
    }


def parse_args() -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="names of the zoo, of the three that it has")
    parser.add_argument("--towers", nargs="+", choices=("image", "text"), default=["image", "text"])
    parser.add_argument("--image-batches", type=int, nargs="+", help="default: 8 32, on a GPU 32 256")
    parser.add_argument("--text-batches", type=int, nargs="+", help="default: 32, on a GPU 256")
    parser.add_argument("--threads", type=int, default=2, help="of each framework on the CPU")
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each framework, at least 7")
    parser.add_argument("--seconds", type=float, default=1.0, help="shortest turn")
    parser.add_argument("--work", type=Path, help="folder that keeps the checkpoints; default: a temporary one")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    unknown = set(args.models) - MODELS.keys()
    if unknown or args.repetitions < 7:
        parser.error(f"no {sorted(unknown)}, only {list(MODELS)}" if unknown else "at least 7 repetitions")
    args.image_batches = args.image_batches or ([8, 32] if args.device == "cpu" else [32, 256])
    args.text_batches = args.text_batches or ([32] if args.device == "cpu" else [256])
    return args


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measures everything and returns the results."""
    workers, hellos = start_workers(args)
    gpu = args.device == "gpu"  # a processor that is shared has no peak to compare with
    precision, sides = ("bfloat16", [4096, 8192, 16384]) if gpu else ("float32", [2048])
    results: dict[str, Any] = {"machine": machine(args, hellos)}
    print(json.dumps(results["machine"]), flush=True)
    peaks = {side: worker.ask("matmul_peak", sides=sides, precision=precision) for side, worker in workers.items()}
    peak = max(value for found in peaks.values() for value in found.values())
    results |= {"matmul_tflops": peaks, "rows": []}
    print(f"largest matmul rate, {precision}: {peak:.3g} TFLOP/s of {json.dumps(peaks)}", flush=True)
    for name in args.models:
        architecture, options = name.partition(":")[0], MODELS[name]
        source = str(folder / f"{architecture}.safetensors") if "torch" in workers else None
        if source and not Path(source).is_file():
            workers["torch"].ask("create", architecture=architecture, options=options, path=source)
        shapes = [("image", size) for size in args.image_batches] + [("text", size) for size in args.text_batches]
        shapes = [shape for shape in shapes if shape[0] in args.towers]
        for stage in ("float32",) if precision == "float32" else ("float32", precision):
            for worker in workers.values():
                worker.ask(
                    "load", name=name, architecture=architecture, options=options, source=source, precision=stage
                )
            if stage != precision:  # on a GPU float32 is compared, and not timed
                for tower in args.towers:
                    prepare(workers, hellos, name, Case(tower=tower, batch=8, precision=stage), folder, exact=True)
        for tower, batch in shapes:
            case = Case(tower=tower, batch=batch, precision=precision)
            prepared = prepare(workers, hellos, name, case, folder)
            rows = summarise(name, case, alternate(workers, hellos, case, args), prepared, peak if gpu else None)
            results["rows"] += rows
            print(table(rows).splitlines()[-len(rows) :], f"load {os.getloadavg()[0]:.1f}", flush=True)
    for worker in workers.values():
        worker.close()
    return results


def main() -> None:
    """Runs the benchmark."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = run(args, folder)
    print(table(results["rows"]))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
