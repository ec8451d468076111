"""Training captions; the evaluation templates are in sources.py and share no string with these."""

import re

import numpy as np

from lrjax.data.procedural.vocabulary import VOCABULARIES, Scene
from lrjax.errors import UserError

ATTRIBUTE_TEMPLATES = {
    "shape": (
        "a drawing of a {}",
        "a picture of a {}",
        "an image of one {}",
        "a photo of a {}",
        "there is a {} in the picture",
        "the shape is a {}",
        "this is a {}",
        "a {}",
    ),
    "texture": (
        "a picture full of {}",
        "a pattern of {}",
        "an image covered with {}",
        "{} all over the picture",
        "a photo of {}",
        "the pattern shows {}",
        "this is made of {}",
        "{}",
    ),
    "letter": (
        "the letter {}",
        "a picture of the letter {}",
        "a drawing of the capital letter {}",
        "a photo of the letter {}",
        "an image that shows {}",
        "this is the letter {}",
        "the character is {}",
        "a big {}",
    ),
    "scene": (
        "a picture of the {}",
        "a {} scene",
        "a drawing of the {}",
        "a photo of the {}",
        "an image of a {} landscape",
        "the {} in the background",
        "this is the {}",
        "the place is the {}",
    ),
    "colour": (
        "something {}",
        "a {} thing in the picture",
        "the colour is {}",
        "a drawing of something {}",
        "a photo of a {} thing",
        "an image of a {} object",
        "this is {}",
        "a picture of something {}",
    ),
}

# {subject}: "a red star", {place}: "" or " on a white background" or " in front of the beach".
SHAPE_CAPTIONS = (
    "a drawing of {subject}{place}",
    "a picture of {subject}{place}",
    "an image of {subject}{place}",
    "a photo of {subject}{place}",
    "there is {subject}{place}",
    "this is {subject}{place}",
    "{subject}{place}",
)
TEXTURE_CAPTIONS = (
    "a {colours} picture full of {texture}",
    "a pattern of {texture} in {colours}",
    "an image covered with {texture} in {colours}",
    "{colours} {texture}",
    "a photo of {colours} {texture}",
    "{texture}",
    "a picture of {texture}",
)
LETTER_CAPTIONS = (
    "the letter {letter} in {colour}{place}",
    "a {colour} letter {letter}{place}",
    "a picture of the {colour} letter {letter}{place}",
    "a drawing of the capital letter {letter}{place}",
    "a photo of the letter {letter}{place}",
    "a big {colour} {letter}{place}",
    "this is the letter {letter}{place}",
)
SCENE_CAPTIONS = (
    "a picture of the {scene}{guest}",
    "a {scene} scene{guest}",
    "a drawing of the {scene}{guest}",
    "a photo of the {scene}{guest}",
    "an image of a {scene} landscape{guest}",
    "this is the {scene}{guest}",
)


def _with_article(text: str) -> str:
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _place(scene: Scene, rng: np.random.Generator) -> str:
    if scene.scene is not None and rng.random() < 0.75:
        return f" in front of the {scene.scene}"
    if scene.second_colour is not None and rng.random() < 0.5:
        return f" on a {scene.second_colour} background"
    return ""


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return one random training caption of a picture; it may leave facts out but states none that is false.

    Args:
        scene: The facts of the picture.
        rng: The source of the choice.

    Returns:
        A line of plain English.
    """
    if scene.kind == "shape":
        subject = f"a {scene.colour} {scene.shape}" if rng.random() < 0.85 else f"a {scene.shape}"
        if scene.texture is not None and rng.random() < 0.85:
            subject += f" {_choose(rng, ('filled with', 'made of', 'with'))} {scene.texture}"
        text = _choose(rng, SHAPE_CAPTIONS).format(subject=subject, place=_place(scene, rng))
    elif scene.kind == "texture":
        colours = f"{scene.colour} and {scene.second_colour}" if scene.second_colour else scene.colour
        text = _choose(rng, TEXTURE_CAPTIONS).format(colours=colours, texture=scene.texture)
    elif scene.kind == "letter":
        template = _choose(rng, LETTER_CAPTIONS)
        text = template.format(letter=scene.letter, colour=scene.colour, place=_place(scene, rng))
    else:
        guest = ""
        if scene.shape is not None and rng.random() < 0.85:
            guest = f" with a {_choose(rng, ('small ', ''))}{scene.colour} {scene.shape}"
        text = _choose(rng, SCENE_CAPTIONS).format(scene=scene.scene, guest=guest)
    return _with_article(text)


def attribute_prompts(attribute: str, rng: np.random.Generator) -> list[str]:
    """Return one caption for every value of an attribute, all with the same random training template.

    Args:
        attribute: A key of VOCABULARIES.
        rng: The source of the template.

    Returns:
        The captions in the order of the vocabulary.

    Raises:
        UserError: The attribute is unknown.
    """
    if attribute not in ATTRIBUTE_TEMPLATES:
        raise UserError(f"There are no prompts for '{attribute}'; use one of {', '.join(ATTRIBUTE_TEMPLATES)}.")
    template = _choose(rng, ATTRIBUTE_TEMPLATES[attribute])
    return [_with_article(template.format(value)) for value in VOCABULARIES[attribute]]
