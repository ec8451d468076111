"""What a training changes: blocks of the backbone, tokens, or both, and a classifier of captions (LR0.FM, arXiv
2502.03950, table 5).

    python -m lrjax.main --config configs/table5.py:embedded

takes the shipped tiny backbone, and pictures of 200 captions, ten of each.

    python -m lrjax.main --config configs/table5.py --config.data.root DATA --config.train.root IMAGES

is the table of the paper, for EVA02-CLIP-B/16; IMAGES holds the pictures of 7,000 numbered captions
(`lrjax.data.sources.captioned`).
"""

from ml_collections import ConfigDict

from configs.ablation import EVA, recipe, untrained

PAPER = {
    "baseline": EVA,
    "fine-tuned": {"sar16": 31.1, "war16": 24.5, "sar32": 67.2, "war32": 56.6},
    "fine-tuned + LR tokens": {"sar16": 32.8, "war16": 27.8, "sar32": 68.1, "war32": 58.3},
    "LR tokens": {"sar16": 42.3, "war16": 35.2, "sar32": 75.3, "war32": 66.4},
    "LR tokens + classifier": {"sar16": 42.0, "war16": 34.7, "sar32": 75.2, "war32": 65.9},
}


def get_config(variant: str = "") -> ConfigDict:
    """Returns the ablation for real weights, or with "embedded" for the shipped backbone."""
    captions, images = (200, 10) if variant else (7000, 30)
    config = recipe(
        "table5",
        variant,
        {
            "title": "Table 5: what is trained",
            "rows": (
                ("baseline", untrained(variant)),
                ("fine-tuned", {"train": {"tokens": False, "unfrozen": 0.25, "unfrozen_rate": 0.01}}),
                ("fine-tuned + LR tokens", {"train": {"unfrozen": 0.25, "unfrozen_rate": 0.01}}),
                ("LR tokens", {}),
                ("LR tokens + classifier", {"train": {"captions": captions}}),
            ),
            "paper": PAPER,
        },
    )
    config.update({"train": {"images_per_caption": images}})
    if variant:
        config.update({"train": {"count": captions * images}})
    return config
