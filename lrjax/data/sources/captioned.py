"""Sets of images that were generated from numbered captions, in the layout of the training images of LR0.FM.

    Mul_samples_50_2K/1/rohit_caption_0.png    the first image of the first of 2,000 captions, of which each has 50
    Mul_samples_50_2K/50/rohit_caption_1999.png
    Mul_samples_50_5K/1/rohit_caption_0.png    the first of 5,000 others: caption 2,000

A folder `Mul_samples_<images per caption>_<captions>` is a set; "2K" is 2000. Its folders are numbered from 1, and each
holds one image per caption, whose file name ends in the number of the caption, from 0: 12.png and caption_00012.jpg do
as well. Sets of equally many captions share them, smaller numbers of images first: `Mul_samples_10_2K` and
`Mul_samples_30_2K` hold 40 images of each of 2,000 captions. Sets of different captions follow each other, few captions
first.

Reference: the training data sets of shyammarjit/LR0.FM (arXiv 2502.03950), which open these paths.
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lrjax.data.sources.base import ListedImages
from lrjax.data.sources.folder import existing_folder, subfolders
from lrjax.data.sources.tree import by_suffix, gaps, identity, is_image
from lrjax.errors import UserError

_PREFIX = "Mul_samples_"
_NAME = re.compile(rf"{_PREFIX}([1-9]\d*)_([1-9]\d*)(K?)")
_NUMBER = re.compile(r"\d+$")


class ImageSet(NamedTuple):
    """A set of images.

    Attributes:
        captions: number of captions.
        images: images per caption.
    """

    captions: int
    images: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        thousands, rest = divmod(self.captions, 1000)
        return f"{_PREFIX}{self.images}_{self.captions if rest else f'{thousands}K'}"

    def file(self, caption: int, image: int) -> str:
        """Returns the path of an image below the folder that holds the set.

        Args:
            caption: number of the caption, from 0.
            image: number of the image among those of the caption, from 0.
        """
        return f"{self.folder}/{image + 1}/rohit_caption_{caption}.png"  # the only name that the official code opens


class CaptionedImages(ListedImages):
    """Images with the numbers of their captions as labels, caption by caption.

    Args:
        root: folder of sets, or one set.
        images_per_caption: takes the first ones of every caption, and all captions must have as many; 0 takes all
            images that there are.

    Raises:
        UserError: the folder is missing or not in the layout above, a folder is there twice, or a caption has too few
            images.
    """

    def __init__(self, root: str | os.PathLike, *, images_per_caption: int = 0):
        root, found, numbered, others = existing_folder(root), [], {}, []
        for captions, folders in itertools.groupby(_sets(root), key=lambda one: one[0].captions):
            images = [[] for _ in range(captions)]
            for folder in itertools.chain.from_iterable(_numbered(folder) for _, folder in folders):
                if (first := numbered.setdefault(identity(folder), folder)) != folder:
                    raise UserError(f"folders '{first}' and '{folder}' are one and the same; remove the link")
                others += [(folder.relative_to(root) / name).as_posix() for name in _visible(folder, images=False)]
                for caption, name in _images(folder, captions):
                    images[caption].append((folder.relative_to(root) / name).as_posix())
            found.extend(images)
        if images_per_caption:
            few = [caption for caption, images in enumerate(found) if len(images) < images_per_caption]
            if few:
                raise UserError(
                    f"caption {few[0]} of '{root}' has {len(found[few[0]])} images, fewer than "
                    f"config.train.images_per_caption={images_per_caption} ({len(few)} of {len(found)} captions have "
                    "too few); add images, or lower it"
                )
            found = [images[:images_per_caption] for images in found]
        pairs = [(image, caption) for caption, images in enumerate(found) for image in images]
        super().__init__(root, [image for image, _ in pairs], [caption for _, caption in pairs])
        self.files = [Path(root, image) for image in self.ids]
        self.left_out = by_suffix(others)
        self.gaps = gaps(self.left_out)

    def encoded(self, index: int) -> Path:
        """Returns the path of an image."""
        return self.files[index]


def holds_captioned_images(root: str | os.PathLike) -> bool:
    """Tells whether a folder is a set of captioned images, or holds one."""
    root = Path(root).expanduser().absolute()
    return root.is_dir() and any(name.startswith(_PREFIX) for name in (root.name, *subfolders(root)))


def _sets(root: Path) -> list[tuple[ImageSet, Path]]:
    if root.absolute().name.startswith(_PREFIX):
        return [(_read_name(root), root)]
    _refuse_images(root)
    return sorted((_read_name(root / name), root / name) for name in subfolders(root))


def _read_name(folder: Path) -> ImageSet:
    match = _NAME.fullmatch(folder.absolute().name)
    if match is None:
        raise UserError(
            f"folder '{folder}' is not named {_PREFIX}<images per caption>_<captions>, as {_PREFIX}50_2K is; rename it "
            "or keep it elsewhere"
        )
    images, captions, thousands = match.groups()
    return ImageSet(int(captions) * (1000 if thousands else 1), int(images))


def _numbered(folder: Path) -> list[Path]:
    names = subfolders(folder)
    for name in names:
        if not re.fullmatch(r"[1-9]\d*", name):
            raise UserError(f"the name of folder '{folder / name}' is no number from 1 on; rename or remove it")
    if not names:
        raise UserError(f"'{folder}' has no folders 1, 2, ... with one image per caption each; add them, or remove it")
    _refuse_images(folder)
    return [folder / name for name in sorted(names, key=int)]


def _images(folder: Path, captions: int) -> Iterator[tuple[int, str]]:
    seen = {}
    for name in _visible(folder, images=True):
        number = _NUMBER.search(Path(name).stem)
        if number is None:
            raise UserError(f"image '{folder / name}' has no caption number at the end of its name; rename it")
        caption = int(number[0])
        if caption >= captions:
            raise UserError(
                f"image '{folder / name}' is of caption {caption}, but its set, as its name says, counts 0 to "
                f"{captions - 1}; correct one of the names"
            )
        if caption in seen:
            raise UserError(f"'{folder}' has two images of caption {caption}, {seen[caption]} and {name}; remove one")
        seen[caption] = name
        yield caption, name


def _refuse_images(folder: Path) -> None:
    if names := _visible(folder, images=True):
        raise UserError(f"image '{folder / names[0]}' lies outside the numbered folders of a set; move or remove it")


def _visible(folder: Path, *, images: bool) -> list[str]:
    names = (name for name in sorted(os.listdir(folder)) if not name.startswith("."))
    return [name for name in names if is_image(name) == images]
