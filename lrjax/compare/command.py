"""The command line of comparisons: `python -m lrjax.compare A B`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lrjax.command_line import Parser, run, say
from lrjax.compare.differences import Comparison, compare
from lrjax.compare.foreign import system_of_files
from lrjax.compare.systems import System, split_name, system_of_run
from lrjax.compare.tables import full_table, left_out_table, short_table, summary
from lrjax.display.tables import FORMATS, Table, print_tables
from lrjax.errors import UserError
from lrjax.results.output_folder import check_folder, write_files
from lrjax.results.store import RESULTS_FILE

_NAMES = {"csv": "comparison.csv", "markdown": "comparison.md", "latex": "comparison.tex"}
_EXAMPLES = """examples:
  python -m lrjax.compare runs/mine:ViT-B-32/lr_tk0 runs/mine:ViT-B-32/vanilla   two variants of a model in one run
  python -m lrjax.compare runs/new runs/old --out comparison                     two runs of one model, as files too
  python -m lrjax.compare runs/mine answers.jsonl --format csv                   a run and another program

A and B are DIR, a run of one model in one variant; DIR:MODEL or DIR:MODEL/VARIANT, one of several; or a file of JSON
lines, one for each example
  {"dataset": "cars", "id": 17, "label": 3, "guess": 5}
with "correct" instead of "guess" if you like, and "resolution" where images were reduced; or samples_TASK_DATE.jsonl of
lm-eval, or a directory of these. Compared is what both answered on the same images under the same condition.
"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m lrjax.compare",
        description="Tells whether one system is better than another on the same images, and how sure that is.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="A", help="a run, one model or variant of it, or a JSONL file")
    parser.add_argument("second", metavar="B", help="what it is compared with")
    parser.add_argument(
        "--metric", action="append", metavar="NAME", help="a metric, instead of the main one; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap draws (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="where to write comparison.csv, .md and .tex")
    parser.add_argument("--format", choices=("text", *FORMATS), default="text", help="how to print it (default: text)")
    return parser


def _system(name: str) -> System:
    path, chosen = split_name(name)
    harness = [] if (path / RESULTS_FILE).exists() else sorted(path.glob("samples_*.jsonl"))
    if path.is_dir() and not harness:
        return system_of_run(name, path, chosen)
    if chosen:
        raise UserError(f"{path} holds the answers of one system; leave :{chosen} out")
    return system_of_files(name, harness or [path])


def _files(comparison: Comparison, tables: Sequence[Table]) -> dict[str, str]:
    short, *others = tables
    text = [short.document(), *(f"{sentence}\n" for sentence in summary(comparison))]
    return {
        "comparison.csv": full_table(comparison).csv(),
        "comparison.md": "\n".join([*text, *(table.document("##") for table in others)]),
        "comparison.tex": short.latex(),
    }


def _run(arguments: Sequence[str]) -> None:
    parsed = _parser().parse_args(arguments)
    if parsed.seed < 0:
        raise UserError(f"--seed is {parsed.seed}; give 0 or a positive number")
    if parsed.first == parsed.second:
        raise UserError(f"A and B are both {parsed.first}; name two")
    if parsed.out:
        check_folder(parsed.out)
    comparison = compare(_system(parsed.first), _system(parsed.second), metrics=parsed.metric or (), seed=parsed.seed)
    left_out = left_out_table(comparison)
    tables = [short_table(comparison), *([left_out] if left_out else [])]
    files = _files(comparison, tables)
    if parsed.out:  # first, for printing fails where nobody reads
        write_files(files, parsed.out, command="compare", replace=True)
    if parsed.format == "text":
        print_tables(tables)
    else:
        say(files[_NAMES[parsed.format]].removesuffix("\n"))
    say("\n".join(summary(comparison)), error=parsed.format != "text")
    if parsed.out:
        say(f"wrote {', '.join(files)} to {Path(parsed.out)}", error=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares two systems.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(sys.argv[1:] if arguments is None else list(arguments)))
