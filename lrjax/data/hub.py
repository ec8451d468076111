"""Files of the Hugging Face hub: from its cache, else by a download."""

import contextlib
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lrjax.errors import UserError

HUB_PREFIX = "hf-hub:"

_PATIENCE = 5  # seconds
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?::([\w./-]+))?")


class HubId(NamedTuple):
    """What "ORG/NAME@REVISION:FILE" names; the revision and the file are None where they are left out."""

    repository: str
    revision: str | None
    file: str | None

    @property
    def snapshot(self) -> str:
        """The repository, and the revision where there is one."""
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def parse_hub_id(text: str) -> HubId | None:
    """Returns the parts of a hub id, with or without "hf-hub:" in front; None where it is none."""
    matched = _HUB_ID.fullmatch(text.removeprefix(HUB_PREFIX))
    return HubId(*matched.groups()) if matched else None


def fetch(repositories: Sequence[str], files: Sequence[str], *, revision: str | None = None) -> Path:
    """Returns the first file there is, taken from the cache where it lies there.

    Args:
        repositories: names "ORG/NAME"; all files of the first are tried, then those of the next.
        files: names of files in a repository.
        revision: branch, tag or commit; None for the main one.

    Raises:
        UserError: there is none; the message says why and names no file.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise UserError("huggingface_hub is not installed; run `pip install huggingface_hub`") from error
    download = functools.partial(huggingface_hub.hf_hub_download, revision=revision)
    reachable = functools.cache(is_reachable)
    reason: str | Exception = f"no connection to {constants.ENDPOINT}"
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    for repository in repositories:
        for file in files:
            try:
                with contextlib.suppress(errors.LocalEntryNotFoundError):
                    return Path(download(repository, file, local_files_only=True))
                if reachable():
                    return Path(download(repository, file, local_files_only=False))
            except errors.EntryNotFoundError as error:
                reason = error
            except Exception as error:  # those of a lost connection are of requests, httpx or httpx2, by version
                reason = error
                break
    if isinstance(reason, Exception):
        raise UserError(type(reason).__name__) from reason
    raise UserError(reason)


def is_reachable() -> bool:
    """Tells whether the hub answers within seconds; a download would try again for half a minute before it fails."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception:  # as above
        return False
    return True
