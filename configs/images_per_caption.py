"""How many images of each caption a training needs (LR0.FM, arXiv 2502.03950, figures 13 and 20).

    python -m lrjax.main --config configs/images_per_caption.py:embedded

takes the shipped tiny backbone, and pictures of 64 captions; all rows have equally many steps.

    python -m lrjax.main --config configs/images_per_caption.py --config.data.root DATA --config.train.root IMAGES

is the curve of the paper, for EVA02-CLIP-B/16; IMAGES holds 50 pictures of each of 7,000 numbered captions
(`lrjax.data.sources.captioned`). Every row is trained for the 200 epochs of the recipe, for the paper names no other
length, so that more images are also more steps. The figures print no numbers.
"""

from ml_collections import ConfigDict

from configs.ablation import recipe, untrained

CAPTIONS = 64


def get_config(variant: str = "") -> ConfigDict:
    """Returns the ablation for real weights, or with "embedded" for the shipped backbone."""
    rows = [("baseline", untrained(variant))]
    for images in (1, 2, 5, 10, 20) if variant else (1, 5, 10, 20, 30, 40, 50):
        train = {"images_per_caption": images} | ({"count": CAPTIONS * images} if variant else {})
        rows.append((f"{images} per caption", {"train": train}))
    return recipe(
        "images_per_caption",
        variant,
        {
            "title": "Images per caption",
            "rows": tuple(rows),
            "axis": "train.images_per_caption",
        },
    )
