"""The tables of a comparison: a short one to read, one with everything, and what could not be compared."""

from lrjax.compare.differences import DRAWS, Comparison, Difference
from lrjax.display.tables import Estimate, Table, counted, shown
from lrjax.metrics.intervals import CONFIDENCE
from lrjax.metrics.paired import POWER

MARK = "*"
_FACTS = ("backbone", "weights", "precision", "prompts", "image_size")


def short_table(comparison: Comparison) -> Table:
    """Returns a line for each data set and condition, and the means of several data sets behind them.

    Args:
        comparison: of two systems.
    """
    lines = [*comparison.single, *comparison.means]
    named = len({(one.question, one.metric) for one in lines}) > 1
    rows = [
        (
            *((f"{one.metric}",) if named else ()),
            one.of,
            _at(one),
            100 * one.first,
            100 * one.second,
            _estimate(one),
            _p(one.corrected),
            MARK if one.significant else "",
            None if one.detectable is None else 100 * one.detectable,
        )
        for one in lines
    ]
    header = (*(("Metric",) if named else ()), "Data set", "At", "A", "B", "A - B", "p", MARK, "MDD")
    return Table(_title(comparison), _caption(comparison), header, tuple(rows), labels=2 + named)


def full_table(comparison: Comparison) -> Table:
    """Returns a line for every result of the chosen metrics, those that are not compared among them.

    Args:
        comparison: of two systems.
    """
    lines: list[tuple] = [
        (
            one.question,
            one.metric,
            one.of,
            _at(one),
            one.examples,
            100 * one.first,
            100 * one.second,
            _estimate(one),
            one.gained,
            one.lost,
            _p(one.p),
            _p(one.corrected),
            "yes" if one.significant else "no",
            None if one.detectable is None else 100 * one.detectable,
            "",
        )
        for one in (*comparison.single, *comparison.means, *comparison.overall)
    ]
    for one in comparison.left_out:
        row = one.row
        lines.append((row.question, row.metric, row.test_set, str(row.resolution).upper(), *[None] * 10, one.why))
    header = (
        *("Question", "Metric", "Data set", "At", "Examples", "A", "B", "A - B", "Only A right", "Only B right"),
        *("p", "p corrected", "Significant", "Detectable", "Not compared"),
    )
    return Table(_title(comparison), _caption(comparison), header, tuple(lines), labels=4)


def left_out_table(comparison: Comparison) -> Table | None:
    """Returns which results are not compared and why, or None where all are.

    Args:
        comparison: of two systems.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in comparison.left_out:
        at = found.setdefault((one.row.metric, one.row.test_set, one.why), [])
        at.append(str(one.row.resolution).upper())
    lines = tuple((*names, ", ".join(at)) for names, at in found.items())
    caption = f"{counted(len(comparison.left_out), 'result')}."
    return Table("Not compared", caption, ("Metric", "Data set", "Why", "At"), lines, labels=3) if lines else None


def summary(comparison: Comparison) -> list[str]:
    """Says what came out, in a sentence for each question and metric, and how much was compared.

    Args:
        comparison: of two systems.
    """
    overall = {(one.question, one.metric): one for one in (*comparison.single, *comparison.overall)}
    sentences = []
    for one in overall.values():
        at = "all conditions" if one.at == "all" else f"at {_at(one)}"
        points = shown(100 * one.value if one.bounds is None else _estimate(one))
        verdict = "significant" if one.significant else "not significant"
        sentences.append(f"{one.metric}, {one.of}, {at}: A - B is {points} points, p = {_p(one.corrected)}, {verdict}.")
    found, left_out = sum(one.significant for one in comparison.single), len(comparison.left_out)
    sentences.append(
        f"{found} of {counted(len(comparison.single), 'difference')} {'is' if found == 1 else 'are'} significant; "
        f"{counted(left_out, 'result')} {'is' if left_out == 1 else 'are'} not compared."
    )
    return [*sentences, *comparison.first.left_out, *comparison.second.left_out]


def _estimate(one: Difference) -> Estimate:
    low, high = (None, None) if one.bounds is None else (100 * bound for bound in one.bounds)
    return Estimate(100 * one.value, low, high)


def _title(comparison: Comparison) -> str:
    return f"{comparison.first.name} (A) against {comparison.second.name} (B)"


def _at(one: Difference) -> str:
    return str(one.at).upper()


def _p(value: float) -> str:
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


def _caption(comparison: Comparison) -> str:
    families = [(comparison.single, "difference"), (comparison.means, "mean")]
    corrected = " and ".join(counted(len(family), noun) for family, noun in families if family)
    sentences = [
        f"Times 100: percent, and points of difference with the {CONFIDENCE:.0%} interval, a score interval of paired "
        f"shares, else the middle of {DRAWS:,} bootstrap draws of the images of each data set.",
        "p: that of McNemar's exact test, else of the bootstrap, by Holm's correction for "
        f"{corrected}; {MARK}: below {1 - CONFIDENCE:.0%}.",
        f"MDD: the minimum detectable difference, which one such test finds with a power of {POWER:.0%}, by how many "
        "images are right for one of the two alone, else by the standard error; none where these are too few.",
        *_contrast(comparison),
    ]
    if comparison.unchosen:
        others = ", ".join(f"{name} ({count})" for name, count in comparison.unchosen.items())
        sentences.append(f"Other metrics that both have, to be chosen with --metric: {others}.")
    return " ".join(sentences)


def _contrast(comparison: Comparison) -> list[str]:
    """Says in which of the facts that runs write down the two differ."""
    rows = [
        (row, comparison.second.rows[key])
        for key, row in comparison.first.rows.items()
        if key in comparison.second.rows
    ]
    found = []
    for name in _FACTS:
        pairs = {
            (str(one.extra[name]), str(other.extra[name]))
            for one, other in rows
            if name in one.extra and name in other.extra
        }
        different = sorted(pair for pair in pairs if pair[0] != pair[1])
        if different:
            a, b = (text[:12] for text in different[0])
            found.append(f"{name.replace('_', ' ')} ({a} and {b}{', ...' if different[1:] else ''})")
    return [f"A and B differ in {', '.join(found)}."] if found else []
