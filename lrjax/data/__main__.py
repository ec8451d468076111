"""Checks the data sets of a recipe before a run, and lists those of the registry.

python -m lrjax.data check configs/lr_tk0_eva.py:B-16 --config.data.root DATA --full
python -m lrjax.data list
"""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.data.__main__"))

import argparse
import collections
import concurrent.futures
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrjax.checks.text import one_line
from lrjax.command_line import Parser, say
from lrjax.command_line import run as run_command
from lrjax.config import Data
from lrjax.data.dataset import Dataset
from lrjax.data.datasets import dataset_names, find_source, get_dataset, get_datasets, open_source, uncorrupted
from lrjax.data.images import to_rgb
from lrjax.data.memory import GIB, MEMORY
from lrjax.data.source import LeftOut
from lrjax.display.progress import Progress
from lrjax.display.tables import Table, print_tables
from lrjax.errors import UserError
from lrjax.runs.recipes import read_config

SAMPLE = 32
"""Images per data set that are decoded without `--full`."""
_NAMED = 20  # damaged images that are named one by one


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the check of a data set found.

    Attributes:
        dataset: the data set.
        place: KIND:LOCATION; None where nothing could be opened.
        images: how many there are; None where nothing could be opened.
        decoded: how many of them were decoded.
        matched: how labels were matched with the classes, such as "by name"; None where they need not be.
        problems: one sentence each.
        left_out: files that are not read, by suffix.
    """

    dataset: Dataset
    place: str | None
    images: int | None
    decoded: int
    matched: str | None
    problems: tuple[str, ...]
    left_out: Mapping[str, LeftOut] = dataclasses.field(default_factory=dict)


def check(dataset: Dataset, data: Data, *, full: bool) -> Finding:
    """Finds a data set and compares it with what is known of it.

    Args:
        dataset: the data set.
        data: where it may be; its workers decode.
        full: whether all images are decoded instead of `SAMPLE` of them; shows its progress.

    Returns:
        What was found; a mistake of the user is a problem, not an exception.
    """
    MEMORY.limit = int(data.decode_gib * GIB)
    try:
        if dataset.procedural:
            source, place = open_source(dataset, count=data.count, seed=data.seed), "drawn by the program"
        else:
            source, place = find_source(uncorrupted(dataset), data.root or None, sources=data.sources)
    except UserError as error:
        return Finding(dataset, None, None, 0, None, (str(error),))
    problems = [*source.doubts, *source.gaps]
    if dataset.expected_count not in (None, len(source)):
        problems.append(f"{len(source):,} images instead of {dataset.expected_count:,}; check the split")
    total = len(source) if full else min(len(source), SAMPLE)
    positions = [int(one) for one in np.linspace(0, len(source) - 1, total)]
    counts: collections.Counter[int] = collections.Counter()
    damaged = []

    def read(position: int) -> tuple[Any, str | None]:
        try:
            with MEMORY.hold():
                row = source[position]
                to_rgb(row["image"])
        except UserError as error:
            return (), str(error)
        return row.get("label", ()), None

    with (
        concurrent.futures.ThreadPoolExecutor(max(1, data.workers)) as pool,
        Progress(dataset.name, total, unit="image", hidden=not full) as progress,
    ):
        for start in range(0, total, 1024):  # the pool holds the results of all that it was given
            for label, problem in pool.map(read, positions[start : start + 1024]):
                counts.update(label if isinstance(label, tuple) else (label,))
                damaged += [] if problem is None else [problem]
                progress.update()
    unread, damaged = len(damaged), list(dict.fromkeys(damaged))
    problems += damaged[:_NAMED]
    if len(damaged) > _NAMED:
        problems.append(f"{len(damaged) - _NAMED} more such problems, of {unread} images in all")
    empty = [name for label, name in enumerate(dataset.classes) if not counts[label]]
    if full and empty and not unread and not any(one.startswith("no image of class") for one in problems):
        problems.append(
            f"no image of class '{empty[0]}' ({len(empty)} of {len(dataset.classes)} classes without images)"
        )
    decoded = total - unread
    return Finding(dataset, place, len(source), decoded, source.matched, tuple(problems), source.left_out)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Returns the table of a check."""
    return Table(
        title="Data sets",
        caption="Images found and expected, decoded in this check, and how labels were matched with the classes.",
        header=("data set", "location", "problems", "images", "expected", "decoded", "classes", "matched"),
        rows=tuple(
            (
                one.dataset.name,
                one.place,
                len(one.problems),
                *(None if count is None else f"{count:,}" for count in (one.images, one.dataset.expected_count)),
                one.decoded,
                len(one.dataset.classes),
                one.matched,
            )
            for one in findings
        ),
        labels=2,
        group=6,
    )


def registry_table() -> Table:
    """Returns the table of all data sets of the registry."""
    rows = [get_dataset(name) for name in dataset_names()]
    return Table(
        title="Data sets of the registry",
        caption="Procedural data sets have as many images as config.data.count asks for.",
        header=("data set", "what", "images", "classes", "templates"),
        rows=tuple(
            (
                one.name,
                one.title,
                None if one.expected_count is None else f"{one.expected_count:,}",
                len(one.classes),
                len(one.templates),
            )
            for one in rows
        ),
        labels=2,
        group=3,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status: 0; 1 where the check found a problem; 2 after a mistake in the command or the recipe.
    """
    problems: list[str] = []

    def command() -> None:
        parser = _parser()
        options, overrides = parser.parse_known_args(arguments)
        if options.command == "list":
            if overrides:
                raise UserError(f"unexpected argument {overrides[0]!r}; see {parser.prog} --help")
            print_tables([registry_table()])
            say("\nHow to get them (licences are hints: what the pages of a data set say counts)")
            for row in map(get_dataset, dataset_names()):
                if not row.procedural:
                    say(f"{row.name}: {row.get}; licence: {row.licence}")
            return
        data = read_config(options.config, overrides, program=parser.prog).data
        datasets = get_datasets(data.names, data.root or None, sources=data.sources)
        findings = [check(dataset, data, full=options.full) for dataset in datasets]
        print_tables([findings_table(findings)])
        for one in findings:
            for suffix, (count, first) in one.left_out.items():
                say(f"left out: {one.dataset.name}: {count} {suffix or '(no suffix)'}, '{first}' for one")
        problems.extend(f"{one.dataset.name}: {problem}" for one in findings for problem in one.problems)
        for problem in problems:
            say(f"problem: {one_line(problem)}")
        say(f"data sets: {len(findings)}, problems: {len(problems)}")

    return run_command(command) or int(bool(problems))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m lrjax.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="check|list")
    one = commands.add_parser(
        "check",
        help="find, count and decode the data sets of a recipe",
        epilog="--config.KEY=VALUE replaces a value of the recipe, for instance --config.data.root=DATA",
        allow_abbrev=False,
    )
    one.add_argument("config", metavar="CONFIG[:ARGUMENT]", help="recipe, for instance configs/lr_tk0_eva.py:B-16")
    one.add_argument("--full", action="store_true", help=f"decode all images instead of {SAMPLE} per data set")
    commands.add_parser("list", help="list the data sets of the registry", allow_abbrev=False)
    return parser
