"""A tiny backbone as files and the command line in this process, for tests of whole runs."""

import dataclasses
import logging
from unittest import mock

import jax
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

import tiny
from checkpoints_conv import FORMATS, export
from lrjax import main
from lrjax.data import tokenizers
from lrjax.data.datasets import get_dataset
from lrjax.leaderboard.board import published_leaderboard
from lrjax.models.build import init_params


def write_checkpoint(row, folder, *, seed=1, one_class=True):
    """Writes weights of a row and its tokenizer into a folder and returns the path of the weights.

    The weights are random, but with `one_class` the bias of the image head outweighs its kernel: every image gets the
    same class, so that of K classes with equally many images 1 in K is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    params = jax.tree.map(np.asarray, init_params(row.spec, seed))
    head = params["image"]["head"]
    if one_class:
        head["kernel"] = head["kernel"] * 1e-3
        head["bias"] = np.random.default_rng(2).normal(size=head["bias"].shape).astype(np.float32)
    path = folder / row.source_file
    save_file(export(params, FORMATS["open_clip_eva"].TABLE), path)
    words = get_dataset("imagenet").classes
    tokenizers.train_tokenizer(words, row.spec.text.vocabulary).save(str(folder / "tokenizer.json"))
    return path


def tiny_row():
    """The row of `tiny` with a vocabulary that a trained tokenizer can have."""
    row = tiny.row()
    text = dataclasses.replace(row.spec.text, vocabulary=300, context=16)
    return dataclasses.replace(row, spec=dataclasses.replace(row.spec, text=text))


def write_recipe(path, **values):
    path.write_text(
        f"from ml_collections import ConfigDict\n\n\ndef get_config():\n    return ConfigDict({values!r})\n"
    )
    return path


def write_dataset(root, name, per_class=1):
    """Writes images for every class of a data set and returns their paths in the order of the data set."""
    paths = []
    dataset = get_dataset(name)
    for label, folder in enumerate(dataset.folders or dataset.classes):
        (root / name / folder).mkdir(parents=True)
        for index in range(per_class):
            paths.append(root / name / folder / f"{index}.png")
            Image.fromarray(tiny.picture(label, 40, 36 + index)).save(paths[-1])
    return paths


class Command:
    """Runs the command line in this process: (status, standard output, standard error).

    Its reports have three published models instead of all, whose pages would take most of the time of a run.
    """

    def __init__(self, capsys):
        self.capsys = capsys

    def __call__(self, *arguments):
        root = logging.getLogger()
        before = root.handlers[:], root.level
        self.capsys.readouterr()
        few = published_leaderboard().keep(range(3))
        try:
            with mock.patch.object(main, "published_leaderboard", return_value=few):
                status = main.main([str(argument) for argument in arguments])
            return status, *self.capsys.readouterr()
        finally:
            root.handlers[:], root.level = before


def failure(outcome, *, alone=True):
    """Checks that a run ended as a mistake of the user and returns the message."""
    status, _, stderr = outcome
    lines = stderr.splitlines()
    assert status == 2
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "Traceback" not in stderr
    assert not alone or len(lines) == 1, stderr
    return lines[-1].removeprefix("error: ")
