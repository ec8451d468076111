"""Tables: printed on a terminal, or written as Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lrjax.checks.text import printable


class Estimate(NamedTuple):
    """A number with a confidence interval, shown as "71.3 [69.0, 73.5]".

    Attributes:
        value: the number.
        low: lower bound; None where there is no interval.
        high: upper bound.
    """

    value: float
    low: float | None
    high: float | None


class Spread(NamedTuple):
    """A mean and how far single values lie from it, shown as "71.3 ± 0.4".

    Attributes:
        value: the mean.
        deviation: standard deviation; None where there is one value only.
    """

    value: float
    deviation: float | None


class Count(int):
    """A number of parameters, shown as "149.7M" and written to CSV with all digits."""


Cell = str | int | float | Count | Estimate | Spread | None
_PARTS = {Estimate: ("", " low", " high"), Spread: ("", " deviation")}


def _in_parts(cell: Cell, parts: int) -> tuple[str | float | None, ...]:
    return tuple(cell) if isinstance(cell, Estimate | Spread) else (cell, *[None] * (parts - 1))


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be printed, or written as Markdown, CSV and LaTeX.

    Attributes:
        title: its heading.
        caption: what the numbers are.
        header: one text per column.
        rows: cells by line; a float is shown with one decimal, an `Estimate` with its bounds, a `Spread` with
            its deviation, None as a dash.
        labels: number of leading columns that name a line.
        group: number of columns that belong together after the labels.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int
    group: int = 1

    def __post_init__(self):
        for name in ("title", "caption"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        object.__setattr__(self, "header", tuple(map(printable, self.header)))
        rows = (tuple(printable(cell) if isinstance(cell, str) else cell for cell in row) for row in self.rows)
        object.__setattr__(self, "rows", tuple(rows))

    def document(self, heading: str = "#") -> str:
        """Returns title, table and caption as Markdown.

        Args:
            heading: marks the title, "##" for the second level.
        """
        return f"{heading} {_escaped(self.title)}\n\n{self.markdown()}\n{_escaped(self.caption)}\n"

    def markdown(self) -> str:
        """Returns the table as a GitHub-flavoured Markdown table without its caption."""
        align = ["---"] * self.labels + ["---:"] * (len(self.header) - self.labels)
        lines = [map(_escaped, self.header), align, *(map(_markdown_cell, row) for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """Returns the table as CSV, with four decimals; bounds and deviations are columns of their own, "NAME low"."""
        wide = {i: _PARTS[type(cell)] for row in self.rows for i, cell in enumerate(row) if type(cell) in _PARTS}
        names = [[f"{name}{part}" for part in wide.get(i, ("",))] for i, name in enumerate(self.header)]
        lines: list[list[Cell]] = [[one for name in names for one in name]]
        for row in self.rows:
            cells = [_in_parts(cell, len(wide.get(i, ("",)))) for i, cell in enumerate(row)]
            lines.append([f"{one:.4f}" if isinstance(one, float) else one for cell in cells for one in cell])
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(map(_no_formula, line) for line in lines)
        return buffer.getvalue()

    def latex(self) -> str:
        """Returns the table as a LaTeX `tabular`, without its caption; it needs the package booktabs."""
        align = "l" * self.labels + "r" * (len(self.header) - self.labels)
        lines = [
            [" ".join(shown(cell).split()).translate(_LATEX) for cell in line] for line in (self.header, *self.rows)
        ]
        header, *rows = [" & ".join(line) + r" \\" for line in lines]
        body = [
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            header,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(body) + "\n"


_MARKDOWN = str.maketrans({"<": "&lt;", "&": "&amp;"} | {one: f"\\{one}" for one in "\\`*[|"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")

# outside ASCII, the texts hold only what current LaTeX prints by itself
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\to$",
        "[": "{[}",  # at the start of a line it would be an argument of the line break above
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def shown(cell: Cell) -> str:
    """Returns a cell as it is printed: one decimal for a float, a dash for None."""
    if cell is None:
        return "–"  # noqa: RUF001
    if isinstance(cell, Estimate):
        return f"{shown(cell.value)} [{shown(cell.low)}, {shown(cell.high)}]"
    if isinstance(cell, Spread):
        return shown(cell.value) if cell.deviation is None else f"{shown(cell.value)} ± {shown(cell.deviation)}"
    if isinstance(cell, Count):
        return _magnitude(cell)
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, "1 model" or "2 models"."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def parameter_count(parameters: int | None) -> Count | None:
    """Returns a number of parameters as a cell; None where it is not known."""
    return None if parameters is None else Count(parameters)


def _magnitude(parameters: int) -> str:
    if parameters < 1e5:
        return f"{parameters / 1e3:.1f}K"
    if parameters >= 1e9:
        return f"{parameters / 1e9:.2f}B"
    return f"{parameters / 1e6:.{2 if parameters < 1e7 else 1}f}M"  # the tokens of a small backbone show, too


def _escaped(text: str) -> str:
    return " ".join(text.translate(_MARKDOWN).split())


def _markdown_cell(cell: Cell) -> str:
    return _escaped(cell) if isinstance(cell, str) else shown(cell)


def _no_formula(cell: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula; https://owasp.org/www-community/attacks/CSV_Injection."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell


FORMATS: dict[str, Callable[[Table], str]] = {"csv": Table.csv, "markdown": Table.markdown, "latex": Table.latex}
"""How a table is written, by name."""


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Prints tables on a terminal; one that is too wide is printed in parts, each with the columns that name the lines.

    Args:
        tables: the tables.
        console: where to print; default standard output.
    """
    console = console or Console()
    for table in tables:
        console.print(Text(f"\n{table.title}", style="bold"))
        start, columns = table.labels, len(table.header)
        group = table.group if _measure(table, start, start + table.group) <= console.width else 1
        while start < columns:
            stop = start + group
            while stop < columns and _measure(table, start, stop + group) <= console.width:
                stop += group
            console.print(_rich(table, start, stop))
            start = stop
        if table.caption:
            console.print(table.caption, style="dim", highlight=False, markup=False)


def _columns(table: Table, start: int, stop: int) -> list[int]:
    return [*range(table.labels), *range(start, min(stop, len(table.header)))]


def _measure(table: Table, start: int, stop: int) -> int:
    cells = [[table.header[i], *(shown(row[i]) for row in table.rows)] for i in _columns(table, start, stop)]
    return sum(max(map(len, column)) + 3 for column in cells)  # two spaces of padding and one between columns


def _rich(table: Table, start: int, stop: int) -> RichTable:
    view = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i in _columns(table, start, stop):
        named = i < table.labels
        view.add_column(Text(table.header[i]), justify="left" if named else "right", no_wrap=not named, overflow="fold")
    for row in table.rows:
        view.add_row(*(Text(shown(row[i])) for i in _columns(table, start, stop)))
    return view
