"""Retrieval of images by captions and of captions by images, at every resolution.

    python -m lrjax.main --config configs/retrieval.py

asks the shipped tiny backbone of 100 drawn pictures with five captions each, at five resolutions: about a minute on 2
busy CPU cores.

    python -m lrjax.main --config configs/retrieval.py:flickr30k --config.data.root DATA
    python -m lrjax.main --config configs/retrieval.py:coco --config.data.root DATA

take OpenAI's ViT-B/32 from the hub (or from a file with --config.source FILE). DATA/flickr30k holds Karpathy's
dataset_flickr30k.json and, in it or in one folder in it, the images; DATA/coco dataset_coco.json and val2014. Published
for "hr", in percent: `text_to_image_recall5` 83.56 and `image_to_text_recall5` 94.9 of flickr30k, 55.94 and 75.0 of
coco (docs/openclip_retrieval_results.csv of open_clip). Wall time has not been measured here.
"""

from ml_collections import ConfigDict

from lrjax.errors import UserError

DATASETS = ("flickr30k", "coco")


def get_config(dataset: str = "") -> ConfigDict:
    """Returns the recipe of a data set of `DATASETS`; without one, of the embedded backbone."""
    if not dataset:
        return embedded()
    if dataset not in DATASETS:
        raise UserError(f"unknown data set {dataset!r} in retrieval.py:{dataset}; use one of {', '.join(DATASETS)}")
    return ConfigDict(
        {
            "model": "ViT-B-32:openai",
            "source": "",
            "workdir": f"runs/retrieval_{dataset}",
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "pass_order": "pillow12",  # of the published numbers
            "data": {"names": (dataset,), "root": "data", "on_error": "error", "workers": 16},
            "questions": {"retrieval": {"resolutions": (16, 32, 64, 128)}},
            "evaluation": {"batch_size": 128},
            "report": {"plots": True, "weights": "equal"},
        }
    )


def embedded() -> ConfigDict:
    """Returns the recipe of the shipped backbone on drawn pictures."""
    return ConfigDict(
        {
            "model": "EVA02-embedded",
            "source": "embedded",
            "workdir": "runs/retrieval",
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "data": {"names": ("captioned",), "count": 100, "seed": 0, "on_error": "error", "workers": 2},
            "questions": {"retrieval": {"resolutions": (16, 32, 64, 128)}},
            "evaluation": {"batch_size": 20},
            "report": {"plots": True, "weights": "equal"},
        }
    )
