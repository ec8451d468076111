"""LR-TK0 tokens beside other ways to make a backbone robust (LR0.FM, arXiv 2502.03950, table 4).

    python -m lrjax.main --config configs/table4.py:embedded

takes the shipped tiny backbone, with visual prompts in the proportion of the paper: one for every four patches.

    python -m lrjax.main --config configs/table4.py --config.data.root DATA --config.train.root IMAGES

is the table of the paper, for EVA02-CLIP-B/16.
"""

from ml_collections import ConfigDict

from configs.ablation import recipe, untrained

PAPER = {
    "baseline": (30.7, 64.8, 85.8, 96.1, 100.0, 38.0),
    "VPT": (35.5, 64.1, 84.6, 94.5, 97.8, 42.6),
    "RobustSAM": (32.2, 61.5, 82.7, 92.4, 93.0, 37.8),
    "LR tokens": (35.4, 66.4, 85.9, 95.5, 98.7, 42.4),
}
METRICS = ("war16", "war32", "war64", "war128", "warhr", "sar16")


def get_config(variant: str = "") -> ConfigDict:
    """Returns the comparison for real weights, or with "embedded" for the shipped backbone."""
    config = recipe(
        "table4",
        variant,
        {
            "title": "Table 4: LR tokens and other methods",
            "rows": (
                ("baseline", untrained(variant)),
                ("VPT", {"train": {"tokens": False, "prompts": 12 if variant else 50}}),
                ("RobustSAM", {"train": {"tokens": False, "robust_token": True}}),
                ("LR tokens", {}),
            ),
            "metrics": METRICS,
            "paper": {row: dict(zip(METRICS, numbers, strict=True)) for row, numbers in PAPER.items()},
        },
    )
    config.update({"questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}}})
    return config
