"""Tables and plots from result rows: `python -m lrjax.report RESULTS_DIR --out DIR`."""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lrjax.errors import UserError
from lrjax.metrics import robustness
from lrjax.report_plots import Panel, panels_png, require_matplotlib
from lrjax.report_tables import (
    METRIC,
    Options,
    Results,
    Table,
    comparison_table,
    dataset_table,
    robustness_table,
    shown,
)
from lrjax.results import ResultStore, Row, write_atomically

__all__ = ["Options", "Table", "comparison_table", "dataset_table", "print_tables", "robustness_table", "write_report"]


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Prints tables on a terminal; one that is too wide is printed in parts, each with the columns that name the lines.

    Args:
        tables: the tables.
        console: where to print; default standard output.
    """
    console = console or Console()
    for table in tables:
        console.print(f"\n[bold]{table.title}[/bold]", highlight=False)
        start, columns = table.labels, len(table.header)
        while start < columns:
            stop = start + table.group
            while stop < columns and _measure(table, start, stop + table.group) <= console.width:
                stop += table.group
            console.print(_rich(table, start, stop))
            start = stop
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


def write_report(
    rows: Sequence[Row], directory: str | os.PathLike, *, plots: bool = True, **options: Unpack[Options]
) -> list[Path]:
    """Writes report.md, table2.csv, per_dataset.csv, summary.json and the plots; equal rows give equal files.

    Args:
        rows: result rows.
        directory: where to write; created where missing. Each file replaces that of an earlier report as a whole.
        plots: whether to draw accuracy.png and datasets_<model>.png.
        **options: see `Options`.

    Returns:
        The files written.

    Raises:
        UserError: as `robustness_table`; or matplotlib is not installed (nothing is written then).
    """
    if plots:
        require_matplotlib()
    results = Results(rows, **options)
    main, datasets = robustness_table(rows, **options), comparison_table(rows, **options)
    pictures = _pictures(results) if plots else {}
    text = [f"# {main.title}\n", main.markdown(), main.caption + "\n"]
    text += [f"![{caption}]({name})\n" for name, (caption, _) in pictures.items() if name == "accuracy.png"]
    text += [f"## {datasets.title}\n", datasets.markdown(), datasets.caption + "\n"]
    text += [f"![{caption}]({name})\n" for name, (caption, _) in pictures.items() if name != "accuracy.png"]
    text += ["## Where the numbers come from\n", _provenance(results).markdown()]
    files: dict[str, str | bytes] = {name: content for name, (_, content) in pictures.items()}
    files |= {
        "table2.csv": main.csv(),
        "per_dataset.csv": dataset_table(rows, **options).csv(),
        "summary.json": json.dumps(_summary(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": "\n".join(text),
    }
    for name, content in files.items():
        write_atomically(Path(directory) / name, content)
    return [Path(directory) / name for name in files]


def _pictures(results: Results) -> dict[str, tuple[str, bytes]]:
    overview, pictures = [], {}
    for model, variants in results.variants.items():
        sizes = results.extra(model, variants[0], "image_size")
        mean: dict[str, dict[int | str, float]] = {}
        lines: dict[str, dict[str, dict[int | str, float]]] = {name: {} for name in results.datasets}
        for variant in variants:
            for resolution in results.resolutions:
                if (accuracies := results.accuracies(model, variant, resolution)) is not None:
                    mean.setdefault(variant, {})[resolution] = robustness.mean_accuracy(accuracies)
                    for name, value in accuracies.items():
                        lines[name].setdefault(variant, {})[resolution] = value
        chance = {name: 1 / count for name, count in results.classes.items()}
        overview.append(Panel(model, mean, sum(chance.values()) / len(chance), sizes))
        panels = [Panel(name, line, chance[name], sizes) for name, line in lines.items()]
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-") or "model"
        while f"datasets_{slug}.png" in pictures:
            slug += "-2"
        caption = f"{model}: top-1 accuracy by data set"
        pictures[f"datasets_{slug}.png"] = (caption, panels_png(panels, title=caption))
    title = f"Mean top-1 accuracy over {len(results.datasets)} data sets"
    return {"accuracy.png": (title, panels_png(overview, title=title, columns=4))} | pictures


def _provenance(results: Results) -> Table:
    header = ("Model", "Variant", "Evaluator", "Config", "Seed", "Versions")
    lines = {}
    for row in results.rows.values():
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        seed = "none" if row.seed is None else row.seed
        evaluator = f"{row.evaluator} {row.evaluator_version}"
        lines[row.model, row.variant, evaluator, row.config_hash, seed, versions] = None
    return Table("Where the numbers come from", "", header, tuple(lines), labels=len(header))


def _summary(results: Results) -> dict:
    models = []
    for model, variants in results.variants.items():
        for variant in variants:
            by_resolution = {}
            for resolution in results.resolutions:
                if (scores := results.scores(model, variant, resolution)) is not None:
                    by_resolution[str(resolution)] = dict(zip(("sar", "war", "accuracy"), scores, strict=True))
            parameters = results.extra(model, variant, "parameters")
            models.append({"model": model, "variant": variant, "parameters": parameters, "resolutions": by_resolution})
    return {
        "metric": METRIC,
        "reference_variant": results.reference_variant,
        "weights": None if results.weights is None else dict(results.weights),
        "datasets": {name: {"classes": results.classes[name]} for name in results.datasets},
        "models": models,
    }


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}\n")  # one line, without the usage


def _weights(name: str) -> Mapping[str, float] | None:
    if name in ("equal", "paper"):
        return robustness.PAPER_WEIGHTS if name == "paper" else None
    try:
        weights = json.loads(Path(name).read_text())
        return {str(dataset): float(weight) for dataset, weight in weights.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f'{name} is not a JSON file like {{"cars": 0.5}} ({error}); or use "equal" or "paper"'
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints and writes the report of a results directory.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status: 0, or 2 after a user's mistake, which is told in one line on standard error.
    """
    parser = _Parser(prog="python -m lrjax.report", description="Tables and plots from a results directory.")
    parser.add_argument("results", metavar="RESULTS_DIR", help="directory with results.jsonl")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: RESULTS_DIR/report)")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="data sets to average over (default: all)")
    parser.add_argument("--weights", default="equal", help='WAR weights: "equal" (default), "paper", or a JSON file')
    parser.add_argument(
        "--renormalise", action="store_true", help="use the weights that there are, if data sets differ"
    )
    parser.add_argument("--paper-classes", action="store_true", help="class counts of the published ranking")
    parser.add_argument("--newest", action="store_true", help="of several results for one number take the newest")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG files (needs no matplotlib)")
    try:
        parsed = parser.parse_args(arguments)
        options: Options = {
            "datasets": parsed.datasets,
            "weights": _weights(parsed.weights),
            "missing": "renormalise" if parsed.renormalise else "error",
            "classes": robustness.PAPER_CLASS_COUNTS if parsed.paper_classes else None,
            "duplicates": "newest" if parsed.newest else "error",
        }
        store = ResultStore(parsed.results)
        if not store.rows:
            raise UserError(f"there are no results in {store.path}; evaluate a model first, or name another directory")
        print_tables([robustness_table(store.rows, **options), comparison_table(store.rows, **options)])
        files = write_report(store.rows, parsed.out or store.directory / "report", plots=not parsed.no_plots, **options)
        print(f"wrote {len(files)} files to {files[0].parent}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
