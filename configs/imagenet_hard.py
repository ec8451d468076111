"""ImageNet-Hard: 10,980 images that no zoom of CLIP's ViT-L/14 gets right (arXiv 2304.05538), zero-shot.

    python -m lrjax.main --config configs/imagenet_hard.py --config.data.root DATA

DATA/imagenet_hard holds the Parquet files of taesiri/imagenet-hard of the hub, as its snapshot has them
(data/validation-*.parquet). All 1000 classes and 80 templates of ImageNet compete; a guess is right if it is among the
labels of the image; every backbone has its own preprocessing. `PUBLISHED` holds the published accuracies (Tables 3 and
A12), with which the rows `acc1` at "hr" are to be compared; weights come from the hub, or with "BACKBONE=FILE" in
`config.models` from a file. Neither wall time nor numbers have been measured here.

    python -m lrjax.main --config configs/imagenet_hard.py:4k --config.data.root DATA

is the version whose images were enlarged (taesiri/imagenet-hard-4K, 66 GB, in DATA/imagenet_hard_4k). Published there:
1.81 for ViT-L-14:openai, 1.88 for ViT-L-14-336:openai, 13.04 for ViT-L-14:datacomp_xl_s13b_b90k, 14.33 for ViT-bigG-14.

An interrupted run keeps every backbone that is finished: run the same command again.
"""

from ml_collections import ConfigDict

from lrjax.errors import UserError

DATASETS = {"": "imagenet_hard", "4k": "imagenet_hard_4k"}
PUBLISHED = {
    "ViT-L-14:openai": 1.86,
    "ViT-L-14-336:openai": 2.02,
    "coca_ViT-B-32:laion2b_s13b_b90k": 5.83,
    "ViT-L-14:laion2b_s32b_b82k": 10.13,
    "coca_ViT-L-14:laion2b_s13b_b90k": 10.79,
    "ViT-H-14:laion2b_s32b_b79k": 13.01,
    "ViT-L-14:datacomp_xl_s13b_b90k": 15.60,
    "ViT-bigG-14:laion2b_s39b_b160k": 15.93,
}
"""Published top-1 accuracy in percent."""


def get_config(version: str = "") -> ConfigDict:
    """Returns the recipe of ImageNet-Hard, or with "4k" that of its enlarged images."""
    if version not in DATASETS:
        raise UserError(f"unknown version {version!r} in imagenet_hard.py:{version}; leave it out, or use 4k")
    return ConfigDict(
        {
            "models": tuple(PUBLISHED),
            "workdir": f"runs/{DATASETS[version]}",
            "precision": "float32",
            "devices": None,
            "placement": "replicate",
            "pass_order": "pillow12",  # of the published numbers
            "data": {"names": (DATASETS[version],), "root": "data", "on_error": "error", "workers": 16},
            "questions": {"zeroshot": {"resolutions": ()}},
            "evaluation": {"batch_size": 64},
            "report": {"plots": True, "weights": "equal"},
        }
    )
