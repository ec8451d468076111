"""`python -m lrjax.leaderboard.studies`: prints studies of the leaderboard, and writes their charts and tables."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.leaderboard.studies.__main__"))

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lrjax.checks.text import printable
from lrjax.command_line import Parser, read_numbers, run, say
from lrjax.display.charts import png
from lrjax.display.tables import print_tables
from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard, add_runs, published_leaderboard
from lrjax.leaderboard.studies import STUDIES, TITLES, Study, find_study, run_study, weights
from lrjax.results.output_folder import write_files
from lrjax.results.store import read_rows, write_atomically


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs studies.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(_parser().parse_args(arguments)))


def _run(parsed: argparse.Namespace) -> None:
    if not parsed.names:
        width = max(map(len, TITLES))
        say("\n".join(f"{name:{width}}  {title}" for name, title in TITLES.items()))
        return
    if "all" in parsed.names and len(parsed.names) > 1:
        raise UserError('"all" runs every study; leave the other names out')
    names = list(STUDIES) if parsed.names == ["all"] else parsed.names
    for name in names:
        find_study(name)
    search_options = _search_options(parsed)
    if weights.NAME not in names and (search_options or parsed.save):
        raise UserError("--resolution, --seed, --coefficients, --bounds, --optimizer and --save are for weights")
    board = _board(parsed)
    for name in names:
        options = _weight_options(board, search_options, parsed.save) if name == weights.NAME else {}
        study = run_study(name, board, **options)
        if parsed.out:
            _write(study, Path(parsed.out))
        _print(study)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m lrjax.leaderboard.studies", description="Studies of the published and own results.")
    parser.add_argument("names", nargs="*", metavar="NAME", help='studies to run, or "all"; without, they are listed')
    parser.add_argument(
        "--results", action="append", metavar="DIR", help="own runs: a directory of results.jsonl; may be repeated"
    )
    parser.add_argument("--subset", action="store_true", help="use only the data sets that the own runs have")
    parser.add_argument("--newest", action="store_true", help="of several results for one number take the newest")
    parser.add_argument("--out", metavar="DIR", help="where to write charts (PNG) and tables (CSV, Markdown)")
    search = parser.add_argument_group("search for weights")
    search.add_argument("--resolution", metavar="N", help='resolution to rank at, in pixels or "hr" (default: 16)')
    search.add_argument("--seed", type=int, metavar="N", help="of the search (default: 0)")
    search.add_argument("--coefficients", metavar="FILE", help='of the objective, JSON like {"imagenet": 0.95}')
    search.add_argument("--bounds", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of the weights")
    search.add_argument("--optimizer", choices=("scipy", "ax"), help="default: scipy")
    search.add_argument("--save", metavar="FILE", help="write the found weights, for python -m lrjax.report --weights")
    return parser


def _search_options(parsed: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if parsed.resolution is not None:
        options["resolution"] = int(parsed.resolution) if parsed.resolution.isdecimal() else parsed.resolution.lower()
    if parsed.seed is not None:
        if parsed.seed < 0:
            raise UserError(f"--seed is {parsed.seed}; give 0 or a positive number")
        options["seed"] = parsed.seed
    if parsed.coefficients is not None:
        options["coefficients"] = read_numbers(parsed.coefficients)
    if parsed.bounds is not None:
        options["bounds"] = tuple(parsed.bounds)
    if parsed.optimizer is not None:
        options["optimizer"] = parsed.optimizer
    return options


def _board(parsed: argparse.Namespace) -> Leaderboard:
    board = published_leaderboard()
    if not parsed.results:
        return board
    duplicates = "newest" if parsed.newest else "error"
    with_runs = add_runs(board, read_rows(parsed.results), subset=parsed.subset, duplicates=duplicates)
    if with_runs is board:
        raise UserError("the own runs share no data set with the leaderboard; leave --results out")
    return with_runs


def _weight_options(board: Leaderboard, options: Mapping[str, Any], save: str | None) -> dict[str, Any]:
    if not options and save is None:
        return {}
    if save is not None and Path(save).exists():
        _check_replaceable(save)
    found = weights.search(board, **options)
    if save is not None:
        write_atomically(save, json.dumps(found.weights, indent=1) + "\n")
    return {"found": found} | {key: options[key] for key in ("resolution",) if key in options}


def _check_replaceable(save: str) -> None:
    try:
        read_numbers(save)
    except UserError as error:
        raise UserError(f"--save {save} exists and holds no weights; name another file") from error


def _print(study: Study) -> None:
    console = Console()
    console.print(printable(f"\n{study.title}"), style="bold", highlight=False, markup=False)
    console.print(printable(study.text), highlight=False, markup=False)
    print_tables(study.tables, console)
    for finding in study.findings:
        interval = ""
        if finding.low is not None and finding.high is not None:
            interval = f" [{finding.low:.2f}, {finding.high:.2f}]"
        claim = printable(f"\n{finding.verdict.upper()}: {finding.claim} ({finding.source})")
        console.print(claim, highlight=False, markup=False)
        text = printable(f"{finding.measure}: {finding.value:.2f}{interval}, n = {finding.n}. {finding.rule}")
        console.print(textwrap.indent(textwrap.fill(text, console.width - 2), "  "), highlight=False, markup=False)


def _write(study: Study, directory: Path) -> None:
    files: dict[str, str | bytes] = {f"{chart.name}.png": png.draw(chart) for chart in study.charts}
    for number, table in enumerate(study.tables, start=1):
        stem = study.name if len(study.tables) == 1 else f"{study.name}-{number}"
        files |= {f"{stem}.csv": table.csv(), f"{stem}.md": table.document()}
    write_files(files, directory, command="studies")
