"""The public functions: find a backbone, load it, embed images and texts, build a zero-shot classifier."""

import fnmatch
import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from lrjax.checks.finite import LARGEST, is_usable
from lrjax.checks.home import expand_home
from lrjax.checks.text import brief
from lrjax.data.images import decode
from lrjax.data.loader import batches
from lrjax.data.prompts import Template, class_prompts
from lrjax.data.tokenizers import get_tokenizer
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.models.predict import Predictor, check_finite
from lrjax.ops.preprocess import ViewSpec
from lrjax.sharding import PLACEMENTS, make_mesh, tree_shardings
from lrjax.types import Array
from lrjax.weights.checkpoint import load_params, locate
from lrjax.weights.origin import row_for
from lrjax.weights.token_file import read_adaptation

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
    pass_order: str = "",
    numerics: str = "open_clip",
    lr_tokens: str | os.PathLike = "",
    mesh: Mesh | None = None,
) -> Predictor:
    """Loads a backbone with its preprocessing and tokenizer.

    Args:
        name: name in the zoo, for instance "ViT-L-14:datacomp_xl_s13b_b90k"; "@SIZE" behind it changes the input size.
            The tag may be left out where an architecture has one checkpoint only, or where the source tells.
        source: checkpoint file, converted directory or hub id; "embedded" for the shipped one; "" for the hub id of the
            row.
        precision: compute dtype, "float32" or "bfloat16".
        devices: number of devices; None for all. Ignored where a mesh is given.
        placement: "replicate", or "fsdp" to spread the parameters over the devices.
        protocol: "native" preprocessing of the weights, or "lr0fm" for that of the published LR0.FM numbers.
        pass_order: order of the two passes of a resize, "pillow13" or "pillow12"; "" for that of the protocol.
        numerics: "open_clip" activation and epsilon, or "as_trained" for those of the training of CLIPA and SigLIP.
        lr_tokens: `tokens.safetensors` of a training of this backbone, with which images are embedded; "" for none.
        mesh: the devices, where the caller has made a mesh.

    Returns:
        The loaded backbone.

    Raises:
        UserError: the name is unknown, or the checkpoint or the tokens are missing, damaged or not for this backbone.
    """
    place: str = expand_home(os.fspath(source))
    row = zoo.with_numerics(zoo.with_protocol(row_for(name, place), protocol, pass_order), numerics)
    adaptation = read_adaptation(expand_home(os.fspath(lr_tokens)), row)[0] if lr_tokens else None
    place = place or row.hub_id
    if not place:
        raise UserError(f'{row.name} has no hub id; name a checkpoint file, or "embedded" for the one that is shipped')
    for option, value, known in (
        ("placement", placement, tuple(PLACEMENTS)),
        ("precision", precision, ("float32", "bfloat16")),
    ):
        if value not in known:
            raise UserError(f"unknown {option} {value!r}; use {' or '.join(known)}")
    mesh = make_mesh(devices) if mesh is None else mesh
    path, text, target = locate(place), row.spec.text, abstract_params(row.spec)
    shardings = tree_shardings(target, mesh, PLACEMENTS[placement])
    # before the tokenizer: a checkpoint of another model is told as such, not as one without a vocabulary
    params = load_params(row, path, target=target, dtype=precision, shardings=shardings)
    beside = path if path.is_dir() else path.parent
    tokenizer = text and get_tokenizer(
        row.tokenizer, text.context, directory=beside, hub_id=row.hub_id, vocabulary=text.vocabulary
    )
    return Predictor(row, params, tokenizer, mesh, dtype=jnp.dtype(precision), adaptation=adaptation)


def encode_image(
    model: Predictor,
    images: Any | Sequence[Any],
    *,
    resolution: int | None = None,
    lr_tokens: Array | None = None,
    batch_size: int = _BATCH,
    rgb: str = "after",
) -> np.ndarray:
    """Embeds images.

    Args:
        model: of `load`.
        images: n images, or one path or PIL image: paths, PIL images, or uint8 arrays [H, W, 3], 0..255; a list, an
            array, a generator, or anything with a length and places.
        resolution: side in pixels of a low-resolution stage before the model's own preprocessing; None leaves it out.
        lr_tokens: float [L + 1, N, D]; None for those that the model was loaded with, if any.
        batch_size: images per batch, raised to a multiple of the number of devices.
        rgb: "after" converts to RGB after the resizes, as the published evaluations do, "before" before them; it
            matters for palettes, transparency, CMYK and 16 bits.

    Returns:
        float32 [n, E], L2-normalised.

    Raises:
        UserError: there is no image, one is damaged or no image, the resolution or the tokens do not fit the model, or
            an embedding is not finite.
    """
    images = _listed(images, (str, os.PathLike, Image.Image), "images")
    _check_count("batch_size", batch_size)
    if resolution is not None:
        _check_count("resolution", resolution)
        resolution = int(resolution)
    if lr_tokens is not None and not is_usable(np.asarray(lr_tokens, np.float32)):
        raise UserError(f"the LR tokens hold NaN, infinite or huge numbers (beyond {LARGEST:.1e}); train them again")
    if lr_tokens is not None:
        model = model.adapted({**model.adaptation, "tokens": lr_tokens})
    native, size = model.row.preprocess, model.row.spec.image.size
    spec = ViewSpec(size=size, mode=native.mode, kernel=native.kernel, low=resolution, pass_order=native.pass_order)
    batch_size = -(-min(batch_size, len(images)) // model.mesh.size) * model.mesh.size
    embedded, done = [], 0
    for batch in batches(_Images(images), batch_size, specs=(spec,), rgb=rgb, host=not model.resamples):
        rows = model.image(model.views(batch))[:, 0]
        embedded.append(np.asarray(rows)[batch.mask])
        check_finite(np.isfinite(embedded[-1]).all(axis=1), model.row.name, lambda n, first=done: f"image {first + n}")
        done += len(embedded[-1])
    return np.concatenate(embedded)


def _listed(given: Any, one: type | tuple[type, ...], what: str) -> Sequence[Any]:
    """One or several as a sequence, which a generator becomes; what has a length and places stays as it is."""
    if isinstance(given, one):
        given = [given]
    elif isinstance(given, bytes | Mapping) or (not hasattr(given, "__iter__") and not hasattr(given, "__getitem__")):
        raise UserError(f"{what} is {brief(given)}; give a list")
    elif not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        given = list(given)
    if len(given) == 0:
        raise UserError(f"there are no {what} to embed; give at least one")
    return given


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) < 2**31:
        raise UserError(f"{name} is {brief(value)}; give a whole number of at least 1")


class _Images:
    def __init__(self, images: Sequence[Any]):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[index]
        if isinstance(image, str | os.PathLike):
            image = decode(expand_home(os.fspath(image)))
        if not isinstance(image, Image.Image):
            image = np.asarray(image)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise UserError(
                    f"image {index} is {image.dtype} {list(image.shape)}; give a path, a PIL image, or an array uint8 "
                    "[height, width, 3] of numbers from 0 to 255"
                )
        elif 0 in image.size:
            raise UserError(f"image {index} is empty, {image.width} x {image.height}; leave it out")
        return {"image": image, "id": str(index)}


def encode_text(model: Predictor, texts: str | Sequence[str]) -> np.ndarray:
    """Embeds texts.

    Args:
        model: of `load`.
        texts: n texts, or one; a list or a generator.

    Returns:
        float32 [n, E], L2-normalised.

    Raises:
        UserError: there is no text, or one is something else.
    """
    texts = list(_listed(texts, str, "texts"))
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"text {number} is {brief(text)}; give texts")
    return model.text(texts)


def zero_shot_classifier(
    model: Predictor, classes: Sequence[str], templates: Sequence[Template] = ("a photo of a {}.",)
) -> np.ndarray:
    """Builds a zero-shot classifier: for `encode_image(...) @ classifier.T` the largest entry of a row is the class.

    Args:
        model: of `load`.
        classes: K class names.
        templates: T texts with one "{}" each, or functions that give the text for a class name, as open_clip has them;
            embeddings are averaged over them.

    Returns:
        float32 [K, E], L2-normalised.

    Raises:
        UserError: there is no class or template, or a template has not exactly one "{}".

    Reference:
        CLIP (arXiv 2103.00020), section 3.1.4.
    """
    classes, templates = _listed(classes, (), "classes"), _listed(templates, (), "templates")
    return model.classifier(class_prompts(classes, templates))
