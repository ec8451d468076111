"""Random-access image sources, one module per kind.

Every source has `len(source)` and `source[i] -> {"image": PIL image, "label": int or tuple of ints, "id": str}`, and a
`fingerprint`, which tells its content from another's; `ImageList` has no label. A tuple of labels means that any of
them is right. The image is decoded and has the mode of its file: when to convert it to RGB is the reader's choice. Its
id stays the same from run to run. A source raises `ImageError` for a damaged image; what to do about it is the loader's
choice. Sources can be pickled, and threads may read one at the same time.
"""

from lrjax.data.sources.folder import ImageFolder, ImageList
from lrjax.data.sources.tfds import TfdsSource

__all__ = ["ImageFolder", "ImageList", "TfdsSource"]
