"""Images with captions, in the files of Karpathy's splits: dataset_flickr30k.json, dataset_coco.json.

    {"images": [{"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg", "split": "test",
                 "sentences": [{"raw": "A man with a red helmet"}, ...]}, ...]}

Those of Flickr30K have no filepath. Other keys are not read.

Reference: Karpathy and Fei-Fei 2015, Deep Visual-Semantic Alignments for Generating Image Descriptions, arXiv
1412.2306.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lrjax.checks.text import brief
from lrjax.data.sources.split import ImageFiles, folder_of, only_file, read_json
from lrjax.errors import UserError


def open_karpathy(path: str | os.PathLike, split: str = "test") -> ImageFiles:
    """Opens the images of a split with all of their captions, as they are in the file; an image has no label, -1.

    The paths of the images start at the folder of the file or at a folder in it, whichever has the first image.

    Args:
        path: of the file, or of a folder with one dataset_*.json.
        split: "train", "restval", "val" or "test".

    Raises:
        UserError: the file is missing, unreadable or has another form, or images are missing.
    """
    path = only_file(Path(path), "dataset_*.json")
    content = read_json(path)
    rows = content.get("images") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise UserError(f"'{path}' has no list 'images'; give a file of Karpathy's splits, such as dataset_coco.json")
    listed = [_image(row, f"image {number} of '{path}'") for number, row in enumerate(rows)]
    found = [(name, captions) for name, captions, part in listed if part == split]
    if not found:
        known = ", ".join(sorted({part for _, _, part in listed})) or "no images"
        raise UserError(f"'{path}' has no images of the split '{split}' (it has {known}); name another split or file")
    names = [name for name, _ in found]
    images = ImageFiles(path, folder_of(path.parent, names[0]), names, [-1] * len(names))
    images.captions = [captions for _, captions in found]
    return images


def _image(row: Any, place: str) -> tuple[str, tuple[str, ...], str]:
    """The path of an image, its captions, and its split."""
    row = row if isinstance(row, Mapping) else {}
    texts = [row.get("filepath", ""), row.get("filename"), row.get("split")]
    if not all(isinstance(text, str) for text in texts) or not texts[1]:
        raise UserError(f"{place} has filepath, filename and split {brief(texts)}; write texts")
    sentences = row.get("sentences")
    listed = sentences if isinstance(sentences, list) else []
    captions = [str(one["raw"]) for one in listed if isinstance(one, Mapping) and isinstance(one.get("raw"), str)]
    if not listed or len(captions) < len(listed) or not all(caption.strip() for caption in captions):
        raise UserError(f"{place} has the sentences {brief(sentences)}; give every image captions, as 'raw'")
    return str(PurePosixPath(texts[0], texts[1])), tuple(captions), texts[2]
