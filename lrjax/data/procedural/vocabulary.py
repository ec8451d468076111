"""The closed vocabularies of the procedural pictures and the description of one picture."""

from dataclasses import dataclass

IMAGE_SIZE = 224

KINDS = ("shape", "texture", "letter", "scene")

SHAPES = (
    "circle", "square", "triangle", "star", "heart", "cross",
    "ring", "crescent", "arrow", "hexagon", "diamond", "house",
)  # fmt: skip
TEXTURES = (
    "horizontal stripes", "vertical stripes", "diagonal stripes", "checkerboard squares", "polka dots", "grid lines",
    "zigzag lines", "wavy lines", "bricks", "concentric circles", "speckles",
)  # fmt: skip
LETTERS = ("A", "B", "E", "F", "H", "K", "M", "P", "R", "S", "T", "X")
SCENES = (
    "beach", "forest", "mountains", "city", "night sky",
    "snow", "desert", "sunset", "field", "ocean",
)  # fmt: skip
COLOURS = (
    "red", "orange", "yellow", "green", "cyan", "blue",
    "purple", "pink", "brown", "black", "white",
)  # fmt: skip

# (colour, shape) pairs that training never shows: one per shape, so that every shape and colour still occurs.
HELD_OUT_COMBINATIONS = (
    ("blue", "circle"),
    ("yellow", "square"),
    ("purple", "triangle"),
    ("red", "star"),
    ("green", "heart"),
    ("orange", "cross"),
    ("cyan", "ring"),
    ("pink", "crescent"),
    ("brown", "arrow"),
    ("black", "hexagon"),
    ("white", "diamond"),
    ("red", "house"),
)

VOCABULARIES = {"shape": SHAPES, "texture": TEXTURES, "letter": LETTERS, "scene": SCENES, "colour": COLOURS}


@dataclass(frozen=True)
class Scene:
    """The facts that are visible in one picture; None for what it does not show.

    Args:
        kind: One of KINDS.
        shape: One of SHAPES.
        texture: One of TEXTURES: the whole picture, or the fill of the shape.
        letter: One of LETTERS.
        scene: One of SCENES: the picture, or the background of a large shape.
        colour: One of COLOURS: the colour of the shape, the letter or the texture's figure.
        second_colour: One of COLOURS: the plain background; None also for a grey one.
    """

    kind: str
    shape: str | None = None
    texture: str | None = None
    letter: str | None = None
    scene: str | None = None
    colour: str | None = None
    second_colour: str | None = None


def attribute_label(scene: Scene, attribute: str) -> int:
    """Return the index of the picture's value in the attribute's vocabulary.

    Args:
        scene: The facts of the picture.
        attribute: A key of VOCABULARIES.

    Returns:
        The index, or -1 where the picture does not show the attribute or (the colour of a texture) shows it twice.
    """
    value = getattr(scene, attribute)
    if value is None or (attribute == "colour" and scene.kind == "texture"):
        return -1
    return VOCABULARIES[attribute].index(value)
