"""BERT's word pieces as CLIPA uses them."""

import json
from collections.abc import Sequence
from pathlib import Path

import tokenizers as hf

from lrjax.data.tokenizers.base import Tokenizer
from lrjax.data.tokenizers.files import VOCABULARIES
from lrjax.errors import UserError

_SPECIALS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}


def bert_tokenizer(path: Path, context: int) -> Tokenizer:
    """Return the tokenizer of CLIPA: [CLS], word pieces, 0 where BERT has [SEP], padding 0.

    A text that spells a special token yields its id, and 0 for [SEP].

    Args:
        path: `vocab.txt` or `tokenizer.json` of bert-base-uncased; of the latter only the vocabulary is read.
        context: ids per text.

    Raises:
        UserError: the file is damaged or holds another vocabulary, or the context holds no text.

    Reference: Li, Wang and Xie 2023, arXiv 2306.15658; open_clip 3.3, `HFTokenizer` with strip_sep_token.
    """
    pieces = _read(path)
    VOCABULARIES["bert"].check(path, len(pieces), {token: pieces.get(token) for token in _SPECIALS}, _SPECIALS)
    model = hf.Tokenizer(hf.models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=100))
    model.normalizer = hf.normalizers.BertNormalizer(lowercase=True)
    model.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    model.add_special_tokens(list(_SPECIALS))

    def encode(texts: Sequence[str]) -> list[list[int]]:
        rows = [encoding.ids for encoding in model.encode_batch(list(texts), add_special_tokens=False)]
        return [[0 if token == _SPECIALS["[SEP]"] else token for token in row] for row in rows]

    return Tokenizer(
        encode,
        "bert",
        context=context,
        sot_id=_SPECIALS["[CLS]"],
        eot_id=0,
        vocab_size=len(pieces),
        cleaning="whitespace",
        method="word pieces, lower case",
        vocabulary="\n".join(sorted(pieces, key=pieces.__getitem__)).encode("utf-8"),
    )


def _read(path: Path) -> dict[str, int]:
    """The ids of the pieces, which are 0 to n - 1."""
    try:
        if path.suffix == ".json":
            pieces = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
            sound = isinstance(pieces, dict) and sorted(pieces.values()) == list(range(len(pieces)))
        else:
            with path.open(encoding="utf-8") as file:
                lines = [line.rstrip("\n") for line in file]
            pieces = {piece: number for number, piece in enumerate(lines)}
            sound = len(pieces) == len(lines)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"vocabulary '{path}' cannot be read ({error}); fetch it again") from error
    if not sound:
        raise UserError(f"vocabulary '{path}' has pieces without an id of their own; fetch it again")
    return pieces
