"""Several backbones on several data sets at several resolutions: one table of robustness, with confidence intervals.

    python -m lrjax.main --config configs/sweep.py

compares the shipped tiny backbone at two input sizes on procedural data: 2 CPU cores, under 3 minutes.

    python -m lrjax.main --config configs/sweep.py:lr0fm --config.data.root DATA

measures the backbones of `LR0FM_MODELS` as LR0.FM does (arXiv 2502.03950, Table 2). DATA holds one folder per data set.
Weights come from the hub; "BACKBONE=FILE" in `config.models` takes a local file. Neither wall time nor numbers have
been measured here.

An interrupted sweep goes on where it was: run the same command again.
"""

from ml_collections import ConfigDict

from configs.common import LR0FM_DATASETS, PROCEDURAL_DATASETS
from lrjax.errors import UserError

LR0FM_MODELS = (
    "RN50:openai",
    "ViT-B-32:openai",
    "ViT-B-16:openai",
    "ViT-L-14:openai",
    "ViT-B-16:datacomp_xl_s13b_b90k",
    "ViT-L-14:datacomp_xl_s13b_b90k",
    "ViT-B-16-quickgelu:metaclip_fullcc",
    "ViT-L-14-quickgelu:metaclip_fullcc",
    "ViT-L-14-CLIPA:datacomp1b",
    "ViT-B-16-SigLIP:webli",
    "ViT-L-16-SigLIP-256:webli",
    "coca_ViT-B-32:laion2b_s13b_b90k",
    "coca_ViT-L-14:laion2b_s13b_b90k",
    "EVA02-B-16:merged2b_s8b_b131k",
    "EVA02-L-14:merged2b_s4b_b131k",
)
"""Base and large backbones of every family; `python -m lrjax.models` lists the others."""


def get_config(name: str = "") -> ConfigDict:
    """Returns the sweep over the embedded backbone, or with "lr0fm" that over real ones."""
    if name not in ("", "lr0fm"):
        raise UserError(f"unknown sweep {name!r} in sweep.py:{name}; use sweep.py or sweep.py:lr0fm")
    if name:
        return ConfigDict(
            {
                "models": LR0FM_MODELS,
                "workdir": "runs/sweep_lr0fm",
                "protocol": "lr0fm",
                "data": {"names": LR0FM_DATASETS, "root": "data", "workers": 16},
                "questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}},
                "evaluation": {"batch_size": 128},
                "report": {"plots": True, "weights": "paper"},
            }
        )
    return ConfigDict(
        {
            "models": ("EVA02-embedded=embedded", "EVA02-embedded@160=embedded"),
            "workdir": "runs/sweep",
            "data": {"names": PROCEDURAL_DATASETS, "count": 240, "seed": 0, "workers": 2},
            "questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}},
            "evaluation": {"batch_size": 64},
            "report": {"plots": True, "weights": "equal"},
        }
    )
