"""Which resolutions a training sees (LR0.FM, arXiv 2502.03950, table 6).

    python -m lrjax.main --config configs/table6.py:embedded

takes the shipped tiny backbone.

    python -m lrjax.main --config configs/table6.py --config.data.root DATA --config.train.root IMAGES

is the table of the paper, for EVA02-CLIP-B/16.
"""

from ml_collections import ConfigDict

from configs.ablation import recipe, untrained

BUCKETS = ((16, 32), (32, 64), (64, 128), (128, 224))
PAPER = ((34.01, 64.77), (35.28, 66.10), (35.45, 66.40), (35.73, 65.91))
"""WAR-16 and WAR-32 with the first one, two, three and four of the buckets."""


def get_config(variant: str = "") -> ConfigDict:
    """Returns the ablation for real weights, or with "embedded" for the shipped backbone."""
    rows = [("baseline", untrained(variant))]
    paper = {"baseline": {"war16": 30.74, "war32": 64.81}}
    for count, (war16, war32) in enumerate(PAPER, start=1):
        name = f"{'+ ' if count > 1 else ''}[{BUCKETS[count - 1][0]}, {BUCKETS[count - 1][1]}]"
        rows.append((name, {"train": {"buckets": BUCKETS[:count]}}))
        paper[name] = {"war16": war16, "war32": war32}
    return recipe(
        "table6",
        variant,
        {
            "title": "Table 6: resolutions of the training",
            "rows": tuple(rows),
            "metrics": ("war16", "war32"),
            "paper": paper,
        },
    )
