"""The public functions: find a backbone, load it, embed images and texts, build a zero-shot classifier."""

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from lrjax.checkpoint import load_params, locate
from lrjax.data.loader import batches
from lrjax.data.prompts import class_prompts
from lrjax.data.sources import decode
from lrjax.data.tokenizers import get_tokenizer
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.ops.preprocess import ViewSpec, batch_view_taps
from lrjax.predict import Predictor
from lrjax.sharding import PLACEMENTS, make_mesh, put_batch, tree_shardings
from lrjax.token_file import read_adaptation
from lrjax.types import Array

_BATCH = 64


def list_models(pattern: str = "*", *, family: str | None = None) -> list[str]:
    """Lists backbones.

    Args:
        pattern: shell pattern of names, for instance "ViT-B-*"; case does not matter.
        family: for instance "SigLIP"; case does not matter.

    Returns:
        Names that `load` takes, in the order of the zoo; empty where none fits.
    """
    return [
        row.name
        for row in zoo.BACKBONES.values()
        if fnmatch.fnmatchcase(row.name.lower(), pattern.lower())
        and (family or row.family).lower() == row.family.lower()
    ]


def load(
    name: str,
    source: str | os.PathLike = "",
    *,
    precision: str = "float32",
    devices: int | None = None,
    placement: str = "replicate",
    protocol: str = "native",
    lr_tokens: str | os.PathLike = "",
    mesh: Mesh | None = None,
) -> Predictor:
    """Loads a backbone with its preprocessing and tokenizer.

    Args:
        name: name in the zoo, for instance "ViT-L-14:datacomp_xl_s13b_b90k"; "@SIZE" behind it changes the input size.
        source: checkpoint file, converted directory or hub id; "embedded" for the shipped one; "" for the hub id of the
            row.
        precision: compute dtype, "float32" or "bfloat16".
        devices: number of devices; None for all. Ignored where a mesh is given.
        placement: "replicate", or "fsdp" to spread the parameters over the devices.
        protocol: "native" preprocessing of the weights, or "lr0fm" for that of the published LR0.FM numbers.
        lr_tokens: `tokens.safetensors` of a training of this backbone, with which images are embedded; "" for none.
        mesh: the devices, where the caller has made a mesh.

    Returns:
        The loaded backbone.

    Raises:
        UserError: the name is unknown, or the checkpoint or the tokens are missing, damaged or not for this backbone.
    """
    row = zoo.with_protocol(zoo.get(name), protocol)
    adaptation = read_adaptation(lr_tokens, row)[0] if lr_tokens else None
    source = os.fspath(source) or row.hub_id
    if not source:
        raise UserError(f'{row.name} has no hub id; name a checkpoint file, or "embedded" for the one that is shipped')
    if placement not in PLACEMENTS:
        raise UserError(f"unknown placement {placement!r}; use {' or '.join(PLACEMENTS)}")
    path, text = locate(source), row.spec.text
    target, mesh = abstract_params(row.spec), make_mesh(devices) if mesh is None else mesh
    shardings = tree_shardings(target, mesh, PLACEMENTS[placement])
    # before the tokenizer: a checkpoint of another model is told as such, not as one without a vocabulary
    params = load_params(row, path, target=target, dtype=precision, shardings=shardings)
    beside = path if path.is_dir() else path.parent
    tokenizer = get_tokenizer(
        row.tokenizer, text.context, directory=beside, hub_id=row.hub_id, vocabulary=text.vocabulary
    )
    return Predictor(row, params, tokenizer, mesh, dtype=jnp.dtype(precision), adaptation=adaptation)


def encode_image(
    model: Predictor,
    images: Sequence[Any],
    *,
    resolution: int | None = None,
    lr_tokens: Array | None = None,
    batch_size: int = _BATCH,
) -> np.ndarray:
    """Embeds images.

    Args:
        model: of `load`.
        images: n images: paths, PIL images, or uint8 arrays [H, W, 3], 0..255.
        resolution: side in pixels of a low-resolution stage before the model's own preprocessing; None leaves it out.
        lr_tokens: float [L + 1, N, D]; None for those that the model was loaded with, if any.
        batch_size: images per batch, raised to a multiple of the number of devices.

    Returns:
        float32 [n, E], L2-normalised.

    Raises:
        UserError: there is no image, or one is damaged or no image.
    """
    if len(images) == 0:
        raise UserError("there are no images to embed; give at least one")
    native, size = model.row.preprocess, model.row.spec.image.size
    spec = ViewSpec(size=size, mode=native.mode, kernel=native.kernel, low=resolution, pass_order=native.pass_order)
    batch_size = -(-min(batch_size, len(images)) // model.mesh.size) * model.mesh.size
    embedded = []
    for batch in batches(_Images(images), batch_size):
        stages = batch_view_taps(batch.sizes, spec, canvas=batch.images.shape[1])
        placed = put_batch({"canvas": batch.images, "stages": (stages,)}, model.mesh)
        rows = model.image(model.views(placed["canvas"], placed["stages"]), lr_tokens)[:, 0]
        embedded.append(np.asarray(jax.device_get(rows))[batch.mask])
    return np.concatenate(embedded)


class _Images:
    def __init__(self, images: Sequence[Any]):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[index]
        if isinstance(image, str | Path):
            pixels = decode(image)
        elif isinstance(image, Image.Image):
            pixels = np.asarray(image.convert("RGB"))
        else:
            pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise UserError(
                f"image {index} is {pixels.dtype} {list(pixels.shape)}; give a path, a PIL image or uint8 [H, W, 3]"
            )
        return {"image": pixels, "id": str(index)}


def encode_text(model: Predictor, texts: Sequence[str]) -> np.ndarray:
    """Embeds texts.

    Args:
        model: of `load`.
        texts: n texts.

    Returns:
        float32 [n, E], L2-normalised.

    Raises:
        UserError: there is no text.
    """
    if isinstance(texts, str):
        texts = [texts]
    if len(texts) == 0:
        raise UserError("there are no texts to embed; give at least one")
    return model.text(list(texts))


def zero_shot_classifier(model: Predictor, classes: Sequence[str], templates: Sequence[str] = ("a photo of a {}.",)):
    """Builds a zero-shot classifier: for `encode_image(...) @ classifier.T` the largest entry of a row is the class.

    Args:
        model: of `load`.
        classes: K class names.
        templates: T texts with one "{}" each; embeddings are averaged over them.

    Returns:
        float32 [K, E], L2-normalised.

    Raises:
        UserError: there is no class or template, or a template has not exactly one "{}".

    Reference:
        CLIP (arXiv 2103.00020), section 3.1.4.
    """
    return model.classifier(class_prompts(classes, templates))
