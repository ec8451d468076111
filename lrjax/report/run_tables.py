"""The tables of the user's own runs: robustness by resolution, top-1 by data set."""

from lrjax.display.tables import Table, parameter_count, shown
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import MARK, marked
from lrjax.leaderboard.scores import Results, weighing
from lrjax.report.headline import resolution_label
from lrjax.report.interval_tables import interval_tables
from lrjax.results.row import Row

SHOWN = ("table2", "comparison", "intervals", "differences", "models")
"""The tables that the terminal shows."""


def run_tables(replicates: Replicates) -> dict[str, Table]:
    """Makes all tables of own runs.

    Args:
        replicates: of the accuracies, see `leaderboard.bootstrap.read_accuracies`.

    Returns:
        Tables by name: "table2", "comparison", "per_dataset", where there are per-image arrays "intervals",
        "differences" and "intervals_per_dataset", and where a model has not the name of its backbone "models".

    Raises:
        UserError: results are missing, ambiguous or not comparable; the message names them.
    """
    results = replicates.results
    models = models_table(results)
    return {
        "table2": robustness_table(results),
        "comparison": comparison_table(results),
        "per_dataset": dataset_table(results),
        **interval_tables(replicates),
        **({"models": models} if models.rows else {}),
    }


def models_table(results: Results) -> Table:
    """Lists the models that do not have the name of their backbone: what they are, and where their weights lie.

    Args:
        results: the rows.
    """
    lines = []
    for model in results.variants:
        facts = [results.extra(model, results.reference_variant, name) for name in ("backbone", "source", "weights")]
        backbone, source, weights = (fact or "" for fact in facts)
        if backbone != model and any(facts[:2]):
            lines.append((model, backbone, source, weights[:12]))
    caption = "SHA-256: the first digits of the hash of the weights."
    return Table("Models", caption, ("Model", "Backbone", "Weights", "SHA-256"), tuple(lines), labels=3)


def robustness_table(results: Results) -> Table:
    """Aggregates robustness over data sets: SAR, WAR and mean top-1 by resolution, one line per model and variant.

    Args:
        results: the rows.

    Returns:
        The table, in percent; None where a variant was not evaluated at a resolution.

    Raises:
        UserError: data sets and weights differ, or a reference accuracy is missing.

    Reference: arXiv 2502.03950, Table 2.
    """
    header = ["Model", "Variant", "Parameters"]
    for resolution in results.resolutions:
        header += [f"{name}-{resolution_label(resolution)}" for name in ("SAR", "WAR", "ACC")]
    lines = []
    for model, variants in results.variants.items():
        for variant in variants:
            line = [model, variant, parameter_count(results.extra(model, variant, "parameters"))]
            for resolution in results.resolutions:
                scores = results.scores(model, variant, resolution)
                line += [None if score is None else 100 * score for score in scores or (None, None, None)]
            lines.append(tuple(line))
    count = f"{len(results.datasets)} data set{'s' * (len(results.datasets) > 1)}"
    caption = (
        f"Percent, over {count} ({', '.join(results.datasets)}). SAR: mean share of the HR accuracy that is left; "
        "WAR: the same, discounted where the HR accuracy is near chance, alike above and below, so that a model "
        "below chance can score high; "
        f"{weighing(results.weights, results.datasets)}; ACC: mean top-1. "
        f"All variants are measured against the HR accuracy of {results.reference_variant}."
    )
    caption = " ".join([caption, *results.notes()])
    if results.superseded:
        caption += f" {results.superseded} older results for the same numbers are left out."
    table = Table("Robustness by resolution", caption, tuple(header), tuple(lines), labels=3, group=3)
    return marked(table, [results.incomplete_text(model) for model, *_ in lines])


def dataset_table(results: Results) -> Table:
    """Lists top-1 by data set and resolution, one line per model, data set and variant.

    Args:
        results: the rows.

    Returns:
        The table; chance and accuracies in percent.
    """
    header = (
        "Model",
        "Variant",
        "Data set",
        "Classes",
        "Images",
        "Chance",
        *map(resolution_label, results.resolutions),
    )
    lines = []
    for model, dataset, line_variants in _by_dataset(results):
        for variant, row in line_variants.items():
            cells = [results.rows.get((model, variant, dataset, resolution)) for resolution in results.resolutions]
            chance = 100 / results.classes[dataset]
            values = [None if cell is None else 100 * cell.value for cell in cells]
            lines.append((model, variant, dataset, results.classes[dataset], row.n, chance, *values))
    table = Table(
        "Top-1 accuracy by data set", " ".join(["Percent.", *results.footnote()]), header, tuple(lines), labels=3
    )
    return marked(table, [results.incomplete[model].get(dataset) for model, _, dataset, *_ in lines])


def comparison_table(results: Results) -> Table:
    """Lists top-1 by data set and resolution with all variants of a model in one cell, "before → after".

    Args:
        results: the rows.

    Returns:
        The table; chance and accuracies in percent.
    """
    header = ("Model", "Data set", "Images", "Chance", *map(resolution_label, results.resolutions))
    lines = []
    for model, dataset, line_variants in _by_dataset(results):
        cells = []
        for resolution in results.resolutions:
            found = [results.rows.get((model, variant, dataset, resolution)) for variant in line_variants]
            texts = [shown(None if row is None else 100 * row.value) for row in found]
            cells.append(" → ".join(texts) if any(found) else None)
        missing = results.incomplete[model].get(dataset)
        images = f"{MARK} {missing}" if missing else next(iter(line_variants.values())).n
        lines.append((model, dataset, images, 100 / results.classes[dataset], *cells))
    orders = dict.fromkeys(" → ".join(variants) for variants in results.variants.values())
    caption = f"Percent, {'; '.join(orders)}. Chance is the accuracy of guessing."
    caption = " ".join([caption, *results.footnote()])
    return Table("Top-1 accuracy by data set", caption, header, tuple(lines), labels=2)


def _by_dataset(results: Results) -> list[tuple[str, str, dict[str, Row]]]:
    found = []
    for model, variants in results.variants.items():
        for dataset in results.datasets:
            with_rows = {}
            for variant in variants:
                cells = [results.rows.get((model, variant, dataset, resolution)) for resolution in results.resolutions]
                if any(cells):
                    with_rows[variant] = next(row for row in cells if row is not None)
            if with_rows:
                found.append((model, dataset, with_rows))
    return found
