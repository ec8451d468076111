"""Mean accuracy of the user's own runs in one short table, with intervals and differences."""

from typing import NamedTuple

from lrjax.display.tables import Estimate, Table, counted, shown
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import marked
from lrjax.leaderboard.scores import Results
from lrjax.metrics.intervals import CONFIDENCE, Bounds

System = tuple[str, str]
"""Model and variant."""
ABOVE, BELOW = "▲", "▼"
_MOST_NAMES = 3
"""Data sets that a title names; of more it gives the number."""


class Comparison(NamedTuple):
    """Two models or variants that are compared.

    Attributes:
        one: the first.
        other: what it is measured against.
        name: of the first.
        against: name of the other.
    """

    one: System
    other: System
    name: str
    against: str


def resolution_label(resolution: int | str) -> str:
    """Returns a resolution as the head of a column: "16", "HR"."""
    return str(resolution).upper()


def systems(results: Results) -> list[System]:
    """Returns the models and variants, in order."""
    return [(model, variant) for model, variants in results.variants.items() for variant in variants]


def comparisons(results: Results) -> list[Comparison]:
    """Returns what is compared: each variant with its unmodified model, each other model with the first."""
    reference, first, found = results.reference_variant, next(iter(results.variants)), []
    for model, variant in systems(results):
        if variant != reference:
            found.append(Comparison((model, variant), (model, reference), f"{model} {variant}", reference))
        elif model != first:
            found.append(Comparison((model, variant), (first, reference), model, first))
    return found


def mean_accuracy(replicates: Replicates, system: System, resolution: int | str) -> Estimate | None:
    """Returns mean top-1 accuracy in percent, with its interval where there are per-image arrays; None without any."""
    scores = replicates.results.scores(*system, resolution)
    if scores is None:
        return None
    return in_percent(float(scores[2]), replicates.mean_bounds(*system, resolution))


def mean_difference(replicates: Replicates, pair: Comparison, resolution: int | str) -> Estimate | None:
    """Returns how many points one mean accuracy is above another; None where one is missing.

    There is no interval where they are not known to be of the same images.
    """
    one, other = (mean_accuracy(replicates, system, resolution) for system in (pair.one, pair.other))
    if one is None or other is None:
        return None
    paired = replicates.paired_at(pair.one, pair.other, resolution)
    bounds = replicates.mean_difference_bounds(pair.one, pair.other, resolution) if paired else None
    return in_percent((one.value - other.value) / 100, bounds)


def in_percent(value: float, bounds: Bounds | None) -> Estimate:
    """Returns a fraction as a cell in percent."""
    low, high = (None, None) if bounds is None else (100 * bound for bound in bounds)
    return Estimate(100 * value, low, high)


def mark(difference: Estimate | None) -> str:
    """Returns `ABOVE` or `BELOW` where the interval of a difference does not hold 0, else ""."""
    if difference is None or difference.low is None or difference.high is None:
        return ""
    return ABOVE if difference.low > 0 else BELOW if difference.high < 0 else ""


def headline_tables(replicates: Replicates) -> list[Table]:
    """Tabulates mean accuracy by resolution, and how far each variant is above its unmodified model.

    Args:
        replicates: of the results.

    Returns:
        One table, or two where there is something to compare; percent and points.
    """
    results, names = replicates.results, [resolution_label(one) for one in replicates.results.resolutions]
    group = len(names)
    lines = [
        (*system, *(mean_accuracy(replicates, system, at) for at in results.resolutions)) for system in systems(results)
    ]
    caption = f"Percent, the mean over {counted(len(results.datasets), 'data set')}, with {CONFIDENCE:.0%} intervals."
    table = Table("Mean top-1 accuracy", caption, ("Model", "Variant", *names), tuple(lines), labels=2, group=group)
    found = [marked(table, [results.incomplete_text(model) for model, *_ in lines])]
    pairs = comparisons(results)
    gains = [
        (one.name, one.against, *(mean_difference(replicates, one, at) for at in results.resolutions)) for one in pairs
    ]
    if gains:
        caption = f"Points, paired by image, with {CONFIDENCE:.0%} intervals."
        header = ("Model", "Against", *names)
        table = Table("Differences of mean accuracy", caption, header, tuple(gains), labels=2, group=group)
        missing = [results.incomplete_text(one.one[0], one.other[0]) for one in pairs]
        found.append(marked(table, missing))
    return found


def short_table(replicates: Replicates) -> Table:
    """Tabulates mean accuracy for a terminal: a line per model and variant, half of each interval, and a mark for
    differences that are significant.

    Args:
        replicates: of the results.
    """
    results = replicates.results
    pairs = {one.one: one for one in comparisons(results)}
    one_model, one_variant = len(results.variants) == 1, all(len(names) == 1 for names in results.variants.values())
    lines, cells = [], []
    for model, variant in systems(results):
        name = variant if one_model and not one_variant else model if one_variant else f"{model} {variant}"
        cells = []
        for at in results.resolutions:
            value, pair = mean_accuracy(replicates, (model, variant), at), pairs.get((model, variant))
            sign = "" if pair is None else mark(mean_difference(replicates, pair, at))
            cells.append(None if value is None else f"{_half(value)}{sign or ' ' * bool(pairs)}")
        lines.append((name, *cells))
    few = len(results.datasets) <= _MOST_NAMES
    title = f"Mean top-1 accuracy, {', '.join(results.datasets) if few else f'{len(results.datasets)} data sets'}"
    if one_model and not one_variant:
        title = f"{next(iter(results.variants))}: {title[0].lower()}{title[1:]}"
    header = ("Variant" if one_model and not one_variant else "Model", *map(resolution_label, results.resolutions))
    legend = _legend(
        replicates, list(pairs.values()), whole=any("[" in str(cell) for line in lines for cell in line[1:])
    )
    table = Table(title, legend, header, tuple(lines), 1, group=len(header) - 1)
    return marked(table, [results.incomplete_text(model) for model, _ in systems(results)])


def _half(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return shown(value.value)
    half = (value.high - value.low) / 2
    if not half <= value.value <= 100 - half:  # an interval about a number near the end of the scale lies to one side
        return f"{shown(value.value)} [{shown(value.low)}, {shown(value.high)}]"
    return f"{shown(value.value)}±{shown(half)}"


def _legend(replicates: Replicates, pairs: list[Comparison], *, whole: bool) -> str:
    results = replicates.results
    if not any(replicates.mean_bounds(*system, at) for system in systems(results) for at in results.resolutions):
        return " ".join(["Percent; no intervals, for there are no per-image arrays.", *results.footnote()])
    others = dict.fromkeys(one.against for one in pairs)
    signs = f"; {ABOVE}{BELOW} significantly above, below {' or '.join(others)}" if pairs else ""
    near = ", or all of it near 0 and 100" if whole else ""
    return " ".join([f"Percent ± half of the {CONFIDENCE:.0%} interval{near}{signs}.", *results.footnote()])
