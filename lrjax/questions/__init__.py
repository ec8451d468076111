"""Questions: one file or folder each, found by the name of its line here, or as MODULE:CLASS or FILE.py:CLASS."""

import difflib
import importlib
import importlib.util
from pathlib import Path

from lrjax.errors import UserError
from lrjax.questions.base import Question

QUESTIONS = {
    "zeroshot": "lrjax.questions.zeroshot:ZeroShot",
    "zoom": "lrjax.questions.zoom.question:Zoom",
}


def find(kind: str) -> type[Question]:
    """Returns the class of a question.

    Args:
        kind: a name of `QUESTIONS`, or MODULE:CLASS, or FILE.py:CLASS for one outside of the package.

    Raises:
        UserError: there is no such question.
    """
    place, colon, name = QUESTIONS.get(kind, kind).rpartition(":")
    if not colon:
        close = difflib.get_close_matches(kind, QUESTIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(QUESTIONS)}, or MODULE:CLASS"
        raise UserError(f"unknown question {kind!r} in config.questions; {hint}")
    try:
        question = getattr(_module(place), name)
    except (ImportError, OSError, SyntaxError, AttributeError) as error:
        raise UserError(f"question {kind!r} of config.questions cannot be imported ({error}); mend it") from error
    if not (isinstance(question, type) and issubclass(question, Question)):
        raise UserError(f"{kind!r} of config.questions is no question; derive it from lrjax.questions.base.Question")
    return question


def _module(place: str):
    if not place.endswith(".py"):
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(Path(place).stem, Path(place).expanduser())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
