"""Tables: printed on a terminal, or written as Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
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

    Columns of a group stay in one part where there is room: a name that all lines share moves into the title for it,
    and long names are broken.

    Args:
        tables: the tables.
        console: where to print; default standard output, whose lines have any length where it is no terminal.
    """
    console = console or _standard_output()
    for table in tables:
        table, group, widths = _arranged(table, console.width)
        console.print(Text(f"\n{table.title}", style="bold"))
        start, columns = table.labels, len(table.header)
        while start < columns:
            stop = start + group
            while stop < columns and _measure(table, widths, start, stop + group) <= console.width:
                stop += group
            console.print(_rich(table, widths, start, stop))
            start = stop
        if table.caption:
            console.print(table.caption, style="dim", highlight=False, markup=False)


def _standard_output() -> Console:
    console = Console()
    if not (console.is_terminal or console.is_jupyter):
        console.width = _ENDLESS
    return console


_ENDLESS = 100_000
_NARROWEST = 8
"""Names are broken into lines of no fewer letters."""


def _arranged(table: Table, room: int) -> tuple[Table, int, list[int]]:
    """The table as it is printed, how many columns stay together, and how wide the names of its lines are."""
    short = _without_shared_names(table)
    for one, narrowest in ((table, room), (short, room), (short, _NARROWEST)):
        if (widths := _label_widths(one, room, narrowest)) is not None:
            return one, one.group, widths
    return table, 1, [_width(table, i) for i in range(table.labels)]


def _label_widths(table: Table, room: int, narrowest: int) -> list[int] | None:
    """How wide the names of the lines may be so that every group fits beside them; None where one does not."""
    starts = range(table.labels, len(table.header), table.group)
    groups = [_measure(table, [], start, start + table.group) for start in starts]
    widths = [_width(table, i) for i in range(table.labels)]
    spare = room - max(groups, default=0) - _GAP * len(widths)
    while sum(widths) > spare:
        widest = max(range(len(widths)), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= narrowest:
            return None
        widths[widest] -= 1
    return widths


def _without_shared_names(table: Table) -> Table:
    """The table with the names that all of several lines share in the title instead of in columns."""
    shared = [i for i in range(table.labels) if len({row[i] for row in table.rows}) == 1]
    if len(table.rows) < 2 or not shared:
        return table
    kept = [i for i in range(len(table.header)) if i not in shared]
    names = ", ".join(f"{table.header[i]} {shown(table.rows[0][i])}" for i in shared)
    return dataclasses.replace(
        table,
        title=f"{table.title} ({names})",
        header=tuple(table.header[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
        labels=table.labels - len(shared),
    )


_GAP = 3
"""Two spaces of padding and one between columns."""


def _width(table: Table, column: int) -> int:
    return max(map(cell_len, [table.header[column], *(shown(row[column]) for row in table.rows)]))


def _measure(table: Table, widths: Sequence[int], start: int, stop: int) -> int:
    """How wide some columns are, behind names of some widths."""
    columns = range(start, min(stop, len(table.header)))
    return sum(width + _GAP for width in [*widths, *(_width(table, i) for i in columns)])


def _rich(table: Table, widths: Sequence[int], start: int, stop: int) -> RichTable:
    view = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    columns = [*range(table.labels), *range(start, min(stop, len(table.header)))]
    for i in columns:
        named = i < table.labels
        view.add_column(
            Text(table.header[i]),
            justify="left" if named else "right",
            no_wrap=not named,
            overflow="fold",
            max_width=widths[i] if named else None,
        )
    for row in table.rows:
        view.add_row(*(Text(shown(row[i])) for i in columns))
    return view
