"""The pages of results: each kind of question shows its own."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lrjax.checks.text import brief
from lrjax.display.page import Page
from lrjax.errors import UserError
from lrjax.questions.base import Question
from lrjax.questions.registry import blamed, find
from lrjax.results.row import Row

_LOG = logging.getLogger(__name__)


def question_pages(
    rows: Sequence[Row],
    samples: Callable[[str], Mapping[str, np.ndarray] | None] | None,
    *,
    duplicates: str = "error",
) -> list[Page]:
    """Returns the pages of all questions that rows answer; of those from outside that are gone a table.

    Args:
        rows: result rows.
        samples: gives the per-image arrays of a key, or None where there are none.
        duplicates: "error", or "newest" to take the last of several results for one number.

    Raises:
        UserError: a question is unknown, arrays are damaged, or there are two results for one number.
    """
    found = []
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        try:
            question = find(kind)
        except UserError as error:
            if ":" not in kind:
                raise
            _LOG.warning(
                "results of %r are shown as a plain table; for more run this where its file is found: %s",
                own[0].question,
                error,
            )
            known = {"headline": own[0].metric, "higher_is_better": {}}
            known["__doc__"] = "Numbers of a question whose file is not found."
            question = type(own[0].question, (Question,), known)
        with blamed(own[0].question, kind):
            page = question.page(own, samples, duplicates=duplicates)
            if not isinstance(page, Page | None):
                raise TypeError(f"page gives {brief(page)} instead of a Page")
        found += [] if page is None else [page]
    return found
