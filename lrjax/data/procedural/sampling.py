"""The training distribution of pictures, and their rendering."""

import numpy as np
from PIL import Image, ImageChops

from lrjax.data.procedural.colours import (
    CONTRASTING,
    contrasting_grey,
    luminance,
    sample_colour,
)
from lrjax.data.procedural.scenes import scene_picture
from lrjax.data.procedural.shapes import letter_mask, shape_mask
from lrjax.data.procedural.textures import texture_mask
from lrjax.data.procedural.vocabulary import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    IMAGE_SIZE,
    KINDS,
    LETTERS,
    SCENES,
    SHAPES,
    TEXTURES,
    VOCABULARIES,
    Scene,
)
from lrjax.errors import UserError

_ALLOWED = {
    "shape": {"shape", "texture", "scene", "colour", "second_colour"},
    "texture": {"texture", "colour", "second_colour"},
    "letter": {"letter", "colour", "second_colour"},
    "scene": {"scene", "shape", "colour"},
}
_ATTRIBUTES = ("shape", "texture", "letter", "scene", "colour", "second_colour")
_HELD_OUT = frozenset(HELD_OUT_COMBINATIONS)
_LARGE, _SMALL = (0.45, 0.70), (0.20, 0.30)

OBJECT_KINDS = ("shape", "letter")
"""Kinds of pictures whose class is that of an object with a place."""


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _colourless(kind: str, shown: set[str], absent: set[str]) -> bool:
    if kind == "scene":
        return bool(shown & {"shape", "colour"} and absent & {"shape", "colour"})
    return "colour" in absent


def _check(kind: str | None, fixed: dict[str, str | None]) -> tuple[str, ...]:
    for name, value in fixed.items():
        if name not in _ATTRIBUTES:
            raise UserError(f"A picture has no attribute '{name}'; use one of {', '.join(_ATTRIBUTES)}.")
        vocabulary = COLOURS if name == "second_colour" else VOCABULARIES[name]
        if value is not None and value not in vocabulary:
            raise UserError(f"'{value}' is no {name.replace('_', ' ')}; use one of {', '.join(vocabulary)}.")
    if kind is not None and kind not in KINDS:
        raise UserError(f"'{kind}' is no kind of picture; use one of {', '.join(KINDS)}.")
    shown = {name for name, value in fixed.items() if value is not None}
    absent = set(fixed) - shown
    kinds = tuple(
        name
        for name in (KINDS if kind is None else (kind,))
        if shown <= _ALLOWED[name] and name not in absent and not _colourless(name, shown, absent)
    )
    exclusive = shown & {"texture", "second_colour"}
    if "scene" in shown and exclusive:
        raise UserError(f"A shape on a scene has no {sorted(exclusive)[0]}; fix one of the two only.")
    if not kinds:
        raise UserError(
            f"No picture of kind '{kind or 'any'}' has {fixed}; drop the attribute that the kind cannot show."
        )
    return kinds


def _coloured_shape(rng: np.random.Generator, fixed: dict[str, str | None]) -> tuple[str, str]:
    free = [name for name in ("colour", "shape") if fixed.get(name) is None]
    second = fixed.get("second_colour")
    while True:
        colour = fixed.get("colour") or _choose(rng, CONTRASTING[second] if second else COLOURS)
        shape = fixed.get("shape") or _choose(rng, SHAPES)
        if not free or (colour, shape) not in _HELD_OUT:
            return colour, shape


def _background(rng: np.random.Generator, colour: str, fixed: dict[str, str | None], grey: float) -> str | None:
    if "second_colour" in fixed:
        return fixed["second_colour"]
    return None if rng.random() < grey else _choose(rng, CONTRASTING[colour])


def sample_scene(rng: np.random.Generator, *, kind: str | None = None, **fixed: str | None) -> Scene:
    """Draw the facts of one picture from the training distribution.

    A pair of HELD_OUT_COMBINATIONS is drawn only when both its colour and its shape are fixed.

    Args:
        rng: The source of the choice.
        kind: One of KINDS; None draws one that can show what is fixed.
        **fixed: Values of the fields of Scene; None forbids the attribute.

    Returns:
        The facts.

    Raises:
        UserError: A name or value is unknown, or no kind can show what is fixed.
    """
    kind = _choose(rng, _check(kind, fixed))
    if kind == "shape":
        colour, shape = _coloured_shape(rng, fixed)
        draw = rng.random()
        scene, texture = fixed.get("scene"), fixed.get("texture")
        second = fixed.get("second_colour")
        if "scene" not in fixed and not texture and not second and draw < 0.30:
            scene = _choose(rng, SCENES)
        if "texture" not in fixed and not scene and rng.random() < 0.35:
            texture = _choose(rng, TEXTURES)
        if not scene:
            second = _background(rng, colour, fixed, 0.5)
        return Scene(kind, shape=shape, texture=texture, scene=scene, colour=colour, second_colour=second)
    if kind == "scene":
        scene = fixed.get("scene") or _choose(rng, SCENES)
        wanted = fixed.get("shape") or fixed.get("colour")
        barred = ("shape" in fixed or "colour" in fixed) and not wanted
        if not wanted and (barred or rng.random() < 0.5):
            return Scene(kind, scene=scene)
        colour, shape = _coloured_shape(rng, fixed)
        return Scene(kind, scene=scene, shape=shape, colour=colour)
    second = fixed.get("second_colour")
    colour = fixed.get("colour") or _choose(rng, CONTRASTING[second] if second else COLOURS)
    if kind == "letter":
        letter = fixed.get("letter") or _choose(rng, LETTERS)
        return Scene(kind, letter=letter, colour=colour, second_colour=_background(rng, colour, fixed, 0.4))
    texture = fixed.get("texture") or _choose(rng, TEXTURES)
    return Scene(kind, texture=texture, colour=colour, second_colour=_background(rng, colour, fixed, 0.0))


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draw a picture of the given facts.

    Args:
        scene: The facts.
        rng: The source of everything that the facts leave open (size, place, font, shade, ...).

    Returns:
        uint8 [224, 224, 3], 0..255.
    """
    return render_with_boxes(scene, rng)[0]


def render_with_boxes(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture of the given facts, and tell where its object is.

    Args:
        scene: The facts.
        rng: As in `render`.

    Returns:
        uint8 [224, 224, 3], 0..255, and int32 [n, 4], (left, top, right, bottom) in pixels, right and bottom exclusive:
        the box of a shape or letter; none for a texture, or for a landscape, even with a shape in it.
    """
    picture, mask = _draw(scene, rng)
    boxes = [] if mask is None or scene.kind not in OBJECT_KINDS else [mask.getbbox()]
    return np.array(picture), np.array(boxes, np.int32).reshape(-1, 4)


def _draw(scene: Scene, rng: np.random.Generator) -> tuple[Image.Image, Image.Image | None]:
    """The picture, and where something was painted on its background."""
    size = (IMAGE_SIZE, IMAGE_SIZE)
    if scene.scene is not None:
        picture = scene_picture(scene.scene, rng)
        if scene.shape is None:
            return picture, None
        assert scene.colour is not None
        colour = sample_colour(scene.colour, rng)
        large = scene.kind == "shape"
        fill, line = shape_mask(
            scene.shape, rng, extent=_LARGE if large else _SMALL, jitter=0.10 if large else 0.28,
            outline=8 if large else 6,
        )  # fmt: skip
        # A landscape holds every shade, so a light or dark rim keeps the shape visible on it.
        picture.paste((255, 255, 255) if luminance(colour) < 150 else (0, 0, 0), mask=line)
        picture.paste(colour, mask=fill)
        return picture, ImageChops.lighter(line, fill)
    assert scene.colour is not None
    colour = sample_colour(scene.colour, rng)
    second = contrasting_grey(colour, rng) if scene.second_colour is None else sample_colour(scene.second_colour, rng)
    if scene.letter is not None:
        mask = letter_mask(scene.letter, rng)
    elif scene.shape is None:
        assert scene.texture is not None
        mask = texture_mask(scene.texture, rng)
    else:
        mask, line = shape_mask(scene.shape, rng, extent=_LARGE, jitter=0.10, outline=6)
        if scene.texture is not None:
            mask = ImageChops.lighter(line, ImageChops.multiply(mask, texture_mask(scene.texture, rng)))
    picture = Image.new("RGB", size, second)
    picture.paste(colour, mask=mask)
    return picture, mask
