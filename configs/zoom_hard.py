"""A hard set: the images that no zoom makes classifiable, found among images and corrupted ones, as ImageNet-Hard was.

    python -m lrjax.main --config configs/zoom_hard.py
    python -m lrjax.questions.zoom.hard build runs/zoom_hard --out runs/hard --name letters_hard
    python -m lrjax.main --config configs/zoom_hard.py:evaluate
    python -m lrjax.questions.zoom.hard score runs/hard_results

The first command classifies 324 views of 40 images of `letters`, a subset, and of each of their six corruptions at
severity 5 (90,720 views, 4 min 12 s of processor time); the second writes the 22 that no view gets right, 13 with fog,
6 with snow and 3 brightened, as a data set; the others measure accuracy on it: 4.5 %, 1 of 22, against 99.2 % on other
letters, and no better at another input size.

    python -m lrjax.main --config configs/zoom_hard.py:imagenet --config.data.root DATA
    python -m lrjax.questions.zoom.hard build runs/zoom_hard_imagenet --out DIR --drop-confusable [--review FILE]

is the construction of ImageNet-Hard (arXiv 2304.05538, appendix) from the data sets that the registry has, with
OpenAI's ViT-L/14; its severities are not published, `SEVERITY` is our choice. DATA holds one folder per data set, and
real.json.

An interrupted run goes on behind its last `zoom.shard_size` images, an interrupted build behind its last image.
"""

from ml_collections import ConfigDict

from configs import zoom
from lrjax.errors import UserError

SEVERITY = 5
CORRUPTIONS = ("impulse_noise", "zoom_blur", "snow", "frost", "fog", "brightness")
"""The six that ImageNet-Hard keeps of nineteen."""


def get_config(name: str = "") -> ConfigDict:
    """Returns the recipe on drawn letters, with "evaluate" that on their hard set, with "imagenet" that on ImageNet."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r} in zoom_hard.py:{name}; leave it out, or use evaluate or imagenet")
    return RECIPES[name]()


def embedded() -> ConfigDict:
    """Returns the recipe of the shipped backbone on drawn letters."""
    return ConfigDict(
        {
            "model": "EVA02-embedded",
            "source": "embedded",
            "workdir": "runs/zoom_hard",
            "precision": "float32",
            "devices": None,
            "data": {"names": _corrupted("letters"), "count": 40, "seed": 0, "on_error": "error", "workers": 2},
            "questions": {
                "zeroshot": {"resolutions": ()},
                "zoom": {"normalisation": "native", "scales_at_once": 4, "keep": ()},
            },
            "evaluation": {"batch_size": 8, "part_size": 40},
            "report": {"plots": True, "weights": "equal"},
        }
    )


def evaluate() -> ConfigDict:
    """Returns the recipe that measures the shipped backbone, at two input sizes, on other letters and on hard ones."""
    return ConfigDict(
        {
            "models": ("EVA02-embedded=embedded", "EVA02-embedded@160=embedded"),
            "workdir": "runs/hard_results",
            "data": {"names": ("letters", "runs/hard/letters_hard.yaml"), "count": 240, "seed": 1, "workers": 2},
            "questions": {"zeroshot": {"resolutions": ()}},
            "evaluation": {"batch_size": 16},
            "report": {"plots": True, "weights": "equal"},
        }
    )


def imagenet() -> ConfigDict:
    """Returns the recipe of OpenAI's ViT-L/14 on ImageNet and its relatives."""
    config = zoom.get_config("imagenet_plus_real")
    config.workdir = "runs/zoom_hard_imagenet"
    relatives = ("imagenet_v2", "imagenet_a", "imagenet_r", "imagenet_sketch")
    config.update({"data": {"names": (*_corrupted("imagenet_plus_real"), *relatives)}})
    return config


def _corrupted(name: str) -> tuple[str, ...]:
    return (name, *(f"{name}+{corruption}-{SEVERITY}" for corruption in CORRUPTIONS))


RECIPES = {"": embedded, "evaluate": evaluate, "imagenet": imagenet}
