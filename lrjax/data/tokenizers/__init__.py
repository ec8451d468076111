"""Text to token ids: the tokenizers of the backbones, found by name, and vocabularies trained here."""

from pathlib import Path

from lrjax.data.tokenizers.base import Tokenizer
from lrjax.data.tokenizers.bert import bert_tokenizer
from lrjax.data.tokenizers.cleaning import clean
from lrjax.data.tokenizers.clip import CONTEXT, clip_tokenizer
from lrjax.data.tokenizers.files import VOCABULARIES, find_vocabulary
from lrjax.data.tokenizers.siglip import siglip_tokenizer
from lrjax.data.tokenizers.trained import EOT, PAD, SOT, file_tokenizer, train_tokenizer
from lrjax.errors import UserError

__all__ = [
    "CONTEXT",
    "EOT",
    "PAD",
    "SOT",
    "VOCABULARIES",
    "Tokenizer",
    "clean",
    "find_vocabulary",
    "get_tokenizer",
    "train_tokenizer",
]

_BUILDERS = {"bert": bert_tokenizer, "siglip": siglip_tokenizer}


def get_tokenizer(
    name: str,
    context: int = CONTEXT,
    *,
    directory: Path | None = None,
    hub_id: str = "",
    vocabulary: int | None = None,
) -> Tokenizer:
    """Return the tokenizer with the given name.

    "clip" ships with this package. The vocabularies of "bert" and "siglip" are looked for in `directory`, then in the
    hub repository `hub_id`, then in the repository of their authors.

    Args:
        name: "clip", "bert" (bert-base-uncased as CLIPA uses it), "siglip" (c4_en as SigLIP uses it), or "file:PATH"
            with the path of a `tokenizer.json` that has the tokens <pad> (id 0), <sot> and <eot> (highest id).
        context: ids per text.
        directory: where the checkpoint lies; a relative PATH starts there.
        hub_id: hub id of the checkpoint, "ORG/NAME" or "ORG/NAME:FILE"; "" if there is none.
        vocabulary: rows of the model's token table; None leaves them unchecked.

    Raises:
        UserError: the name is unknown, the vocabulary is nowhere to be found, damaged or another one, or its ids exceed
            the token table.
    """
    if name == "clip":
        tokenizer = clip_tokenizer(context)
    elif name in _BUILDERS:
        tokenizer = _BUILDERS[name](find_vocabulary(name, directory=directory, hub_id=hub_id), context)
    elif name.startswith("file:"):
        tokenizer = file_tokenizer(Path(directory or "") / name.removeprefix("file:"), context)
    else:
        raise UserError(f"unknown tokenizer '{name}'; give 'clip', 'bert', 'siglip' or 'file:PATH'")
    if vocabulary is not None and tokenizer.vocab_size > vocabulary:
        raise UserError(
            f"tokenizer '{name}' has {tokenizer.vocab_size} ids but the token table of the model only {vocabulary} "
            "rows; use the tokenizer that the model was trained with"
        )
    return tokenizer
