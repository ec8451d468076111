"""Memory for the images that are being decoded, bounded over all threads of the process."""

import contextlib
import threading
from collections.abc import Iterator

from lrjax.errors import UserError

GIB = 2**30
_BYTES_PER_PIXEL = 20
"""At the peak of decoding and conversion, measured with Pillow 13: 19.3 for JPEG 2000, 16 for WebP, 11 for others."""


class DecodingMemory:
    """What images may take together, from their decoding until their pixels or views are ready for a batch.

    Args:
        limit: bytes; may be set at any time.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._used = 0
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
                f"{name} takes {size / GIB:,.2f} GiB of memory, more than config.data.decode_gib, "
                f"{self.limit / GIB:g}; raise that, or remove the file"
            )

    def claim(self, width: int, height: int, *, encoded: int, name: str) -> None:
        """Waits until an image fits beside those of the other threads.

        Args:
            width: in pixels.
            height: in pixels.
            encoded: bytes of its file.
            name: what the error calls it.

        Raises:
            UserError: it takes more than the limit by itself.
        """
        size = _BYTES_PER_PIXEL * width * height + encoded
        self.check(size, f"image '{name}' of {width} x {height} pixels")
        if hasattr(self._own, "bytes"):
            self._add(-self._own.bytes)
            self._own.bytes = 0
            self._add(size)
            self._own.bytes = size

    def _add(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: size < 0 or self._used + size <= self.limit)
            self._used += size
            self._changed.notify_all()


MEMORY = DecodingMemory(8 * GIB)
"""That of this process; a run sets its limit to `config.data.decode_gib`."""
