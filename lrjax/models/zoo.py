"""The backbones by name."""

import dataclasses
import difflib
from collections.abc import Sequence

from lrjax.checks.text import brief
from lrjax.errors import UserError
from lrjax.models.backbones import BACKBONES
from lrjax.models.row import Backbone, Preprocess
from lrjax.ops.resample import PASS_ORDERS

__all__ = [
    "BACKBONES",
    "Backbone",
    "Preprocess",
    "at_size",
    "get",
    "named",
    "several",
    "with_numerics",
    "with_protocol",
]


def get(name: str) -> Backbone:
    """Returns the row of a backbone.

    Args:
        name: "ARCHITECTURE:TAG"; the tag may be left out where an architecture has one checkpoint only. "@SIZE" behind
            it gives the same weights at another input size, for which position tables are resampled.

    Raises:
        UserError: no backbone has this name, or several have; the message proposes some.
    """
    rows = named(name)
    if len(rows) > 1:
        raise several(name, rows)
    return rows[0]


def named(name: str) -> list[Backbone]:
    """Returns the rows that a name may mean: one, or all of an architecture.

    Args:
        name: as in `get`.

    Raises:
        UserError: no backbone has this name; the message proposes some.
    """
    if not isinstance(name, str):
        raise UserError(f"the name of a backbone is a text, not {brief(name)}; `lrjax.list_models()` lists them")
    plain, _, size = name.partition("@")
    rows = [row for row in BACKBONES.values() if plain in (row.name, row.architecture)]
    if not rows:
        known = {one.lower(): one for row in BACKBONES.values() for one in (row.name, row.architecture)}
        wanted = plain.lower()
        close = [wanted] if wanted in known else difflib.get_close_matches(wanted, known, n=3)
        proposed = [known[one] for one in close] or sorted(BACKBONES)
        raise UserError(f"unknown backbone {plain!r}; did you mean {', '.join(proposed)}?")
    return [at_size(row, _side(size, name)) for row in rows] if size else rows


def several(name: str, rows: Sequence[Backbone]) -> UserError:
    """Returns the error that says of which checkpoints one must be named."""
    return UserError(
        f"{name} has several checkpoints, which shapes do not tell apart; name one: "
        f"{', '.join(row.name for row in rows)}"
    )


def _side(text: str, name: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{name!r} asks for the input size {text!r}; give it in pixels, for instance @384")
    return int(text)


def with_protocol(row: Backbone, protocol: str, pass_order: str = "") -> Backbone:
    """Returns a row with the preprocessing of a protocol.

    Args:
        row: the row.
        protocol: "native", or "lr0fm" for the preprocessing of the published LR0.FM numbers: that of the authors' own
            scripts, and the order of passes of the Pillow of their time.
        pass_order: "pillow13" or "pillow12", see `ops.resample.vertical_pass_first`; "" for that of the protocol.

    Raises:
        UserError: the protocol or the order is unknown.
    """
    if protocol not in ("native", "lr0fm"):
        raise UserError(f'unknown protocol {protocol!r}; use "native" or "lr0fm"')
    if pass_order not in ("", *PASS_ORDERS):
        raise UserError(f"unknown pass order {pass_order!r}; use {' or '.join(PASS_ORDERS)}")
    native = protocol == "native"
    preprocess = row.preprocess if native else row.benchmark or row.preprocess
    order = pass_order or (preprocess.pass_order if native else "pillow12")
    return dataclasses.replace(row, preprocess=dataclasses.replace(preprocess, pass_order=order))


def with_numerics(row: Backbone, numerics: str) -> Backbone:
    """Returns a row with the activation and the epsilon of open_clip or of the weights' training.

    Args:
        row: the row.
        numerics: "open_clip", with which the published numbers were measured, or "as_trained". They differ for CLIPA
            and SigLIP, which were trained in JAX with GELU in its tanh form and an epsilon of 1e-6.

    Raises:
        UserError: the numerics are unknown.
    """
    if numerics not in ("open_clip", "as_trained"):
        raise UserError(f'unknown numerics {numerics!r}; use "open_clip" or "as_trained"')
    if numerics == "open_clip" or row.family not in ("CLIPA", "SigLIP"):
        return row
    towers = {
        name: dataclasses.replace(tower, blocks=dataclasses.replace(tower.blocks, activation="gelu_tanh", eps=1e-6))
        for name, tower in (("image", row.spec.image.transformer), ("text", row.spec.text))
        if tower is not None
    }
    return dataclasses.replace(row, spec=dataclasses.replace(row.spec, **towers))


def at_size(row: Backbone, size: int) -> Backbone:
    """Returns the row of the same weights at another input size.

    Args:
        row: the row.
        size: input side in pixels.

    Raises:
        UserError: the size is no multiple of the patch, or of 32 for a ResNet.
    """
    image = row.spec.image
    if size == image.size:
        return row
    if size < image.step or size % image.step:
        raise UserError(f"{row.name} cannot run at {size} pixels; give a multiple of {image.step}")
    resized = dataclasses.replace(image, size=size)
    added = (resized.rows - image.rows) * image.position_width
    return dataclasses.replace(
        row,
        spec=dataclasses.replace(row.spec, image=resized),
        parameters=row.parameters + added,
        image_parameters=row.image_parameters + added,
        gflops=None,
        resized=True,
    )
