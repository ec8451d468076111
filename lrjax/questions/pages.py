"""The pages of results: each kind of question shows its own."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lrjax.display.page import Page
from lrjax.questions import find
from lrjax.results.row import Row


def question_pages(
    rows: Sequence[Row],
    samples: Callable[[str], Mapping[str, np.ndarray] | None] | None,
    *,
    duplicates: str = "error",
) -> list[Page]:
    """Returns the pages of all questions that rows answer.

    Args:
        rows: result rows.
        samples: gives the per-image arrays of a key, or None where there are none.
        duplicates: "error", or "newest" to take the last of several results for one number.

    Raises:
        UserError: a question is unknown, arrays are damaged, or there are two results for one number.
    """
    kinds = dict.fromkeys(row.kind for row in rows)
    found = [
        find(kind).page([row for row in rows if row.kind == kind], samples, duplicates=duplicates) for kind in kinds
    ]
    return [page for page in found if page is not None]
