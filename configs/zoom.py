r"""Zoom: which of 324 views of an image (36 scales at 9 places) a classifier gets right (arXiv 2304.05538).

    python -m lrjax.main --config configs/zoom.py

takes the shipped tiny backbone and 24 images of each of two procedural data sets, a subset: 15,552 views and 1,008
crops, 59 s of processor time (2 min 44 s on 2 CPU cores that other programs kept busy, load average 16).

    python -m lrjax.main --config configs/zoom.py:imagenet_a --config.data.root DATA

takes OpenAI's ViT-L/14 from the hub (or from a file with --config.source FILE) and a real data set: imagenet,
imagenet_real, imagenet_plus_real, imagenet_a, imagenet_r, imagenet_sketch or imagenet_v2. DATA holds one folder per
data set. Published, in percent, for the middle view at scale 256 (`zoom_acc1`) and for the best of all views
(`zoom_upper_bound`): imagenet 75.03 and 96.78, imagenet_real 80.68 and 98.69, imagenet_plus_real 81.95 and 98.80,
imagenet_a 71.28 and 98.45, imagenet_r 87.74 and 99.20, imagenet_sketch 58.23 and 89.00 (Table 1).

Probabilities are combined over the crops that cover another data set (Table A6) by

    python -m lrjax.main --config configs/zoom.py:imagenet_real --config.data.root DATA
    python -m lrjax.questions.zoom runs/zoom_imagenet_real --covers covers.json
    python -m lrjax.main --config configs/zoom.py:imagenet_a --config.data.root DATA \
        --config.questions.zoom.aggregate covers.json

and --config.data.region foreground (or background) blackens what is outside (or inside) of bounding boxes (Table A8),
which imagenet has in a folder of XML files: --config.data.boxes FOLDER. An interrupted run goes on behind its last
`evaluation.part_size` images.
"""

from ml_collections import ConfigDict

from lrjax.errors import UserError

DATASETS = (
    "imagenet",
    "imagenet_real",
    "imagenet_plus_real",
    "imagenet_a",
    "imagenet_r",
    "imagenet_sketch",
    "imagenet_v2",
)


def get_config(dataset: str = "") -> ConfigDict:
    """Returns the recipe of a data set of `DATASETS`; without one, of the embedded backbone."""
    if not dataset:
        return embedded()
    if dataset not in DATASETS:
        raise UserError(f"unknown data set {dataset!r} in zoom.py:{dataset}; use one of {', '.join(DATASETS)}")
    return ConfigDict(
        {
            "model": "ViT-L-14:openai",
            "source": "",
            "workdir": f"runs/zoom_{dataset}",
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "pass_order": "pillow12",  # of the published numbers
            "data": {"names": (dataset,), "root": "data", "on_error": "error", "workers": 16},
            "questions": {
                "zeroshot": {"resolutions": ()},
                "zoom": {"normalisation": "imagenet", "scales_at_once": 1, "keep": ("guess",)},
            },
            "evaluation": {"batch_size": 64, "part_size": 1024},
            "report": {"plots": True, "weights": "equal"},
        }
    )


def embedded() -> ConfigDict:
    """Returns the recipe of the shipped backbone on procedural data."""
    return ConfigDict(
        {
            "model": "EVA02-embedded",
            "source": "embedded",
            "workdir": "runs/zoom",
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "data": {"names": ("shapes", "letters"), "count": 24, "seed": 0, "on_error": "error", "workers": 2},
            "questions": {
                "zeroshot": {"resolutions": ()},
                "zoom": {"normalisation": "native", "scales_at_once": 4, "keep": ()},
            },
            "evaluation": {"batch_size": 8, "part_size": 24},
            "report": {"plots": True, "weights": "equal"},
        }
    )
