"""The command line of the report: `python -m lrjax.report [RESULTS_DIR ...] [--out DIR]`."""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lrjax.data.published import DATASETS
from lrjax.errors import UserError
from lrjax.leaderboard import Leaderboard, add_runs, parse_metric, published_leaderboard
from lrjax.metrics import robustness
from lrjax.report.board_tables import leaderboard_table, model_table
from lrjax.report.run_tables import comparison_table, robustness_table
from lrjax.report.write import write_report
from lrjax.results import ResultStore, Row
from lrjax.runs import Options
from lrjax.studies import STUDIES, run_study
from lrjax.tables import FORMATS, Table, print_tables

_EXAMPLES = """examples:
  python -m lrjax.report --top 10 --metric war16             the ten most robust backbones at 16 pixels
  python -m lrjax.report --model ViT-B/16 --format latex     one backbone on all data sets, as LaTeX
  python -m lrjax.report --out report                        the published backbones and the studies, as HTML pages
  python -m lrjax.report runs/mine --out report              with your own runs among them
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}\n")  # one line, without the usage


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
    table.add_argument("--family", nargs="+", metavar="NAME", help="only models of these families")
    table.add_argument("--model", nargs="+", metavar="NAME", help="models to show on every data set")
    table.add_argument("--format", choices=("text", *FORMATS), help="how to print it (default: text)")
    scores = parser.add_argument_group("how to score")
    scores.add_argument("--datasets", nargs="+", metavar="NAME", help="data sets to average over (default: all)")
    scores.add_argument("--weights", help='WAR weights: "paper", "equal", or a JSON file like {"cars": 0.5}')
    scores.add_argument("--subset", action="store_true", help="score over the data sets that there are; says so")
    scores.add_argument("--paper-classes", action="store_true", help="class counts of the published ranking")
    scores.add_argument("--newest", action="store_true", help="of several results for one number take the newest")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG files (needs no matplotlib)")
    parser.add_argument("--no-studies", action="store_true", help="leave the studies out (faster)")
    return parser


def _weights(name: str) -> dict[str, float]:
    try:
        weights = json.loads(Path(name).read_text())
        return {str(dataset): float(weight) for dataset, weight in weights.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f'{name} is not a JSON file like {{"cars": 0.5}} ({error}); or use "equal" or "paper"'
        ) from error


def _read(directories: Sequence[str]) -> list[Row]:
    rows = []
    for directory in directories:
        store = ResultStore(directory)
        if not store.rows:
            raise UserError(f"there are no results in {store.path}; evaluate a model first, or name another directory")
        rows += store.rows
    return rows


def _options(parsed: argparse.Namespace, rows: Sequence[Row]) -> Options:
    found = {row.dataset for row in rows} if parsed.datasets is None else set(parsed.datasets)
    weights: Mapping[str, float] | None
    if parsed.weights is None:
        weights = robustness.PAPER_WEIGHTS if found <= set(DATASETS) else None
    elif parsed.weights in ("equal", "paper"):
        weights = robustness.PAPER_WEIGHTS if parsed.weights == "paper" else None
    else:
        weights = _weights(parsed.weights)
    if weights is not None and parsed.datasets is not None:
        weights = {name: weight for name, weight in weights.items() if name in parsed.datasets}
    return {
        "datasets": parsed.datasets,
        "weights": weights,
        "missing": "renormalise" if parsed.subset else "error",
        "classes": robustness.PAPER_CLASS_COUNTS if parsed.paper_classes else None,
        "duplicates": "newest" if parsed.newest else "error",
    }


def _board(parsed: argparse.Namespace, rows: Sequence[Row], options: Options) -> Leaderboard:
    names, weights = parsed.datasets or DATASETS, options["weights"]
    if rows:
        names = [name for name in names if name in DATASETS]
        if not any(row.dataset in names for row in rows):
            return published_leaderboard()  # there is nothing to rank the runs by
    if parsed.subset and weights is not None:
        names = [name for name in names if name in weights]
    board = published_leaderboard(names, dict.fromkeys(names, 1.0) if weights is None else weights)
    return add_runs(board, rows, subset=parsed.subset, duplicates=options["duplicates"]) if rows else board


def _tables(parsed: argparse.Namespace, board: Leaderboard) -> list[Table]:
    metric, resolution = parse_metric(parsed.metric or "war16")
    if parsed.top is not None and parsed.top < 1:
        raise UserError(f"--top {parsed.top} shows nothing; give a number of at least 1")
    if parsed.model:
        return [model_table(board, board.find(name)) for name in parsed.model]
    families = None
    if parsed.family:
        known = {family.lower(): family for family in board.families}
        if unknown := [name for name in parsed.family if name.lower() not in known]:
            raise UserError(f"there is no family {unknown[0]!r}; use {', '.join(board.families)}")
        families = {known[name.lower()] for name in parsed.family}
    return [leaderboard_table(board, metric, resolution, top=parsed.top, families=families)]


def _run(parsed: argparse.Namespace, command: str) -> None:
    rows = _read(parsed.results)
    options = _options(parsed, rows)
    board = _board(parsed, rows, options)
    one_table = any((parsed.top is not None, parsed.metric, parsed.family, parsed.model, parsed.format))
    if one_table or not (rows or parsed.out):
        tables = _tables(parsed, board)
        if parsed.format in FORMATS:
            print("\n".join(FORMATS[parsed.format](table) for table in tables), end="")
        else:
            print_tables(tables)
    elif rows:
        print_tables([robustness_table(rows, **options), comparison_table(rows, **options)])
        if any(entry.own for entry in board.entries):
            print_tables([_places(board)])
    if one_table and not parsed.out:
        return
    out = parsed.out or (Path(parsed.results[0]) / "report" if len(parsed.results) == 1 else None)
    if out is None:
        if rows:
            raise UserError("there are several results directories; say with --out where to write their report")
        return
    studies = [] if parsed.no_studies else [run_study(name, board) for name in STUDIES]
    files = write_report(rows, out, board=board, studies=studies, plots=not parsed.no_plots, command=command, **options)
    print(f"wrote {len(files)} files to {out}; open {Path(out) / 'index.html'}")


def _places(board: Leaderboard) -> Table:
    table = leaderboard_table(board)
    own = {entry.name for entry in board.entries if entry.own}
    lines = tuple(line for line in table.rows if line[1] in own)
    return Table("Your runs on the leaderboard", table.caption, table.header, lines, labels=table.labels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints tables and writes reports.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status: 0, or 2 after a user's mistake, which is told in one line on standard error.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(_parser().parse_args(arguments), shlex.join(["python", "-m", "lrjax.report", *arguments]))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0
