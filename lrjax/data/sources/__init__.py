"""Random-access image sources, one module per kind.

Each is a `lrjax.data.source.Source`; `ImageList` has no label. The image is decoded and has the mode of its file: when
to convert it to RGB is the reader's choice. Its id stays the same from run to run. What to do about a damaged image is
the loader's choice. Sources can be pickled, and threads may read one at the same time.
"""

from lrjax.data.sources.folder import ImageFolder, ImageList
from lrjax.data.sources.tfds import TfdsSource

__all__ = ["ImageFolder", "ImageList", "TfdsSource"]
