"""Encoded images to pixels, and images to views where the device cannot resample them as Pillow does."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from lrjax.checks.files import open_regular
from lrjax.data.memory import BYTES_PER_PIXEL, MEMORY
from lrjax.errors import UserError
from lrjax.ops.preprocess import LARGEST_CANVAS, ViewSpec, centre_start, short_side_size
from lrjax.ops.resample import vertical_pass_first
from lrjax.ops.zoom import WindowSpec

Pixels = UInt8[np.ndarray, "H W 3"]
"""RGB, 0..255."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "PPM", "TIFF", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are decoded; none of them starts another program, as PostScript does."""
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))
"""Suffixes in lower case of files that are read as images; an MPO file is a JPEG file with more behind it."""
RGB = ("after", "before")
"""Whether an image is converted to RGB after its resizes, as the published evaluations do, or before them."""

_MOST_SCANS = 100
"""Of a JPEG file; encoders write about ten."""
_WITHOUT_LENGTH = {bytes([one]) for one in (0x00, 0x01, *range(0xD0, 0xD9), 0xFF)}
_LONGEST = 100
"""Ratio of the sides up to which no strip of a large image that is cut into windows exceeds Pillow's limit."""

# Pillow warns above half of its limit. A filter for the time of one call would race between decoding threads.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class ImageError(UserError):
    """An image whose content cannot be used: empty, truncated, damaged, of an unknown format, or too large.

    All else is a plain `UserError`: a file that is gone, missing permission, memory or file handles. So the images that
    a run leaves out depend on their contents alone.

    Args:
        message: the sentence for the user.
        name: path or id of the image.
    """

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.name = name


def _unusable(name: str, cause: object) -> ImageError:
    return ImageError(
        f"image '{name}' cannot be decoded ({cause}); replace or remove it, "
        "or skip damaged images (config.data.on_error 'skip')",
        name,
    )


def _no_memory(name: str) -> UserError:
    return UserError(f"memory is too short for image '{name}'; use fewer config.data.workers or a smaller batch")


def decode(image: str | os.PathLike | bytes, *, name: str | None = None) -> Image.Image:
    """Decodes an image completely, in the mode of its file; the EXIF orientation is not applied.

    Args:
        image: path or encoded bytes; the content decides the format, not the suffix.
        name: what errors call the image; its path by default.

    Returns:
        The image; of an animation the first frame.

    Raises:
        ImageError: the content is empty, truncated, damaged, in none of `FORMATS`, or has more pixels than Pillow's
            limit, 2 * PIL.Image.MAX_IMAGE_PIXELS.
        UserError: the file is gone or cannot be read, memory is too short, or the image takes more than
            `memory.MEMORY` allows.
    """
    name = name or ("image bytes" if isinstance(image, bytes) else str(image))
    content = image if isinstance(image, bytes) else _read(Path(image), name)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            size = BYTES_PER_PIXEL * file.width * file.height + len(content)
            MEMORY.claim(size, f"image '{name}' of {file.width} x {file.height} pixels")
            _check_scans(content)
            return file.copy()
    except UserError:
        raise
    except MemoryError as error:
        raise _no_memory(name) from error
    except UnidentifiedImageError as error:
        what = f"not an image in one of the formats {', '.join(FORMATS)}" if content else "the file is empty"
        raise _unusable(name, what) from error
    # On damaged data the decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and more.
    except Exception as error:
        raise _unusable(name, error) from error


def _check_scans(content: bytes) -> None:
    """Refuses a JPEG file that paints its pixels over and over, for minutes."""
    if not content.startswith(b"\xff\xd8") or content.count(b"\xff\xda") <= _MOST_SCANS:
        return
    place = scans = 0  # what stands behind the end of the image, such as a film, does not count
    while (place := content.find(b"\xff", place)) >= 0 and (marker := content[place + 1 : place + 2]) != b"\xd9":
        if marker in _WITHOUT_LENGTH:
            place += 1 if marker == b"\xff" else 2
        else:
            scans += marker == b"\xda"
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
    if scans > _MOST_SCANS:
        raise ValueError(f"its pixels come in {scans} scans, and {_MOST_SCANS} are the most that are decoded")


def _read(path: Path, name: str) -> bytes:
    try:
        with open_regular(path) as file:
            MEMORY.check(os.fstat(file.fileno()).st_size, f"image '{name}'")
            return file.read()
    # Lost shares, permissions, file handles and failing disks concern the whole run: skipping would hide that most
    # images are lost.
    except OSError as error:
        raise UserError(f"image '{name}' cannot be read ({error.strerror}); mend this and start again") from error
    except MemoryError as error:
        raise _no_memory(name) from error


def to_rgb(image: Image.Image | Pixels) -> Pixels:
    """Returns a decoded image as RGB, 0..255."""
    if isinstance(image, np.ndarray):
        return image
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def prepare(
    image: Image.Image | Pixels,
    specs: Sequence[ViewSpec],
    *,
    rgb: str = "after",
    host: bool = False,
    name: str = "image",
) -> tuple[Pixels | None, UInt8[np.ndarray, "R S S 3"] | None]:
    """Turns a decoded image into RGB pixels for the device, or into finished views where these are not enough.

    The device resamples RGB pixels of up to `LARGEST_CANVAS` a side. Larger images would need larger programs, and in
    most modes the conversion does not commute with the resizes: Pillow resizes palette and bilevel images by the
    nearest pixel, images with alpha premultiplied, and the others in their own channels or depth. Grey images commute.

    Args:
        image: of `decode`, or RGB pixels.
        specs: the R views, of one size.
        rgb: "after" or "before", see `RGB`.
        host: whether the views of every image are finished here.
        name: what errors call the image.

    Returns:
        The pixels, or the views; the other one is None.

    Raises:
        ImageError: Pillow cannot resize or convert this kind of image, or a resized form of it would have more pixels
            than Pillow's limit.
        UserError: memory is too short.
    """
    try:
        if rgb == "before" and not isinstance(image, np.ndarray):
            image = image.convert("RGB")
        if not host and _fits_device(image):
            return to_rgb(image), None
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        return None, np.stack([to_rgb(render_view(image, spec)) for spec in specs])
    except MemoryError as error:
        raise _no_memory(name) from error
    except (ValueError, OSError) as error:
        raise _unusable(name, error) from error


def whole(image: Image.Image | Pixels, *, name: str = "image") -> Pixels | Image.Image:
    """Turns a decoded image into RGB, for questions that look at every part of it.

    Args:
        image: of `decode`, or RGB pixels.
        name: what errors call the image.

    Returns:
        The pixels; an image of Pillow where a side is longer than `LARGEST_CANVAS`, for Pillow to resize.

    Raises:
        ImageError: the image is large and extremely elongated.
    """
    pixels = to_rgb(image)
    height, width = pixels.shape[:2]
    if max(height, width) <= LARGEST_CANVAS:
        return pixels
    if max(height, width) > _LONGEST * min(height, width):
        raise ImageError(
            f"image '{name}' is too elongated to be cut into windows, {width} x {height} pixels; remove it, or skip "
            "damaged images (config.data.on_error 'skip')",
            name,
        )
    return Image.fromarray(pixels)


def _fits_device(image: Image.Image | Pixels) -> bool:
    if isinstance(image, np.ndarray):
        return max(image.shape) <= LARGEST_CANVAS
    return image.mode in ("RGB", "L") and max(image.size) <= LARGEST_CANVAS


def render_view(image: Image.Image, spec: ViewSpec) -> Image.Image:
    """Renders a view with Pillow, in the mode of the image.

    Args:
        image: of any mode.
        spec: the view.

    Returns:
        The view, of spec.size on a side.

    Raises:
        ValueError: Pillow cannot resample this mode, or the resized image would have more pixels than its limit, 2 *
            PIL.Image.MAX_IMAGE_PIXELS.
    """
    kernel, order = Image.Resampling[spec.kernel.upper()], spec.pass_order
    if spec.low_side is not None:
        size = spec.resized(image.height, image.width, spec.low_side)
        image = _resize(image, size, kernel=kernel, pass_order=order)
    size = spec.resized(image.height, image.width, spec.resized_side)
    top, left = (centre_start(length, spec.size) for length in size)
    window = (left, top, left + spec.size, top + spec.size)
    return _resize(image, size, kernel=kernel, pass_order=order, window=window)


def host_windows(image: Image.Image, spec: WindowSpec) -> UInt8[np.ndarray, "n S S 3"]:
    """Cuts the windows of an image with Pillow, as `ops.zoom.render_windows` does on the devices.

    Args:
        image: RGB.
        spec: the windows.

    Returns:
        n windows in the order of the places of the spec, black outside of the image.

    Raises:
        ValueError: a resized strip of the image would have more pixels than Pillow's limit, 2 *
            PIL.Image.MAX_IMAGE_PIXELS.
    """
    new_size = short_side_size(image.height, image.width, spec.side)
    starts = [spec.starts(length, spec.size) for length in new_size]
    first = 0 if vertical_pass_first((image.height, image.width), new_size, pass_order=spec.pass_order) else 1
    second = 1 - first  # axes: 0 the rows, 1 the columns

    def resized(picture: Image.Image, axis: int) -> Image.Image:
        size = (new_size[0], picture.width) if axis == 0 else (picture.height, new_size[1])
        return _bounded_resize(picture, size, Image.Resampling.BICUBIC)

    def window(picture: Image.Image, axis: int, start: int) -> Image.Image:
        end = start + spec.size
        return picture.crop((0, start, picture.width, end) if axis == 0 else (start, 0, end, picture.height))

    whole = resized(image, first)
    # Only what the windows of a strip show goes through the second pass.
    strips = [resized(window(whole, first, start), second) for start in starts[first]]
    views = []
    for *place, mirrored in spec.places:
        view = np.asarray(window(strips[place[first]], second, starts[second][place[second]]))
        views.append(view[:, ::-1] if mirrored else view)
    return np.stack(views)


def _resize(
    image: Image.Image,
    size: tuple[int, int],
    *,
    kernel: Image.Resampling,
    pass_order: str,
    window: tuple[int, int, int, int] | None = None,
) -> Image.Image:
    """The part `window` (left, top, right, bottom) of an image resized to `size` (height, width)."""
    height, width = size
    left, top, right, bottom = window or (0, 0, width, height)
    if image.mode in ("1", "P") or (image.height, image.width) == size:
        # Pillow resizes these modes by the nearest pixel, and an image of the right size not at all.
        return _bounded_resize(image, size, Image.Resampling.NEAREST).crop((left, top, right, bottom))
    mode, premultiplied = image.mode, {"RGBA": "RGBa", "LA": "La"}.get(image.mode)
    vertical_first = vertical_pass_first((image.height, image.width), size, pass_order=pass_order)
    image = image.convert(premultiplied) if premultiplied else image  # as Pillow's own resize does
    # One call per axis, so that the order does not depend on the installed Pillow. Between them only what the window
    # needs is kept: the second pass does not mix along the axis of the first.
    if vertical_first:
        image = _bounded_resize(image, (height, image.width), kernel).crop((0, top, image.width, bottom))
        image = _bounded_resize(image, (bottom - top, width), kernel).crop((left, 0, right, bottom - top))
    else:
        image = _bounded_resize(image, (image.height, width), kernel).crop((left, 0, right, image.height))
        image = _bounded_resize(image, (height, right - left), kernel).crop((0, top, right - left, bottom))
    return image.convert(mode) if premultiplied else image


def _bounded_resize(image: Image.Image, size: tuple[int, int], kernel: Image.Resampling) -> Image.Image:
    height, width = size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise ValueError(f"a step of its resize, {width} x {height}, exceeds Pillow's limit of {2 * limit} pixels")
    return image.resize((width, height), kernel)
