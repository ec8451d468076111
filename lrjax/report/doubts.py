"""What makes the results of a run less than they seem: left-out files, missing images, assumptions."""

from collections.abc import Sequence

from lrjax.display.page import Page
from lrjax.display.tables import counted
from lrjax.leaderboard.completeness import footnote, shortfalls
from lrjax.leaderboard.scores import Results, assumptions
from lrjax.results.row import Row


def doubts(rows: Sequence[Row], results: Results | None, questions: Sequence[Page]) -> list[str]:
    """Lists what a reader of results must know before believing them; damaged images are `skipped_images`.

    Args:
        rows: result rows.
        results: their accuracies; None without any.
        questions: pages of questions.

    Returns:
        Sentences.
    """
    models = dict.fromkeys(row.model for row in rows)
    found = footnote({model: shortfalls(row for row in rows if row.model == model) for model in models})
    found += [*dict.fromkeys(filter(None, map(_left_out, rows))), *assumptions(rows)]
    if results is not None:
        found += results.undefined()
        if results.superseded:
            found.append(f"{counted(results.superseded, 'older result')} for the same numbers left out.")
    if several := _mixed(rows):
        found.append(f"These results are of {' and of '.join(several)}.")
    return found + [f"{page.label}: {page.notice}" for page in questions if page.notice]


def _left_out(row: Row) -> str:
    """Which files beside its images a data set has that were not read."""
    files = row.extra.get("left_out") or {}
    counts = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in files.items())
    return f"{row.dataset}: files that were not read: {counts}." if counts else ""


def _mixed(rows: Sequence[Row]) -> list[str]:
    """What differs between rows that a run has one of."""
    counts = {
        "configs": len({row.config_hash for row in rows}),
        "sets of versions": len({tuple(sorted(row.versions.items())) for row in rows}),
        "precisions": len({row.extra.get("precision") for row in rows}),
    }
    return [f"{count} {name}" for name, count in counts.items() if count > 1]
