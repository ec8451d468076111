"""SentencePiece as SigLIP uses it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import tokenizers as hf

from lrjax.data.tokenizers.base import Tokenizer
from lrjax.data.tokenizers.files import VOCABULARIES
from lrjax.errors import UserError

_SPECIALS = {"</s>": 1, "<unk>": 2}

_Encode = Callable[[Sequence[str]], list[list[int]]]


def siglip_tokenizer(path: Path, context: int) -> Tokenizer:
    """Return the tokenizer of SigLIP: pieces of the text without punctuation, the end 1, padding 1.

    Args:
        path: `sentencepiece.model` or `spiece.model`, which the sentencepiece library reads, or `tokenizer.json`.
        context: ids per text; 64, or 16 for SO400M at 224 px.

    Raises:
        UserError: the file is damaged or holds another vocabulary, or the context holds no text.

    Reference: Zhai et al. 2023, arXiv 2303.15343; Kudo and Richardson 2018, arXiv 1808.06226; open_clip 3.3,
        `HFTokenizer` with clean="canonicalize".
    """
    encode, size = _from_json(path) if path.suffix == ".json" else _from_model(path)
    return Tokenizer(
        encode,
        "siglip",
        context=context,
        sot_id=None,
        eot_id=_SPECIALS["</s>"],
        pad_id=_SPECIALS["</s>"],
        vocab_size=size,
        cleaning="canonical",
        method="unigram of tokenizers" if path.suffix == ".json" else "unigram of sentencepiece",
        vocabulary=path.read_bytes(),
    )


def _from_model(path: Path) -> tuple[_Encode, int]:
    import sentencepiece

    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise UserError(f"vocabulary '{path}' cannot be read ({error}); fetch it again") from error
    size = model.vocab_size()
    found = {model.id_to_piece(number): number for number in _SPECIALS.values() if number < size}
    VOCABULARIES["siglip"].check(path, size, found, _SPECIALS)
    return lambda texts: model.encode(list(texts), out_type=int), size


def _from_json(path: Path) -> tuple[_Encode, int]:
    try:
        model = hf.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises the bare Exception
        raise UserError(f"vocabulary '{path}' cannot be read ({error}); fetch it again") from error
    size = model.get_vocab_size()
    VOCABULARIES["siglip"].check(path, size, {token: model.token_to_id(token) for token in _SPECIALS}, _SPECIALS)
    model.no_truncation()
    model.no_padding()

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in model.encode_batch(list(texts), add_special_tokens=False)]

    return encode, size
