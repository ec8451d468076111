"""The captions that images are generated from: one per line of a text file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lrjax.errors import UserError


def read_captions(path: str | Path, *, repeated: bool = False) -> list[str]:
    """Reads captions; the first line is caption 0. Spaces around them and empty lines at the end do not count.

    Args:
        path: the file, UTF-8.
        repeated: whether a caption may occur again.

    Raises:
        UserError: the file is missing or no text, or a caption is empty, damaged or there twice.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"captions '{path}' cannot be read as UTF-8 text ({error}); give one caption per line"
        ) from error
    captions = [line.strip() for line in text.rstrip().split("\n")]
    if captions == [""]:
        raise UserError(f"'{path}' holds no caption; give one per line")
    seen: dict[str, int] = {}
    for number, caption in enumerate(captions, start=1):
        if not caption:
            raise UserError(f"line {number} of '{path}' is empty; give one caption per line")
        if not caption.isprintable() or "\ufffd" in caption:
            raise UserError(f"line {number} of '{path}' is damaged or no plain text: {caption[:80]!r}; correct it")
        if caption in seen and not repeated:
            raise UserError(
                f"line {number} of '{path}' repeats line {seen[caption]}, {caption[:80]!r}; remove one, or give "
                "--repeated"
            )
        seen[caption] = number
    return captions


def captions_hash(captions: Sequence[str]) -> str:
    """Returns a hash of captions in their order."""
    return hashlib.sha256("\n".join(captions).encode()).hexdigest()
