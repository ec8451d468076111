"""The files of a report: Markdown, CSV, LaTeX, pictures and HTML pages from result rows and the leaderboard."""

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrjax.display.charts import Chart, png
from lrjax.display.page import Page
from lrjax.display.tables import Table
from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import expected_images
from lrjax.leaderboard.scores import METRIC, Results
from lrjax.leaderboard.studies import Study
from lrjax.report.board_tables import leaderboard_data, leaderboard_table
from lrjax.report.overview import overview
from lrjax.report.page import pages
from lrjax.report.per_class import per_class
from lrjax.report.run_charts import run_charts
from lrjax.report.run_tables import run_tables
from lrjax.results.output_folder import check_folder, write_files
from lrjax.results.row import Row
from lrjax.results.store import package_versions

_DRAWN_WITH = ("scipy", "scikit-learn", "matplotlib")


def require(*, plots: bool, studies: bool) -> None:
    """Checks that what a report needs is installed.

    Args:
        plots: whether PNG files are drawn.
        studies: whether the studies are shown.

    Raises:
        UserError: a package is missing; the message says how to install it, or to do without.
    """
    wanted = {
        "jinja2": (True, "HTML pages need jinja2; pip install jinja2"),
        "matplotlib": (plots, "plots need matplotlib; pip install matplotlib, or turn the plots off (--no-plots)"),
        "sklearn": (studies, "studies need scikit-learn; pip install scikit-learn, or leave them out (--no-studies)"),
    }
    for name, (needed, message) in wanted.items():
        try:
            if needed:
                importlib.import_module(name)
        except ImportError as error:
            raise UserError(message) from error


def write_report(
    rows: Sequence[Row],
    directory: str | os.PathLike,
    *,
    board: Leaderboard,
    replicates: Replicates | None = None,
    studies: Sequence[Study] = (),
    plots: bool = True,
    command: str = "",
    questions: Sequence[Page] = (),
    commands: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes a report; equal input gives equal files.

    `index.html` and the pages it links, the leaderboard as CSV, Markdown and LaTeX; with rows also report.md,
    summary.json, and every table of `run_tables` but the comparison as CSV, Markdown and LaTeX; with plots
    accuracy.png, by_dataset.png, datasets_<model>.png and the pictures of the studies. Each question has a page,
    NAME.html, and its tables as CSV, Markdown and LaTeX. With per-image arrays there are classes.html, per_class.csv
    and confusions.csv.

    Args:
        rows: result rows of the user that are shown; may be empty.
        directory: where to write; created where missing. Each file replaces that of an earlier report as a whole, and
            what only the earlier report had is removed (`output_folder.write_files`). The front page is written last.
        board: the leaderboard, with the user's runs where they can be ranked.
        replicates: of the accuracies among the rows; None without any.
        studies: studies to show.
        plots: whether to draw PNG files.
        command: the command line, to be shown.
        questions: pages of questions, see `questions.pages`.
        commands: of the runs, see `results.commands`; default none is known.

    Returns:
        The files written.

    Raises:
        UserError: as `run_tables`; jinja2 or matplotlib is not installed; or the directory holds files that no
            report wrote. Nothing is written then.
    """
    require(plots=plots, studies=False)
    questions = list(map(_apart, questions))
    files: dict[str, str | bytes] = {}
    shown: list[Table] = []
    charts: dict[str, Chart] = {}
    provenance, front = None, None
    if replicates is not None:
        results, tables = replicates.results, run_tables(replicates)
        shown = [table for name, table in tables.items() if name != "per_dataset"]  # the comparison says it in less
        provenance = _provenance(results)
        charts = run_charts(replicates)
        pictures = charts if plots else {}
        files |= {f"{name}.png": png.draw(chart) for name, chart in pictures.items()}
        files |= {
            f"{name}.{suffix}": content
            for name, table in tables.items()
            if name != "comparison"  # its cells are no numbers
            for suffix, content in table_files(table).items()
        }
        classes = per_class(results)
        files |= {f"{name}.csv": table.csv() for name, table in classes.tables.items()}
        questions = [*questions, *filter(None, [classes.page])]
        files |= {
            "summary.json": json.dumps(_summary(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            "report.md": _markdown(shown, provenance, pictures),
        }
    ranking = leaderboard_table(board)
    files |= {
        "leaderboard.csv": leaderboard_data(board).csv(),
    }
    files = {f"leaderboard.{suffix}": content for suffix, content in table_files(ranking).items()} | files
    for name, table in (pair for page in questions for pair in page.tables.items()):
        files |= {f"{name}.{suffix}": content for suffix, content in table_files(table).items()}
    if plots:
        files |= {f"studies/{chart.name}.png": png.draw(chart) for study in studies for chart in study.charts}
    if rows:
        front = overview(rows, replicates, questions, charts=charts, details=shown, commands=commands or {})
    files |= pages(
        board,
        studies=studies,
        overview=front,
        run_rows=provenance,
        questions=questions,
        versions=package_versions(*_DRAWN_WITH),
        command=command,
        plots=plots,
    )
    last = {"index.html": files.pop("index.html")}
    check_folder(directory)
    write_files(files | last, directory, command="report", replace=True)
    files |= last
    return [Path(directory) / name for name in files]


_PAGES = ("index", "leaderboard", "studies", "method", "classes")


def _apart(page: Page) -> Page:
    """The page of a question under a name that no page of the report has."""
    if page.name not in _PAGES:
        return page
    tables = {f"question-{name}": table for name, table in page.tables.items()}
    return dataclasses.replace(page, name=f"question-{page.name}", tables=tables)


def table_files(table: Table) -> dict[str, str]:
    """Returns a table as the contents of files, by suffix."""
    return {
        "csv": table.csv(),
        "md": table.document(),
        "tex": table.latex(),
    }


def _markdown(tables: Sequence[Table], provenance: Table, pictures: dict[str, Chart]) -> str:
    main, *others = tables
    drawn = {name: f"![{_plain(chart.title)}]({name}.png)\n" for name, chart in pictures.items()}
    text = [main.document(), *(line for name, line in drawn.items() if name == "accuracy")]
    text += [table.document("##") for table in others]
    text += [line for name, line in drawn.items() if name != "accuracy"]
    return "\n".join([*text, f"## {provenance.title}\n", provenance.markdown()])


def _plain(title: str) -> str:
    return re.sub(r"[^\w ,:;./@+-]", " ", title)  # no Markdown and no HTML


def _provenance(results: Results) -> Table:
    header = ("Model", "Variant", "Question", "Config", "Seed", "Versions")
    lines = {}
    for row in results.rows.values():
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        seed = "none" if row.seed is None else row.seed
        question = f"{row.question} {row.question_version}"
        lines[row.model, row.variant, question, row.config_hash, seed, versions] = None
    return Table("Where the numbers come from", "", header, tuple(lines), labels=len(header))


def _images(row: Row) -> dict[str, int | None]:
    return {"images": row.n, "expected": expected_images(row)}


def _summary(results: Results) -> dict:
    models = []
    for model, variants in results.variants.items():
        for variant in variants:
            by_resolution = {}
            for resolution in results.resolutions:
                if (scores := results.scores(model, variant, resolution)) is not None:
                    by_resolution[str(resolution)] = dict(zip(("sar", "war", "accuracy"), scores, strict=True))
            parameters = results.extra(model, variant, "parameters")
            models.append(
                {
                    "model": model,
                    "variant": variant,
                    "parameters": parameters,
                    "incomplete": {name: _images(results.reference(model, name)) for name in results.incomplete[model]},
                    "resolutions": by_resolution,
                }
            )
    return {
        "metric": METRIC,
        "reference_variant": results.reference_variant,
        "weights": None if results.weights is None else dict(results.weights),
        "datasets": {name: {"classes": results.classes[name]} for name in results.datasets},
        "models": models,
    }
