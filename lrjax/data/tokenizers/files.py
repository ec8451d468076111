"""Where the vocabularies lie that do not ship with this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lrjax.data.hub import fetch
from lrjax.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A published vocabulary.

    Attributes:
        title: what it is called.
        files: file names, the first found is taken.
        repositories: hub repositories that have one of the files.
        size: number of ids.
    """

    title: str
    files: tuple[str, ...]
    repositories: tuple[str, ...]
    size: int

    def check(self, path: Path, size: int, found: Mapping[str, int | None], expected: dict[str, int]) -> None:
        """Check that a file holds this vocabulary and no other.

        Args:
            path: the file, for the message.
            size: number of its ids.
            found: its ids of the special tokens; None for one that it lacks.
            expected: the ids of this vocabulary.

        Raises:
            UserError: when it is another one.
        """
        different = [token for token in expected if found.get(token) != expected[token]]
        if size == self.size and not different:
            return
        facts = f"{size} ids" if size != self.size else f"id {found.get(different[0])} for {different[0]}"
        wanted = f"{self.size}" if size != self.size else f"{expected[different[0]]}"
        raise UserError(
            f"vocabulary '{path}' is not {self.title}: it has {facts}, not {wanted}; put the right file, from "
            f"{self.address}, in its place"
        )

    @property
    def address(self) -> str:
        """Where a person finds it."""
        return f"https://huggingface.co/{self.repositories[0]}"


# The shorter name of the first is an alias that the hub keeps and other programs have in their caches.
VOCABULARIES = {
    "bert": Vocabulary(
        title="that of bert-base-uncased",
        files=("vocab.txt", "tokenizer.json"),
        repositories=("google-bert/bert-base-uncased", "bert-base-uncased"),
        size=30522,
    ),
    "siglip": Vocabulary(
        title="c4_en of SigLIP",
        files=("sentencepiece.model", "spiece.model", "tokenizer.json"),
        repositories=("timm/ViT-B-16-SigLIP",),
        size=32000,
    ),
}


def find_vocabulary(name: str, *, directory: Path | None = None, hub_id: str = "") -> Path:
    """Return the file of a published vocabulary, after a download if it is neither at hand nor cached.

    Args:
        name: a key of `VOCABULARIES`.
        directory: where to look first; None for nowhere.
        hub_id: hub id of the checkpoint, whose repository comes before the vocabulary's own; "" if there is none.

    Raises:
        UserError: when there is none.
    """
    vocabulary = VOCABULARIES[name]
    if directory is not None:
        for file in vocabulary.files:
            if (path := directory / file).is_file():
                return path
    repository = hub_id.removeprefix("hf-hub:").partition(":")[0]
    repositories = list(dict.fromkeys(one for one in (repository, *vocabulary.repositories) if one))
    try:
        return fetch(repositories, vocabulary.files)
    except UserError as error:
        beside = f"none lies in {directory}, and " if directory else ""
        raise UserError(
            f"tokenizer '{name}' needs {' or '.join(vocabulary.files)}: {beside}none of {', '.join(repositories)} on "
            f"the hub is cached or reachable ({error}); put a file from {vocabulary.address} beside the checkpoint"
        ) from error
