"""What LR-TK0 tokens give to three backbones (LR0.FM, arXiv 2502.03950, table 2).

    python -m lrjax.main --config configs/table2.py:embedded

takes the shipped tiny backbone alone, beside the paper's numbers of EVA02-CLIP-B/16.

    python -m lrjax.main --config configs/table2.py --config.data.root DATA --config.train.root IMAGES

is the table of the paper; its 224 px are HR. EVA02 is trained for 200 epochs, the others for 10.
"""

from ml_collections import ConfigDict

from configs.ablation import recipe, untrained

BACKBONES = {
    "EVA-02-CLIP-B/16": {},
    "MetaCLIP-ViT-B/16": {"model": "ViT-B-16-quickgelu:metaclip_fullcc", "train": {"epochs": 10}},
    "OpenCLIP-ViT-B/16": {"model": "ViT-B-16:datacomp_xl_s13b_b90k", "train": {"epochs": 10}},
}
METRICS = tuple(f"{kind}{side}" for side in (16, 32, 64, 128, "hr") for kind in ("sar", "war", "acc"))
PAPER = {
    "EVA-02-CLIP-B/16": (
        (38.0, 30.7, 28.1, 74.4, 64.8, 53.5, 92.4, 85.8, 65.2, 98.4, 96.1, 68.8, 100.0, 100.0, 69.6),
        (42.4, 35.4, 31.3, 75.3, 66.4, 54.1, 91.8, 85.9, 64.8, 97.8, 95.5, 68.3, 99.1, 98.7, 69.0),
    ),
    "MetaCLIP-ViT-B/16": (
        (32.1, 27.2, 23.4, 65.3, 54.4, 47.0, 89.5, 83.6, 62.9, 98.5, 96.7, 68.5, 100.0, 100.0, 69.4),
        (41.9, 38.9, 30.2, 71.7, 66.0, 51.0, 89.3, 85.4, 62.6, 96.7, 95.4, 67.3, 97.6, 97.4, 67.9),
    ),
    "OpenCLIP-ViT-B/16": (
        (33.4, 26.5, 24.8, 68.6, 59.5, 49.8, 89.2, 84.1, 63.6, 96.8, 94.8, 68.3, 100.0, 100.0, 70.4),
        (37.4, 34.4, 27.4, 69.0, 63.0, 49.9, 88.8, 84.2, 63.4, 96.8, 95.1, 68.4, 99.0, 99.0, 69.8),
    ),
}
"""Without and with tokens, by metric of `METRICS`; the WAR at HR is as printed, not that of its formula."""


def get_config(variant: str = "") -> ConfigDict:
    """Returns the table for real weights, or with "embedded" for the shipped backbone."""
    rows, paper = [], {}
    for name in ("EVA-02-CLIP-B/16",) if variant else BACKBONES:
        shown = "EVA02-embedded" if variant else name
        changes = BACKBONES[name]
        rows += [(shown, changes | untrained(variant)), (f"{shown} + LR-TK0", changes)]
        for row, numbers in zip((shown, f"{shown} + LR-TK0"), PAPER[name], strict=True):
            paper[row] = dict(zip(METRICS, numbers, strict=True))
    config = recipe(
        "table2",
        variant,
        {"title": "Table 2: LR-TK0 for three backbones", "rows": tuple(rows), "metrics": METRICS, "paper": paper},
    )
    config.update({"questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}}})
    return config
