"""What the recipes of the ablations share: the recipe of the paper, or a short one for the shipped backbone."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import lr_tk0_eva
from lrjax.errors import UserError

EVA = {"sar16": 38.0, "war16": 30.7, "sar32": 74.4, "war32": 64.8}
"""EVA02-CLIP-B/16 without training (LR0.FM, arXiv 2502.03950, table 2)."""
EVA_TOKENS = {"sar16": 42.4, "war16": 35.4, "sar32": 75.3, "war32": 66.4}
"""The same with LR-TK0 tokens."""


def recipe(name: str, variant: str, ablation: Mapping[str, Any]) -> ConfigDict:
    """Returns the recipe of an ablation.

    Args:
        name: of the file, for the working directory.
        variant: "" for real weights, trained and evaluated as in the paper with its one seed, or "embedded" for the
            shipped backbone: 80 steps of 32 rendered images for each of three seeds.
        ablation: values of `config.ablation`.

    Raises:
        UserError: the variant is another one.
    """
    if variant not in ("", "embedded"):
        raise UserError(f"unknown variant {variant!r} in {name}.py:{variant}; use {name}.py or {name}.py:embedded")
    config = lr_tk0_eva.get_config("" if variant else "B-16")
    config.workdir = f"runs/{name}_{variant}" if variant else f"runs/{name}"
    config.update({"questions": {"zeroshot": {"resolutions": (16, 32)}}})
    if variant:
        config.update({"train": {"steps": 80, "batch_size": 32, "learning_rate": 0.12, "save_every": 40}})
    else:
        config.protocol = "lr0fm"
    shared = {"seeds": (0, 1, 2) if variant else (4096,), "metrics": ("sar16", "war16", "sar32", "war32")}
    config.ablation = {**shared, **ablation}
    return config


def untrained(variant: str) -> dict[str, Any]:
    """Returns what makes a row of the backbone as it is."""
    return {"train": {"steps": 0} if variant else {"epochs": 0}}
