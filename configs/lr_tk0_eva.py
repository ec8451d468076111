"""LR-TK0 tokens for an EVA-CLIP backbone: evaluate, train, evaluate again.

    python -m lrjax.main --config configs/lr_tk0_eva.py

takes the shipped tiny backbone and procedural data: 2 CPU cores, under 6 minutes.

    python -m lrjax.main --config configs/lr_tk0_eva.py:B-16 --config.data.root DATA --config.train.root IMAGES

is the recipe of LR0.FM (arXiv 2502.03950, section 6) on EVA02-CLIP-B/16 with weights from the hub, or from a file
with --config.source FILE. DATA holds one folder per data set, IMAGES the 210,000 synthetic training images. The paper
trained on two 48 GB GPUs with 64 images on each and reports WAR-16 30.7 -> 35.4 and SAR-16 38.0 -> 42.4. Other
backbones: L-14, L-14-336, g-14, g-14-plus, E-14, E-14-plus, 8B.
"""

from ml_collections import ConfigDict

from configs.common import LR0FM_DATASETS, PROCEDURAL_DATASETS
from lrjax.errors import UserError

BACKBONES = {
    "B-16": "EVA02-B-16",
    "L-14": "EVA02-L-14",
    "L-14-336": "EVA02-L-14-336",
    "g-14": "EVA01-g-14",
    "g-14-plus": "EVA01-g-14-plus",
    "E-14": "EVA02-E-14",
    "E-14-plus": "EVA02-E-14-plus",
    "8B": "EVA-CLIP-8B",
}
GIANTS = ("g-14", "g-14-plus", "E-14", "E-14-plus", "8B")


def get_config(backbone: str = "") -> ConfigDict:
    """Returns the recipe of a backbone of `BACKBONES`; without one, of the embedded backbone."""
    if not backbone:
        return embedded()
    if backbone not in BACKBONES:
        raise UserError(f"unknown backbone {backbone!r} in lr_tk0_eva.py:{backbone}; use one of {', '.join(BACKBONES)}")
    giant = backbone in GIANTS
    return ConfigDict(
        {
            "model": BACKBONES[backbone],
            "source": "",
            "workdir": f"runs/lr_tk0_eva_{backbone}",
            "seed": 4096,
            "precision": "bfloat16" if giant else "float32",
            "devices": None,
            "placement": "fsdp" if giant else "replicate",
            "protocol": "lr0fm",
            "data": {"names": LR0FM_DATASETS, "root": "data", "on_error": "error", "workers": 16},
            "questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}},
            "evaluation": {"batch_size": 128},
            "train": {
                "epochs": 200,
                "steps": 0,
                "root": "data/train",
                "image_size": 1024,
                "buckets": ((16, 32), (32, 64), (64, 128)),
                "batch_size": 128,
                "learning_rate": 2e-4,
                "scale_learning_rate": 5e-4,
                "layer_decay": 0.75,
                "weight_decay": 0.05,
                "warmup_steps": 2000,
                "clip_norm": 1.0,  # of the official LAMB; the official script's own bound, 5.0, is above it
                "remat": "full" if giant else "selective",
                "save_every": 1000,
            },
            "report": {"plots": True, "weights": "paper"},
        }
    )


def embedded() -> ConfigDict:
    """Returns the recipe of the shipped backbone on procedural data."""
    return ConfigDict(
        {
            "model": "EVA02-embedded",
            "source": "embedded",
            "workdir": "runs/lr_tk0_eva",
            "seed": 0,
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "data": {"names": PROCEDURAL_DATASETS, "count": 240, "seed": 0, "on_error": "error", "workers": 2},
            "questions": {"zeroshot": {"resolutions": (16, 32, 64, 128)}},
            "evaluation": {"batch_size": 64},
            "train": {
                "steps": 100,
                "epochs": 0,
                "root": "procedural",
                "count": 2000,
                "image_size": 224,
                "buckets": ((16, 32), (32, 64), (64, 128)),
                "batch_size": 64,
                "learning_rate": 0.1,  # LAMB moves a table by this share of its norm: a hundred steps need large ones
                "scale_learning_rate": 5e-4,
                "layer_decay": 1.0,
                "weight_decay": 0.0,
                "warmup_steps": 5,
                "clip_norm": 5.0,
                "remat": "selective",
                "save_every": 10,
            },
            "report": {"plots": True, "weights": "equal"},
        }
    )
