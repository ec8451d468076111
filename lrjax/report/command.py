"""The command line of the report: `python -m lrjax.report [RESULTS_DIR ...] [--out DIR]`."""

import argparse
import difflib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrjax.command_line import Parser, as_called, read_numbers, run, say
from lrjax.data.published import DATASETS
from lrjax.display.page import Page
from lrjax.display.tables import FORMATS, Table, print_tables
from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard, add_runs, parse_metric, published_leaderboard
from lrjax.leaderboard.bootstrap import read_accuracies
from lrjax.leaderboard.scores import Options
from lrjax.leaderboard.studies import STUDIES, run_study
from lrjax.metrics import robustness
from lrjax.questions.pages import question_pages
from lrjax.report.board_tables import leaderboard_data, leaderboard_table, model_table
from lrjax.report.terminal import print_results
from lrjax.report.write import require, write_report
from lrjax.results.commands import read_commands
from lrjax.results.output_folder import check_folder
from lrjax.results.row import Row
from lrjax.results.store import find_samples, read_rows

_EXAMPLES = """examples:
  python -m lrjax.report --top 10 --metric war16             the ten most robust backbones at 16 pixels
  python -m lrjax.report --model ViT-B/16 --format latex     one backbone on all data sets, as LaTeX
  python -m lrjax.report --out report                        the published backbones and the studies, as HTML pages
  python -m lrjax.report runs/mine --out report              with your own runs among them
"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m lrjax.report",
        description="Ranks the published backbones and your own runs: tables, pictures, studies and HTML pages.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="*", metavar="RESULTS_DIR", help="directories with results.jsonl")
    parser.add_argument("--out", metavar="DIR", help="where to write the report (default with one RESULTS_DIR: in it)")
    table = parser.add_argument_group("one table on the terminal, instead of a report")
    table.add_argument("--top", type=int, metavar="N", help="the N best models")
    table.add_argument("--metric", metavar="NAME", help="what to rank by: acc, sar or war, then 16, 32, 64, 128 or hr")
    table.add_argument("--family", action="append", metavar="NAME", help='a family to show, or "own"; may be repeated')
    table.add_argument("--model", action="append", metavar="NAME", help="a model on every data set; may be repeated")
    table.add_argument("--format", choices=("text", *FORMATS), help="how to print it (default: text)")
    scores = parser.add_argument_group("how to score")
    scores.add_argument("--datasets", action="append", metavar="NAME", help="a data set to score by; may be repeated")
    scores.add_argument("--weights", help='WAR weights: "paper", "equal", or a JSON file like {"cars": 0.5}')
    scores.add_argument("--subset", action="store_true", help="score over the data sets that all runs have; says so")
    scores.add_argument("--paper-classes", action="store_true", help="class counts of the published ranking")
    scores.add_argument("--newest", action="store_true", help="of several results for one number take the newest")
    parser.add_argument("--full", action="store_true", help="print all tables of your own results, not the short ones")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG files (needs no matplotlib)")
    parser.add_argument("--no-studies", action="store_true", help="leave the studies out (faster)")
    return parser


def _check(parsed: argparse.Namespace) -> None:
    if parsed.model and (parsed.metric or parsed.family or parsed.top is not None):
        raise UserError("--model shows all scores of a model; leave --metric, --family and --top out")
    if parsed.top is not None and parsed.top < 1:
        raise UserError(f"--top {parsed.top} shows nothing; give a number of at least 1")
    if not parsed.results:
        for name in ("subset", "newest", "paper_classes", "full"):
            if getattr(parsed, name):
                raise UserError(f"--{name.replace('_', '-')} is about your own results; name a directory of them")
    if parsed.out and Path(parsed.out).exists() and not Path(parsed.out).is_dir():
        raise UserError(f"--out {parsed.out} is a file; name a directory")


def _weights(parsed: argparse.Namespace, rows: Sequence[Row]) -> Mapping[str, float] | None:
    """The weights that were asked for: by data set, {} for equal ones, None where nothing was said."""
    if parsed.weights is None:
        return None
    if parsed.weights in ("paper", "equal"):
        return robustness.PAPER_WEIGHTS if parsed.weights == "paper" else {}
    weights, known = read_numbers(parsed.weights), {*DATASETS, *(row.test_set for row in rows)}
    if unknown := [name for name in weights if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=3) or sorted(known)
        hint = f"did you mean {', '.join(close)}?"
        raise UserError(f"{parsed.weights} weighs {unknown[0]!r}, which has no results; {hint}")
    return weights


def _options(parsed: argparse.Namespace, rows: Sequence[Row], given: Mapping[str, float] | None) -> Options:
    found = {row.test_set for row in rows}
    if unknown := [name for name in parsed.datasets or () if rows and name not in found]:
        raise UserError(f"no result is on {', '.join(unknown)}; the runs are on {', '.join(sorted(found))}")
    weights = given
    if given is None:
        weights = robustness.PAPER_WEIGHTS if {*(parsed.datasets or found)} <= {*DATASETS} else None
    if weights and parsed.datasets is not None:
        weights = {name: weight for name, weight in weights.items() if name in parsed.datasets}
    return {
        "datasets": parsed.datasets,
        "weights": weights or None,
        "missing": "renormalise" if parsed.subset else "error",
        "classes": robustness.PAPER_CLASS_COUNTS if parsed.paper_classes else None,
        "duplicates": "newest" if parsed.newest else "error",
        "samples": find_samples(parsed.results),
    }


def _board(parsed: argparse.Namespace, rows: Sequence[Row], given: Mapping[str, float] | None) -> Leaderboard:
    names = list(parsed.datasets or DATASETS)
    if rows:
        names = [name for name in names if name in DATASETS]
        if not any(row.test_set in names for row in rows):
            return published_leaderboard()  # there is nothing to rank the runs by
    weights = robustness.PAPER_WEIGHTS if given is None else given or dict.fromkeys(names, 1.0)
    if parsed.subset:
        names = [name for name in names if name in weights]
        if not any(row.test_set in names for row in rows):
            raise UserError(f"the runs have no results on a data set with a weight ({', '.join(weights)})")
    board = published_leaderboard(names, weights)
    duplicates = "newest" if parsed.newest else "error"
    return add_runs(board, rows, subset=parsed.subset, duplicates=duplicates) if rows else board


def _tables(parsed: argparse.Namespace, board: Leaderboard) -> list[Table]:
    metric, resolution = parse_metric(parsed.metric or "war16")
    if parsed.model:
        return [model_table(board, board.find(name)) for name in parsed.model]
    families = None
    if parsed.family:
        known = {family.lower(): family for family in (*board.families, "own")}
        if unknown := [name for name in parsed.family if name.lower() not in known]:
            raise UserError(f"there is no family {unknown[0]!r}; use {', '.join(board.families)}")
        families = {known[name.lower()] for name in parsed.family}
    rank = leaderboard_data if parsed.format == "csv" else leaderboard_table
    return [rank(board, metric, resolution, top=parsed.top, families=families)]


def _questions(rows: Sequence[Row], options: Options) -> list[Page]:
    return question_pages(rows, options.get("samples"), duplicates=options.get("duplicates", "error"))


def _run(arguments: Sequence[str]) -> None:
    parsed = _parser().parse_args(arguments)
    _check(parsed)
    command = f"{as_called('python -m lrjax.report')} {shlex.join(arguments)}".rstrip()
    shown: list[Table] = []
    one_table = any((parsed.top is not None, parsed.metric, parsed.family, parsed.model, parsed.format))
    if one_table and parsed.full:
        raise UserError("--full is about the tables of your own results; leave it or the options of one table out")
    rows = read_rows(parsed.results)
    given = _weights(parsed, rows)
    options, board = _options(parsed, rows, given), _board(parsed, rows, given)
    if one_table and rows and not any(entry.own for entry in board.entries):
        found = ", ".join(dict.fromkeys(row.test_set for row in rows))
        raise UserError(
            f"the runs are on {found}, none of the benchmark's data sets, so they have no place among the published "
            "models; leave out the options of the leaderboard to see their own tables, or the runs"
        )
    out = parsed.out or (Path(parsed.results[0]) / "report" if len(parsed.results) == 1 and not one_table else None)
    if out is None and rows and not one_table:
        raise UserError("there are several results directories; say with --out where to write their report")
    if out is not None:
        require(plots=not parsed.no_plots, studies=not parsed.no_studies)
        check_folder(out)
    if one_table or not (rows or parsed.out):
        shown = _tables(parsed, board)
    elif parsed.full and any(entry.own for entry in board.entries):
        shown = [leaderboard_table(board, families=["own"])]
    replicates = None if one_table and out is None else read_accuracies(rows, **options)
    chosen = [row for row in rows if row.test_set in (parsed.datasets or [row.test_set])]
    questions = [] if one_table else _questions(chosen, options)
    if out is not None:  # first, for printing fails where nobody reads
        studies = [] if parsed.no_studies else [run_study(name, board) for name in STUDIES]
        plots = not parsed.no_plots
        files = write_report(
            chosen,
            out,
            board=board,
            replicates=replicates,
            studies=studies,
            plots=plots,
            command=command,
            questions=questions,
            commands=read_commands(parsed.results),
        )
    if parsed.format in FORMATS:
        say("\n".join(FORMATS[parsed.format](table) for table in shown).removesuffix("\n"))
    else:
        if not one_table:
            print_results(replicates, questions, full=parsed.full)
        print_tables(shown)
        if (replicates or questions) and not parsed.full and not one_table:
            say(f"all tables: {command} --full", error=True)
    if out is not None:
        say(f"wrote {len(files)} files to {out}; open {Path(out) / 'index.html'}", error=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints tables and writes reports.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(sys.argv[1:] if arguments is None else list(arguments)))
