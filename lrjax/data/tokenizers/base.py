"""The tokenizer that the rest of the package sees: texts in, rows of ids out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from lrjax.data.tokenizers.cleaning import CLEANINGS
from lrjax.errors import UserError

# Part of every fingerprint; raised when the same vocabulary and rules begin to give other ids.
_VERSION = 1


class Tokenizer:
    """Text to fixed-length token ids: start, tokens, end, padding.

    A text that is too long loses its last tokens; start and end always stay.

    Args:
        encode: cleaned texts to one list of ids each, without start and end.
        name: what `get_tokenizer` was asked for.
        context: number of ids per text, with room for at least one token.
        sot_id: id of the start of text; None if there is none.
        eot_id: id of the end of text.
        pad_id: id of the padding.
        vocab_size: number of ids; None if the end of text has the highest.
        cleaning: "lower" (mojibake mended, HTML entities resolved, white space collapsed, lower case), "whitespace"
            (the same without the lower case) or "canonical" (lower case without punctuation).
        method: name of the algorithm of `encode`, for the fingerprint.
        vocabulary: content of the vocabulary, for the fingerprint.

    Attributes:
        fingerprint: SHA-256 in hexadecimal of the vocabulary and of all rules that lead to the ids.
        vocab_size: number of rows that the token table needs.

    Raises:
        UserError: the context holds no text.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[list[int]]],
        name: str,
        *,
        context: int,
        sot_id: int | None,
        eot_id: int,
        pad_id: int = 0,
        vocab_size: int | None = None,
        cleaning: Literal["lower", "whitespace", "canonical"] = "lower",
        method: str = "",
        vocabulary: bytes = b"",
    ):
        if context < 2:
            raise UserError(
                f"context {context} of tokenizer '{name}' holds no text; give at least 2, the model's own "
                "value as a rule"
            )
        self._encode, self._clean = encode, CLEANINGS[cleaning]
        self.name = name
        self.context = context
        self.sot_id, self.eot_id, self.pad_id = sot_id, eot_id, pad_id
        self.vocab_size = eot_id + 1 if vocab_size is None else vocab_size
        content = hashlib.sha256(vocabulary).hexdigest()
        rules = (_VERSION, method, cleaning, context, sot_id, eot_id, pad_id, self.vocab_size, content)
        self.fingerprint = hashlib.sha256(json.dumps(rules).encode()).hexdigest()

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
        start = [] if self.sot_id is None else [self.sot_id]
        room = self.context - len(start) - 1
        ids = np.full((len(texts), self.context), self.pad_id, np.int32)
        for row, tokens in zip(ids, self._encode([self._clean(text) for text in texts]), strict=True):
            tokens = [*start, *tokens[:room], self.eot_id]
            row[: len(tokens)] = tokens
        return ids
