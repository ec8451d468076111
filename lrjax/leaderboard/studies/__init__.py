"""Studies: the questions that the LR0.FM paper asks of its results, put to a leaderboard."""

import difflib
from collections.abc import Callable
from typing import Any

from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import (
    buckets,
    correlations,
    curves,
    data,
    datasets,
    finetuned,
    input_size,
    size,
    weights,
)
from lrjax.leaderboard.studies.study import Finding, Study, Verdict

__all__ = ["STUDIES", "TITLES", "Finding", "Study", "Verdict", "find_study", "run_study"]

_MODULES = (curves, correlations, size, data, buckets, finetuned, input_size, datasets, weights)

STUDIES: dict[str, Callable[..., Study]] = {module.NAME: module.study for module in _MODULES}
"""The studies by name, in the order of a report; each takes a leaderboard, and options where it has some."""

TITLES: dict[str, str] = {module.NAME: module.TITLE for module in _MODULES}


def find_study(name: str) -> Callable[..., Study]:
    """Finds a study.

    Args:
        name: its key in `STUDIES`.

    Raises:
        UserError: there is no such study; the message proposes similar ones.
    """
    if name not in STUDIES:
        close = difflib.get_close_matches(name.lower(), STUDIES, n=2)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(STUDIES)}"
        raise UserError(f"unknown study {name!r}; {hint}")
    return STUDIES[name]


def run_study(name: str, board: Leaderboard, **options: Any) -> Study:
    """Runs a study on a leaderboard.

    Args:
        name: its key in `STUDIES`.
        board: the leaderboard, with or without own runs, over all or some data sets.
        **options: keyword arguments of the study.

    Raises:
        UserError: there is no such study, the leaderboard has no published models, or a package is missing.
    """
    study = find_study(name)
    if all(entry.own for entry in board.entries):
        raise UserError("studies rest on the published models, and the leaderboard has none; keep some of them")
    return study(board, **options)
