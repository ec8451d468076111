"""CLIP's byte-pair tokenizer, with the published merges."""

import functools
import gzip
from collections.abc import Sequence
from importlib import resources

import tokenizers as hf

from lrjax.data.tokenizers.base import Tokenizer

CONTEXT = 77

# open_clip 3.3 spells the two special tokens so; a text that holds one of them yields its id.
_SPECIALS = ("<start_of_text>", "<end_of_text>")
_PATTERN = r"(?i)<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_tokenizer(context: int = CONTEXT) -> Tokenizer:
    """Return the tokenizer of CLIP, OpenCLIP, MetaCLIP, CoCa and EVA-CLIP.

    The end of text has the highest id, so that a text tower finds its position by argmax.

    Args:
        context: ids per text; 77, or 76 for CoCa, whose text tower appends a class token.

    Raises:
        UserError: the context holds no text.
    """
    return Tokenizer(
        _encode, "clip", context=context, sot_id=49406, eot_id=49407, method="clip byte pairs", vocabulary=_merges()
    )


@functools.cache
def _merges() -> bytes:
    return gzip.decompress(resources.files("lrjax.data").joinpath("assets/clip_bpe.txt.gz").read_bytes())


def _byte_letters() -> list[str]:
    """The 256 byte letters in CLIP's id order: printable Latin-1 first, then stand-ins from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(code) for code in [*printable, *range(0x100, 0x100 + 256 - len(printable))]]


@functools.cache
def _model() -> hf.Tokenizer:
    merges = [tuple(line.split(" ")) for line in _merges().decode("utf-8").splitlines()]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), *_SPECIALS]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = hf.Tokenizer(hf.models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [
            hf.pre_tokenizers.Split(hf.Regex(_PATTERN), behavior="removed", invert=True),
            hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _encode(texts: Sequence[str]) -> list[list[int]]:
    tokenizer = _model()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    for position, text in enumerate(texts):
        if any(special in text for special in _SPECIALS):
            ids[position] = _encode_specials(text)
    return ids


def _encode_specials(text: str) -> list[int]:
    # The library matches added tokens before it splits words, CLIP after: "!!<end_of_text>" holds no special token
    # there.
    tokenizer, ids = _model(), []
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
        if word in _SPECIALS:
            ids.append(tokenizer.token_to_id(word))
        else:
            ids.extend(token.id for token in tokenizer.model.tokenize(word))
    return ids
