"""Encoded images to pixels."""

import io
import os

import numpy as np
from PIL import Image

from lrjax.errors import UserError


class ImageError(UserError):
    """An image file that cannot be decoded.

    Args:
        message: the sentence for the user.
        name: path or id of the image.
    """

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.name = name


def decode(image: str | os.PathLike | bytes, *, name: str | None = None) -> Image.Image:
    """Decode an image completely, in the mode of its file; the EXIF orientation is not applied.

    Args:
        image: path or encoded bytes.
        name: what errors call the image; its path by default.

    Returns:
        The image; of an animation the first frame.

    Raises:
        ImageError: the file is missing, empty, truncated, damaged or of an unknown format.
    """
    name = name or ("image bytes" if isinstance(image, bytes) else str(image))
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as file:
            return file.copy()
    # On damaged data the decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and more.
    except Exception as error:
        raise ImageError(
            f"image '{name}' cannot be decoded ({error}); replace or remove it, "
            "or skip damaged images (config.data.on_error 'skip')",
            name,
        ) from error


def to_rgb(image: Image.Image | np.ndarray) -> np.ndarray:
    """Return a decoded image as uint8 [H, W, 3], 0..255."""
    return image if isinstance(image, np.ndarray) else np.asarray(image.convert("RGB"))
