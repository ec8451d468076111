"""What a terminal shows of results: one short table for each question, or all tables."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from lrjax.display.page import Page, print_pages
from lrjax.display.tables import Table, print_tables
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.scores import Options, Results, accuracies_of
from lrjax.report.headline import short_table
from lrjax.report.run_tables import SHOWN
from lrjax.results.row import Row


def print_results(
    rows: Sequence[Row],
    tables: Mapping[str, Table],
    questions: Sequence[Page],
    *,
    full: bool = False,
    **options: Unpack[Options],
) -> None:
    """Prints results: mean accuracies, then the headline of every other question.

    Args:
        rows: result rows.
        tables: those of `run_tables`.
        questions: pages of questions.
        full: whether to print the tables of details as well.
        **options: how to read the rows, see `Options`.
    """
    if accuracies_of(rows):
        print_tables([short_table(Replicates(Results(rows, **options)))])
    if full:
        print_tables([tables[name] for name in SHOWN if name in tables])
    print_pages(questions, full=full)
