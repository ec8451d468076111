"""Trains LR-TK0 tokens for the embedded backbone with several seeds and prints the mean top-1 per resolution.

PYTHONPATH=. python experiments/lr_tk0_embedded/run.py --seeds 3
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from lrjax.results.store import ResultStore


def accuracies(workdir: Path, variant: str) -> dict[int | str, float]:
    """Returns the mean top-1 over data sets per resolution, in percent."""
    values = defaultdict(list)
    for row in ResultStore(workdir).rows:
        if row.variant == variant and row.metric == "acc1":
            values[row.resolution].append(100 * row.value)
    return {resolution: float(np.mean(found)) for resolution, found in values.items()}


def main() -> None:
    """Runs all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/lr_tk0_embedded"))
    args, overrides = parser.parse_known_args()
    gains = []
    for seed in range(args.seeds):
        workdir = args.workdir / str(seed)
        command = [sys.executable, "-m", "lrjax.main", "--config", "configs/lr_tk0_eva.py"]
        command += [f"--config.seed={seed}", f"--config.workdir={workdir}", "--config.report.plots=False", *overrides]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        before, after = (accuracies(workdir, variant) for variant in ("vanilla", "lr_tk0"))
        gains.append([after[side] - before[side] for side in before])
        print(f"seed {seed}: " + ", ".join(f"{side} {before[side]:.1f} -> {after[side]:.1f}" for side in before))
    mean, deviation = np.mean(gains, axis=0), np.std(gains, axis=0, ddof=1) if len(gains) > 1 else np.zeros(len(before))
    print("gain: " + ", ".join(f"{s} {m:+.1f} +- {d:.1f}" for s, m, d in zip(before, mean, deviation, strict=True)))


if __name__ == "__main__":
    main()
