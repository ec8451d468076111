"""What happens to a text before it is split into tokens."""

import html
import string

import ftfy

_WITHOUT_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


def clean_whitespace(text: str) -> str:
    """Return the text with mojibake mended, HTML entities resolved twice and white space collapsed.

    Reference: CLIP, `simple_tokenizer.py` (basic_clean, whitespace_clean).
    """
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def clean(text: str) -> str:
    """Return the text cleaned as by `clean_whitespace` and in lower case."""
    return clean_whitespace(text).lower()


def clean_canonical(text: str) -> str:
    """Return the text cleaned as by `clean`, with underscores as spaces and without ASCII punctuation.

    Reference: big_vision, `evaluators/proj/image_text/prompt_engineering.py` (canonicalize_text), after CLIP's
    cleaning, as in open_clip 3.3.
    """
    return " ".join(clean(text).translate(_WITHOUT_PUNCTUATION).split())


CLEANINGS = {"lower": clean, "whitespace": clean_whitespace, "canonical": clean_canonical}
