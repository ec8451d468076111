"""Byte-level byte-pair vocabularies that are trained here and read from a `tokenizer.json` file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers as hf

from lrjax.data.tokenizers.base import Tokenizer
from lrjax.data.tokenizers.cleaning import clean
from lrjax.errors import UserError

PAD, SOT, EOT = "<pad>", "<sot>", "<eot>"


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


def file_tokenizer(path: Path, context: int) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json` that has the tokens <pad> (id 0), <sot> and <eot> (highest id).

    Args:
        path: the file.
        context: ids per text.

    Raises:
        UserError: the file is missing, damaged or without the special tokens, or the context holds no text.
    """
    if not path.is_file():
        raise UserError(f"tokenizer file '{path}' does not exist; put it beside the checkpoint")
    try:
        tokenizer = hf.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises the bare Exception
        raise UserError(
            f"tokenizer file '{path}' cannot be read ({error}); write it again with Tokenizer.save"
        ) from error
    found = ((token, tokenizer.token_to_id(token)) for token in (PAD, SOT, EOT))
    ids = {token: number for token, number in found if number is not None}
    missing = [token for token in (PAD, SOT, EOT) if token not in ids]
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

    return Tokenizer(
        encode,
        f"file:{path}",
        context=context,
        sot_id=ids[SOT],
        eot_id=ids[EOT],
        pad_id=ids[PAD],
        method="tokenizer.json",
        vocabulary=path.read_bytes(),
    )
