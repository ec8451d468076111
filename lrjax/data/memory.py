"""Memory for images until they are in a batch, and for what they are read from, bounded over all threads."""

import contextlib
import threading
from collections.abc import Iterator

from lrjax.errors import UserError

GIB = 2**30
BYTES_PER_PIXEL = 20
"""At the peak of decoding and conversion, measured with Pillow 13: 19.3 for JPEG 2000, 16 for WebP, 11 for others."""


class DecodingMemory:
    """What images may take together, from their decoding until their pixels or views are ready for a batch.

    Args:
        limit: bytes; may be set at any time.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._used = self._kept = 0
        self._changed = threading.Condition()
        self._own = threading.local()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Counts the image that this thread decodes until the end of the context; a second one replaces the first."""
        self._own.bytes = 0
        try:
            yield
        finally:
            self._add(-self._own.bytes)
            del self._own.bytes

    def check(self, size: int, name: str) -> None:
        """Checks that something fits.

        Args:
            size: bytes.
            name: what the error calls it.

        Raises:
            UserError: it takes more than the limit.
        """
        if size > self.limit:
            raise UserError(
                f"{name} takes {_gib(size)} GiB of memory, more than config.data.decode_gib, "
                f"{_gib(self.limit)}; raise that, or remove the file"
            )

    def claim(self, size: int, name: str) -> None:
        """Waits until an image fits beside those of the other threads.

        Args:
            size: bytes.
            name: what the error calls it.

        Raises:
            UserError: it takes more than the limit by itself.
        """
        self.check(size, name)
        if hasattr(self._own, "bytes"):
            self._add(-self._own.bytes)
            self._own.bytes = 0
            self._add(size)
            self._own.bytes = size

    def check_kept(self, size: int, name: str) -> None:
        """Checks that one of the things that images are read from fits beside others like it, and the images.

        Args:
            size: bytes.
            name: what the error calls it.

        Raises:
            UserError: it takes more than a quarter of the limit.
        """
        if 4 * size > self.limit:
            raise UserError(
                f"{name} takes {_gib(size)} GiB of memory, more than a quarter of config.data.decode_gib, "
                f"{_gib(self.limit)}; raise that, or write smaller ones"
            )

    def keep(self, size: int) -> None:
        """Sets the bytes of all that is kept for images to be read from."""
        with self._changed:
            self._kept = size
            self._changed.notify_all()

    def _add(self, size: int) -> None:
        with self._changed:
            # alone, an image finds room beside whatever is kept
            self._changed.wait_for(lambda: size < 0 or not self._used or self._used + self._kept + size <= self.limit)
            self._used += size
            self._changed.notify_all()


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f}" if size >= GIB / 100 else f"{size / GIB:.2g}"


MEMORY = DecodingMemory(8 * GIB)
"""That of this process; a run sets its limit to `config.data.decode_gib`."""
