"""Questions: one file or folder each, found by the name of its line here, or as MODULE:CLASS or FILE.py:CLASS."""

import contextlib
import difflib
import hashlib
import importlib
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

from lrjax.errors import UserError
from lrjax.questions.base import Question

QUESTIONS = {
    "retrieval": "lrjax.questions.retrieval:Retrieval",
    "zeroshot": "lrjax.questions.zeroshot:ZeroShot",
    "zoom": "lrjax.questions.zoom.question:Zoom",
}


def find(kind: str) -> type[Question]:
    """Returns the class of a question.

    Args:
        kind: a name of `QUESTIONS`, or MODULE:CLASS, or FILE.py:CLASS for one outside of the package, the file being
            found from the working directory. Another content of the file is another question: it is asked again.

    Raises:
        UserError: there is no such question, it cannot be imported, or it lacks a part.
    """
    place, colon, name = QUESTIONS.get(kind, kind).rpartition(":")
    if not colon:
        close = difflib.get_close_matches(kind, QUESTIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(QUESTIONS)}, or MODULE:CLASS"
        raise UserError(f"unknown question {kind!r} in config.questions; {hint}")
    try:
        question = getattr(_module(place), name)
    except Exception as error:  # whatever the file does
        cause = f"{type(error).__name__}: {error}"
        raise UserError(f"question {kind!r} of config.questions cannot be imported ({cause}); mend it") from error
    own = "__dataclass_fields__" in getattr(question, "__dict__", ())  # a class inherits those of its base
    if not (isinstance(question, type) and issubclass(question, Question) and own):
        raise UserError(
            f"{kind!r} of config.questions is no question; write a frozen dataclass, derived from "
            "lrjax.questions.base.Question"
        )
    attributes = [name for name in ("version", "headline", "higher_is_better") if not hasattr(question, name)]
    if lacking := [*sorted(question.__abstractmethods__), *attributes]:
        raise UserError(f"question {kind!r} of config.questions lacks {', '.join(lacking)}; add it")
    return question


def _module(place: str) -> types.ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).expanduser()
    content = path.read_bytes()
    name = f"{path.stem}_{hashlib.sha256(content).hexdigest()[:16]}"  # part of every key
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module  # dataclasses look for it there
        try:
            exec(compile(content, str(path), "exec"), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextlib.contextmanager
def blamed(name: str, kind: str) -> Iterator[None]:
    """Says in one line what goes wrong inside of a question from outside of the package; inside it is a bug.

    Args:
        name: of the question in the run.
        kind: as in `find`.

    Raises:
        UserError: the code in the context has raised something else.
    """
    try:
        yield
    except Exception as error:
        if kind in QUESTIONS or isinstance(error, UserError):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"question {name!r} ({kind}) fails with {type(error).__name__}: {error} ({place.filename}, line "
            f"{place.lineno}); mend it"
        ) from error
