"""Where LR-TK0 tokens stand: from which block on there are tables (LR0.FM, arXiv 2502.03950, table 14).

    python -m lrjax.main --config configs/table14.py:embedded

takes the shipped tiny backbone, whose four blocks stand for the 1st, 6th, 9th and last of twelve.

    python -m lrjax.main --config configs/table14.py --config.data.root DATA --config.train.root IMAGES

is the table of the paper, for EVA02-CLIP-B/16.
"""

from ml_collections import ConfigDict

from configs.ablation import EVA, EVA_TOKENS, recipe, untrained

PAPER = {
    0: EVA_TOKENS,
    5: {"sar16": 41.4, "war16": 35.3, "sar32": 75.4, "war32": 67.0},
    8: {"sar16": 39.6, "war16": 33.3, "sar32": 74.8, "war32": 65.5},
    11: {"sar16": 38.4, "war16": 31.3, "sar32": 74.5, "war32": 64.6},
}


def get_config(variant: str = "") -> ConfigDict:
    """Returns the ablation for real weights, or with "embedded" for the shipped backbone."""
    blocks = dict(zip(PAPER, (0, 1, 2, 3) if variant else PAPER, strict=True))
    rows = [(f"[{block}]", {"train": {"first_block": block}}) for block in blocks.values()]
    paper = {f"[{blocks[number]}]": numbers for number, numbers in PAPER.items()}
    return recipe(
        "table14",
        variant,
        {
            "title": "Table 14: first block with LR tokens",
            "rows": (("baseline", untrained(variant)), *rows),
            "paper": {"baseline": EVA} | paper,
        },
    )
