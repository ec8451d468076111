"""A random backbone and rendered pictures, small enough that every test of the whole path takes seconds."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lrjax.config import Config, Data, Train
from lrjax.data.images import ImageError
from lrjax.data.source import Source
from lrjax.data.tokenizers import Tokenizer
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.models.predict import Predictor
from lrjax.sharding import PLACEMENTS, make_mesh, tree_shardings
from lrjax.weights.checkpoint import save_slices
from lrjax.weights.naming import Model
from lrjax.weights.streaming import named_leaves

SIZE, PATCH, WIDTH, DEPTH, HEADS, EMBEDDING = 32, 8, 32, 2, 2, 16
CONTEXT, VOCABULARY = 12, 96


@functools.cache
def row():
    base = zoo.get("EVA02-embedded")
    image, text = base.spec.image, base.spec.text
    image = dataclasses.replace(
        image,
        size=SIZE,
        patch=PATCH,
        embedding=EMBEDDING,
        blocks=dataclasses.replace(image.blocks, width=WIDTH, depth=DEPTH, heads=HEADS, hidden=40),
    )
    text = dataclasses.replace(
        text,
        context=CONTEXT,
        vocabulary=VOCABULARY,
        embedding=EMBEDDING,
        blocks=dataclasses.replace(text.blocks, width=16, depth=1, heads=2, hidden=32),
    )
    spec = dataclasses.replace(base.spec, image=image, text=text)
    return dataclasses.replace(base, architecture="tiny", source_file="tiny.safetensors", spec=spec)


@functools.cache
def params():
    """Random parameters of `row`."""
    return random_params(row().spec)


def random_params(spec):
    """Random parameters as numpy arrays, no scale one and no bias zero."""
    rng = np.random.default_rng(7)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        if path[-1].key == "kernel":
            fan_in = math.prod(leaf.shape[-2:-1] if leaf.ndim < 4 else leaf.shape[:-1])
            return noise * np.float32(fan_in**-0.5)
        return 0.1 * noise + np.float32(path[-1].key == "scale")

    return jax.tree_util.tree_map_with_path(draw, abstract_params(spec))


def save_params(tree, directory, **options):
    """Writes a tree as a converted directory, with the options of `save_slices`."""
    slices = ((name, None, np.asarray(leaf)) for name, leaf in named_leaves(tree))
    save_slices(slices, directory, target=tree, **options)


def tokenizer():
    def encode(texts):
        return [[1 + ord(letter) % (VOCABULARY - 3) for letter in text] for text in texts]

    return Tokenizer(encode, "letters", context=CONTEXT, sot_id=VOCABULARY - 2, eot_id=VOCABULARY - 1)


def place_tree(tree, mesh, rules):
    return jax.tree.map(jax.device_put, tree, tree_shardings(tree, mesh, rules))


def predictor(devices=1, *, placement="replicate", dtype=jnp.float32):
    mesh = make_mesh(devices)
    return Predictor(row(), place_tree(params(), mesh, PLACEMENTS[placement]), tokenizer(), mesh, dtype=dtype)


def broken_predictor(tower, devices=1):
    """A predictor with NaN in the last norm of a tower."""
    broken = predictor(devices)
    scale = broken.params[tower]["norm"]["scale"].at[0].set(jnp.nan)
    norm = broken.params[tower]["norm"] | {"scale": scale}
    broken.params = broken.params | {tower: broken.params[tower] | {"norm": norm}}
    return broken


def random_tokens(seed=0, std=0.3):
    shape = (DEPTH + 1, (SIZE // PATCH) ** 2, WIDTH)
    return np.random.default_rng(seed).normal(0, std, shape).astype(np.float32)


def unit_rows(seed, count):
    rows = np.random.default_rng(seed).normal(size=(count, EMBEDDING)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def picture(seed, height, width):
    """A smooth random picture with some noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    return np.clip(np.asarray(coarse) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


class Pictures(Source):
    """Rendered pictures, landscape, portrait and square in turn, with labels below `classes`.

    The aspect ratios stay below two: Pillow 12 and 13 differ beyond.
    """

    fingerprint = "pictures"

    def __init__(self, count, *, classes=7, damaged=(), square=None):
        self.count, self.classes, self.damaged, self.square = count, classes, damaged, square

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.damaged:
            raise ImageError(f"image 'picture{index}.png' cannot be decoded", f"picture{index}.png")
        side = 26 + 7 * (index % 9)
        height, width = [(side, side + 19), (side + 23, side), (side, side)][index % 3]
        if self.square:
            height = width = self.square
        return {"image": picture(index, height, width), "label": (index * 5) % self.classes, "id": f"picture{index}"}


def write_training_images(folder, count=12, side=40):
    """Writes `count` pictures of several sizes as PNG files and returns the folder."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(picture(100 + index, side + index % 5, side + index % 3)).save(folder / f"{index:03d}.png")
    return folder


def train_options(**changes):
    """Four steps of eight images, two buckets, no warm-up."""
    options = {
        "steps": 4,
        "image_size": 40,
        "buckets": ((8, 16), (16, 33)),
        "batch_size": 8,
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "save_every": 2,
        "token_std": 0.1,
    }
    return Train(**(options | changes))


def config(workdir, train, **changes):
    data = Data(names=("shapes",), workers=0)
    return Config(**({"model": "tiny", "data": data, "workdir": str(workdir), "train": train} | changes))


def model(backbone=None, name="tiny", weights="abc"):
    """A model of a run, whose weights nobody has to read."""
    found = Model(name=name, row=backbone or row(), source="nowhere", release=False)
    found.__dict__["weights"] = weights
    return found
