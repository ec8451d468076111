"""What a terminal shows of results: one short table for each question, or all tables."""

from collections.abc import Sequence

from lrjax.display.page import Page, print_pages
from lrjax.display.tables import print_tables
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.report.headline import short_table
from lrjax.report.run_tables import SHOWN, run_tables


def print_results(replicates: Replicates | None, questions: Sequence[Page], *, full: bool = False) -> None:
    """Prints results: mean accuracies, then the headline of every other question.

    Args:
        replicates: of the accuracies; None without any.
        questions: pages of questions.
        full: whether to print the tables of details as well.
    """
    if replicates is not None:
        print_tables([short_table(replicates)])
        tables = run_tables(replicates) if full else {}
        print_tables([tables[name] for name in SHOWN if name in tables])
    print_pages(questions, full=full)
