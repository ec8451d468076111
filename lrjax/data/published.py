"""The published results of the LR0.FM benchmark, and what the 66 backbones are."""

import csv
import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

import numpy as np

DATASETS = (
    "imagenet", "imagenet_a", "imagenet_v2", "imagenet_r", "imagenet_sketch", "caltech101", "dtd", "food101", "sun397",
    "cars", "aircraft", "pets", "flowers102", "eurosat", "ucf101",
)  # fmt: skip
RESOLUTIONS: tuple[int | str, ...] = (16, 32, 64, 128, "hr")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A published backbone.

    Attributes:
        name: its name in the published tables, for instance "EVA-02-CLIP-B/16".
        family: for instance "EVA-CLIP"; one of ten.
        backbone: architecture and weights: zoo name and tag, for instance "EVA02-B-16:merged2b_s8b_b131k", or the
            authors' file.
        tower: kind of the image tower.
        image_size: input side in pixels.
        patch: patch side in pixels; 0 for a ResNet.
        parameters: number of parameters of the zero-shot path.
        gflops: forward pass of the image tower for one image; a multiply-add counts as 2.
        data: pre-training data.
        pairs: nominal number of pre-training image-text pairs, in millions.
        finetuned: data set of a later fine-tuning, or "".
        native_hr: whether the "hr" accuracies are at the input size; if not, images were resized to 224 pixels first.
    """

    name: str
    family: str
    backbone: str
    tower: Literal["vit", "resnet"]
    image_size: int
    patch: int
    parameters: int
    gflops: float
    data: str
    pairs: float
    finetuned: str
    native_hr: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """The published figures, as printed.

    Attributes:
        models: the 66 backbones, by family.
        top1: accuracy, [66, 15, 5], float64 fractions, in the order of `models`, `DATASETS` and `RESOLUTIONS`.
        top5: likewise.
        suspects: why a cell is doubtful, by model, data set and resolution; no figure is changed.
        provenance: source, changes, known misprints.
        sha256: of the files that hold the figures and the models, by file name.
    """

    models: tuple[PublishedModel, ...]
    top1: np.ndarray
    top5: np.ndarray
    suspects: Mapping[tuple[str, str, int | str], str]
    provenance: Mapping[str, Any]
    sha256: Mapping[str, str]


@functools.cache
def load_published() -> Published:
    """Reads the published figures, which are part of the package.

    Reference: arXiv 2502.03950; the source of every file is in `Published.provenance`.
    """
    folder = resources.files("lrjax.data").joinpath("assets/lr0fm")
    files = {name: folder.joinpath(name).read_bytes() for name in ("results.csv", "backbones.csv", "provenance.json")}
    models = tuple(_model(row) for row in _rows(files["backbones.csv"]))
    provenance = json.loads(files["provenance.json"])
    numbers = {model.name: number for number, model in enumerate(models)}
    columns = {name: number for number, name in enumerate(DATASETS)}
    depths = {str(name): number for number, name in enumerate(RESOLUTIONS)}
    accuracies = np.full((2, len(models), len(DATASETS), len(RESOLUTIONS)), np.nan)
    suspects = {}
    for row in _rows(files["results.csv"]):
        cell = numbers[row["model"]], columns[row["dataset"]], depths[row["resolution"]]
        accuracies[:, *cell] = float(row["top1"]) / 100, float(row["top5"]) / 100
        if row["suspect"]:
            place = row["model"], row["dataset"], RESOLUTIONS[cell[2]]
            suspects[place] = provenance["suspects"][row["suspect"]]
    accuracies.flags.writeable = False
    return Published(
        models=models,
        top1=accuracies[0],
        top5=accuracies[1],
        suspects=suspects,
        provenance=provenance,
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )


def _rows(content: bytes) -> csv.DictReader:
    return csv.DictReader(io.StringIO(content.decode()))


def _model(row: Mapping[str, str]) -> PublishedModel:
    return PublishedModel(
        name=row["model"],
        family=row["family"],
        backbone=row["backbone"],
        tower="resnet" if row["tower"] == "resnet" else "vit",
        image_size=int(row["image_size"]),
        patch=int(row["patch"]),
        parameters=int(row["parameters"]),
        gflops=float(row["gflops"]),
        data=row["data"],
        pairs=float(row["pairs_millions"]),
        finetuned=row["finetuned"],
        native_hr=row["native_hr"] == "true",
    )
