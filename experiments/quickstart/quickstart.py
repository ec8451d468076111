"""A first look at lrjax, cell by cell: PYTHONPATH=. python experiments/quickstart/quickstart.py."""

# %% Find a backbone. The zoo says what it is made of; nothing is downloaded yet.
import numpy as np

import lrjax
from lrjax.data.datasets import get_dataset, open_source

print(lrjax.list_models("ViT-B-16*"))

# %% Load one. The embedded one is shipped; for the others give a file, a hub id, or nothing (the hub id of the row).
model = lrjax.load("EVA02-embedded", "embedded")
print(model.row.name, f"{model.row.parameters:,} parameters,", f"{model.row.spec.image.size} px")

# %% Some images: paths, PIL images or uint8 arrays. These are rendered.
dataset = get_dataset("scenes")
source = open_source("scenes", count=60, seed=1)
examples = [source[index] for index in range(len(source))]
images = [example["image"] for example in examples]
labels = np.array([example["label"] for example in examples])

# %% A zero-shot classifier is a matrix: one embedding per class, averaged over the prompts.
classifier = lrjax.zero_shot_classifier(model, dataset.classes, dataset.templates)
print("classifier", classifier.shape, "for", ", ".join(dataset.classes))

# %% Accuracy at several resolutions: the image is made small, then goes through the model's own preprocessing.
for resolution in (16, 32, 64, 128, None):
    embedded = lrjax.encode_image(model, images, resolution=resolution)
    accuracy = (embedded @ classifier.T).argmax(axis=1) == labels
    print(f"{resolution or 'HR':>4}  top-1 {100 * accuracy.mean():5.1f} %")

# %% Texts and images live in one space: the best caption of the first image.
captions = ["a photo of a beach", "a drawing of a house at night", "the letter R"]
similarity = lrjax.encode_image(model, images[:1]) @ lrjax.encode_text(model, captions).T
print(
    dict(zip(captions, [round(float(one), 3) for one in similarity[0]], strict=True)),
    "for a picture of",
    dataset.classes[labels[0]],
)
