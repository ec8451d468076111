"""Text to token ids: CLIP's byte-pair tokenizer, and tokenizers read from a `tokenizer.json` file."""

import functools
import gzip
import html
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path

import ftfy
import numpy as np
import tokenizers as hf

from lrjax.errors import UserError

CONTEXT = 77
PAD, SOT, EOT = "<pad>", "<sot>", "<eot>"

# open_clip 3.3 spells the two special tokens so; a text that holds one of them yields its id.
_CLIP_SPECIALS = ("<start_of_text>", "<end_of_text>")
_CLIP_PATTERN = r"(?i)<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Text to fixed-length token ids: start, tokens, end, padding.

    Text is cleaned first: ftfy, HTML entities resolved twice, white space collapsed, lower case. The end id is the
    highest id, so that a text tower finds its position by argmax; a longer text is cut and its last id forced to the
    end id.

    Args:
        encode: cleaned texts to one list of ids each, without start and end.
        name: what `get_tokenizer` was asked for.
        context: number of ids per text, at least 2.
        sot_id: id of the start of text.
        eot_id: id of the end of text, the highest id.
        pad_id: id of the padding.

    Raises:
        UserError: the context holds no room for start and end.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[list[int]]],
        name: str,
        *,
        context: int,
        sot_id: int,
        eot_id: int,
        pad_id: int = 0,
    ):
        if context < 2:
            raise UserError(
                f"context {context} of tokenizer '{name}' holds no text; give at least 2, the model's own "
                "value as a rule"
            )
        self._encode = encode
        self.name = name
        self.context = context
        self.sot_id, self.eot_id, self.pad_id = sot_id, eot_id, pad_id

    @property
    def vocab_size(self) -> int:
        """Number of rows that the token embedding needs."""
        return self.eot_id + 1

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        """Return the ids of the texts.

        Args:
            texts: one text or a sequence of n texts.

        Returns:
            int32 [n, context].

        Raises:
            UserError: a text is not a str.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(
                    f"text {position} is a {type(text).__name__}, not a str: {text!r}; convert it before tokenizing"
                )
        ids = np.full((len(texts), self.context), self.pad_id, np.int32)
        for row, tokens in zip(ids, self._encode([clean(text) for text in texts]), strict=True):
            tokens = [self.sot_id, *tokens[: self.context - 2], self.eot_id]
            row[: len(tokens)] = tokens
        return ids


def clean(text: str) -> str:
    """Return the text with mojibake mended, HTML entities resolved twice, white space collapsed, and in lower case.

    Reference: CLIP, `simple_tokenizer.py` (basic_clean, whitespace_clean).
    """
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def get_tokenizer(name: str, context: int = CONTEXT) -> Tokenizer:
    """Return the tokenizer with the given name.

    Args:
        name: "clip", or "file:PATH" with the path of a `tokenizer.json` that has the tokens <pad> (id 0), <sot> and
            <eot> (highest id).
        context: ids per text.

    Raises:
        UserError: the name is unknown, or the file is missing, damaged or without the special tokens.
    """
    if name == "clip":
        return Tokenizer(_clip_encode, name, context=context, sot_id=49406, eot_id=49407)
    if name.startswith("file:"):
        return _file_tokenizer(name, context)
    raise UserError(f"unknown tokenizer '{name}'; give 'clip' or 'file:PATH'")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> hf.Tokenizer:
    """Train a lower-cased byte-level byte-pair vocabulary.

    Args:
        texts: the training texts.
        vocab_size: number of ids; 0 is <pad>, vocab_size-2 is <sot>, vocab_size-1 is <eot>, between them 256 bytes and
            the merges.

    Returns:
        A tokenizer of the `tokenizers` library; its `save(path)` writes the file that "file:PATH" names.

    Raises:
        UserError: the size is below 259, or the texts do not hold enough pairs to fill it.

    Reference: Sennrich, Haddow and Birch 2016, arXiv 1508.07909.
    """
    smallest = 256 + 3
    if vocab_size < smallest:
        raise UserError(f"vocab_size {vocab_size} is too small: 256 bytes and 3 special tokens need {smallest}")
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.normalizer = hf.normalizers.Lowercase()
    tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = hf.decoders.ByteLevel()
    trainer = hf.trainers.BpeTrainer(
        vocab_size=vocab_size - 2,
        special_tokens=[PAD],
        initial_alphabet=sorted(hf.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((clean(text) for text in texts), trainer)
    size = tokenizer.get_vocab_size() + 2
    if size != vocab_size:
        raise UserError(
            f"the training texts give {size} tokens, not {vocab_size}; give more text or ask for vocab_size={size}"
        )
    tokenizer.add_special_tokens([SOT, EOT])
    return tokenizer


def _file_tokenizer(name: str, context: int) -> Tokenizer:
    path = Path(name.removeprefix("file:"))
    if not path.is_file():
        raise UserError(f"tokenizer file '{path}' does not exist; give the path of a tokenizer.json")
    try:
        tokenizer = hf.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises the bare Exception
        raise UserError(
            f"tokenizer file '{path}' cannot be read ({error}); write it again with Tokenizer.save"
        ) from error
    ids = {token: tokenizer.token_to_id(token) for token in (PAD, SOT, EOT)}
    missing = [token for token, number in ids.items() if number is None]
    if missing:
        raise UserError(f"tokenizer file '{path}' has no token {', '.join(missing)}; add it as a special token")
    highest = max(tokenizer.get_vocab().values())
    if ids[EOT] != highest:
        raise UserError(
            f"tokenizer file '{path}': {EOT} has id {ids[EOT]}, not the highest id {highest}; add it as the last token"
        )
    if ids[PAD] != 0:
        raise UserError(f"tokenizer file '{path}': {PAD} has id {ids[PAD]}, not 0; make it the first token")
    # Special tokens that stand in a text are plain text: an end id in the middle would move the pooled position.
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return Tokenizer(encode, name, context=context, sot_id=ids[SOT], eot_id=ids[EOT], pad_id=ids[PAD])


def _byte_letters() -> list[str]:
    """The 256 byte letters in CLIP's id order: printable Latin-1 first, then stand-ins from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(code) for code in [*printable, *range(0x100, 0x100 + 256 - len(printable))]]


@functools.cache
def _clip_model() -> hf.Tokenizer:
    packed = resources.files("lrjax.data").joinpath("assets/clip_bpe.txt.gz").read_bytes()
    merges = [tuple(line.split(" ")) for line in gzip.decompress(packed).decode("utf-8").splitlines()]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), *_CLIP_SPECIALS]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = hf.Tokenizer(hf.models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [
            hf.pre_tokenizers.Split(hf.Regex(_CLIP_PATTERN), behavior="removed", invert=True),
            hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _clip_encode(texts: Sequence[str]) -> list[list[int]]:
    tokenizer = _clip_model()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    for position, text in enumerate(texts):
        if any(special in text for special in _CLIP_SPECIALS):
            ids[position] = _clip_encode_specials(text)
    return ids


def _clip_encode_specials(text: str) -> list[int]:
    # The library matches added tokens before it splits words, CLIP after: "!!<end_of_text>" holds no special token
    # there.
    tokenizer, ids = _clip_model(), []
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
        if word in _CLIP_SPECIALS:
            ids.append(tokenizer.token_to_id(word))
        else:
            ids.extend(token.id for token in tokenizer.model.tokenize(word))
    return ids
