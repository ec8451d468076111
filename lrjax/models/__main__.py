"""Lists the backbones: `python -m lrjax.models [PATTERN] [--family NAME] [--format json]`."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.models.__main__"))

import dataclasses
import json
from collections.abc import Sequence

from lrjax.api import list_models
from lrjax.command_line import Parser, run, say
from lrjax.display.tables import FORMATS, Table, parameter_count, print_tables
from lrjax.errors import UserError
from lrjax.models import zoo


def zoo_table(names: Sequence[str]) -> Table:
    """Tabulates backbones.

    Args:
        names: names in the zoo.

    Returns:
        One line per backbone.
    """
    header = ("Model", "Family", "Params", "Input", "GFLOPs", "Data", "Preprocessing", "Activation", "Licence")
    lines = []
    for name in names:
        row = zoo.get(name)
        image, text = row.spec.image, row.spec.text
        lines.append(
            (
                row.name,
                row.family,
                parameter_count(row.parameters),
                image.size,
                row.gflops,
                row.data,
                f"{row.preprocess.mode} {row.preprocess.kernel}",
                text and text.blocks.activation,
                row.licence,
            )
        )
    caption = f"{len(lines)} backbones. GFLOPs: image tower, one image, a multiply-add as 2."
    return Table("Backbones", caption, header, tuple(lines), labels=1)


def _run(arguments: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m lrjax.models", description="Lists the backbones.")
    parser.add_argument("pattern", nargs="?", default="*", help='part of names, or a shell pattern such as "ViT-B-*"')
    parser.add_argument("--family", help="only this family, for instance SigLIP")
    parser.add_argument("--format", choices=("text", "json", *FORMATS), default="text", help="how to print them")
    parsed = parser.parse_args(arguments)
    whole = any(wildcard in parsed.pattern for wildcard in "*?[")
    names = list_models(parsed.pattern if whole else f"*{parsed.pattern}*", family=parsed.family)
    if not names:
        families = ", ".join(sorted({row.family for row in zoo.BACKBONES.values()}))
        family = f" of the family {parsed.family!r}" if parsed.family else ""
        raise UserError(f"no backbone{family} fits {parsed.pattern!r}; families: {families}")
    if parsed.format == "json":
        rows = (zoo.get(name) for name in names)
        say(json.dumps([{"name": row.name} | dataclasses.asdict(row) for row in rows], indent=2))
    elif parsed.format in FORMATS:
        say(FORMATS[parsed.format](zoo_table(names)).removesuffix("\n"))
    else:
        table, shown = zoo_table(names), (0, 2, 3, 7)  # what fits a narrow terminal
        rows = tuple(tuple(row[column] for column in shown) for row in table.rows)
        header = tuple(table.header[column] for column in shown)
        print_tables([dataclasses.replace(table, header=header, rows=rows, caption=f"{len(names)} backbones.")])


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the zoo.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(arguments))
