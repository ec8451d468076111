"""`python -m lrjax.questions.zoom`: prints what stored zoom tables tell, and writes pictures of it."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.questions.zoom.__main__"))

import argparse
from collections.abc import Sequence
from pathlib import Path

from lrjax.checks.parse import parse_json
from lrjax.command_line import Parser, run, say
from lrjax.data.images import decode
from lrjax.display.charts import map_png, png
from lrjax.display.charts.png import require_matplotlib
from lrjax.display.tables import Table, print_tables
from lrjax.errors import UserError
from lrjax.metrics.zoom import TOP
from lrjax.questions.zoom import pictures, report
from lrjax.questions.zoom.covers import write_covers
from lrjax.questions.zoom.stored import by_dataset, load_tables
from lrjax.results.output_folder import write_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the studies.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m lrjax.questions.zoom", description="Studies of stored tables of zoom views.")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="directory of results.jsonl and samples")
    parser.add_argument("--newest", action="store_true", help="of several tables of one kind take the newest")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="only this data set; may be repeated")
    parser.add_argument("--cover-of", metavar="DATASET", help="data set to find the covers on (default: each its own)")
    parser.add_argument(
        "--covers", metavar="FILE", help="write the covers, for config.questions.zoom.aggregate on other data sets"
    )
    parser.add_argument("--out", metavar="DIR", help="where to write tables (CSV, Markdown) and pictures (PNG)")
    parser.add_argument(
        "--index", type=int, metavar="N", help="with --out: draw the views of the image at this position"
    )
    parser.add_argument(
        "--image", metavar="FILE", help="with --out: draw the first 36 crops of the covers of this image"
    )
    return parser


def _run(parsed: argparse.Namespace) -> None:
    if parsed.out is None and (parsed.index is not None or parsed.image is not None):
        raise UserError("--index and --image draw pictures; say with --out where they go")
    if parsed.out is not None:
        require_matplotlib()
    image = None if parsed.image is None else decode(parsed.image)
    stored = load_tables(parsed.results, duplicates="newest" if parsed.newest else "error")
    tables = [table for table in stored if parsed.dataset is None or table.dataset in parsed.dataset]
    if missing := sorted(set(parsed.dataset or ()) - {table.dataset for table in tables}):
        known = ", ".join(sorted({table.dataset for table in stored}))
        raise UserError(f"there is no zoom table on {missing[0]}; use one of {known}")
    grouped = by_dataset(tables)
    sets = report.covers(tables, of=parsed.cover_of, among=stored)
    shown = {
        "zoom-bounds": report.bounds_table(tables, sets),
        "zoom-groups": report.groups_table(tables, sets),
        "zoom-anchors": report.anchors_table(tables, sets),
        "zoom-unclassifiable": report.unclassifiable_table(grouped),
    }
    if (aggregation := report.aggregation_table(tables, sets)) is not None:
        shown["zoom-aggregation"] = aggregation
    if (centre := report.centre_table(tables)) is not None:
        shown["zoom-centre"] = centre
    drawn: list[tuple[str, bytes]] = []
    if parsed.out is not None:
        charts, maps, sheets = [pictures.curves(grouped)], [pictures.anchor_maps(tables)], []
        if centre is not None:
            charts.append(pictures.centre_curves(grouped))
        if parsed.index is not None:
            maps.append(pictures.view_map(tables, parsed.index))
        if image is not None:
            for number, (table, cover) in enumerate(zip(tables, sets, strict=True), start=1):
                if len(cover):
                    name = f"zoom-crops-{number}"
                    sheets.append(pictures.crops(image, table, cover[:TOP], index=parsed.index, name=name))
        drawn = [(chart.name, png.draw(chart)) for chart in charts]
        drawn += [(one.name, map_png.draw_maps(one)) for one in maps]
        drawn += [(one.name, map_png.draw_sheet(one)) for one in sheets]
    if parsed.covers is not None and parsed.cover_of is None and len(grouped) > 1:
        raise UserError(f"--covers finds the covers on one data set; name it with --cover-of: {', '.join(grouped)}")
    if parsed.covers is not None:
        _check_replaceable(Path(parsed.covers))
    written = []
    if parsed.out is not None:
        written.append(_write(Path(parsed.out), shown | {"zoom-scales": report.scales_table(tables)}, drawn))
    if parsed.covers is not None:
        dataset = parsed.cover_of or tables[0].dataset
        write_covers(parsed.covers, tables, sets, dataset=dataset)
        written.append(f"\nwrote the covers of {dataset} to {parsed.covers}")
    print_tables(list(shown.values()))
    for line in written:
        say(line)


def _check_replaceable(path: Path) -> None:
    try:
        if not path.exists() or "covers" in parse_json(path.read_bytes()):
            return
    except (TypeError, ValueError):  # a number, or no JSON
        pass
    raise UserError(f"--covers {path} exists and holds no covers; name another file")


def _write(directory: Path, tables: dict[str, Table], drawn: Sequence[tuple[str, bytes]]) -> str:
    files: dict[str, str | bytes] = {}
    for name, table in tables.items():
        files |= {f"{name}.csv": table.csv(), f"{name}.md": table.document()}
    write_files(files | {f"{name}.png": picture for name, picture in drawn}, directory, command="zoom_study")
    return f"\nwrote {len(tables)} tables and {len(drawn)} pictures to {directory}"
