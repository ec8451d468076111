"""What recipes share."""

LR0FM_DATASETS = (
    "imagenet",
    "imagenet_a",
    "imagenet_v2",
    "imagenet_r",
    "imagenet_sketch",
    "caltech101",
    "dtd",
    "food101",
    "sun397",
    "cars",
    "aircraft",
    "pets",
    "flowers102",
    "eurosat",
    "ucf101",
)
PROCEDURAL_DATASETS = ("shapes", "textures", "letters", "scenes", "colours", "combinations")
