"""Models of equal size: how far their robustness spreads, and which pre-training data is best."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from scipy import stats

from lrjax.display.charts import OWN, Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.leaderboard.board import Entry, Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import percent, shown
from lrjax.leaderboard.studies.study import Finding, Study

NAME = "buckets"
TITLE = "Models of equal size"
WIDTH = 30_000_000
FEWEST_MODELS, FEWEST_SOURCES = 3, 2


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Models whose numbers of parameters differ by at most 30 million from each other.

    Attributes:
        smallest: number of parameters of the smallest.
        largest: number of parameters of the largest.
        members: entry numbers, in the order of the leaderboard.
    """

    smallest: int
    largest: int
    members: tuple[int, ...]

    @property
    def label(self) -> str:
        """For instance "150 to 178 M"."""
        return f"{self.smallest / 1e6:,.0f} to {self.largest / 1e6:,.0f} M"

    def holds(self, parameters: int | None) -> bool:
        """Tells whether a model of this size would be within 30 million of all members."""
        return parameters is not None and self.largest - WIDTH <= parameters <= self.smallest + WIDTH


def study(board: Leaderboard) -> Study:
    """Compares models of equal size.

    Args:
        board: the leaderboard; own runs of a bucket's size are drawn and not counted.

    Reference: arXiv 2502.03950, Figure 6.
    """
    published, resolution = board.published, board.resolutions[0]
    buckets = find_buckets(published)
    text = (
        "Models whose numbers of parameters are within 30 million of each other. Buckets are chosen greedily: the "
        "one with most models first, then among the models that are left; a bucket needs at least "
        f"{FEWEST_MODELS} models of {FEWEST_SOURCES} data sources. Within a bucket data, architecture, recipe and "
        "input size still differ, so the best data of a bucket are those of its best models, and not the cause. Stars "
        "are ResNets; own runs, if any, are drawn and named, and not counted."
    )
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=(_chart(board, published, buckets, resolution),) if buckets else (),
        tables=(_table(published, buckets, resolution),) if buckets else (),
        findings=_findings(published, buckets, resolution),
    )


def find_buckets(board: Leaderboard) -> list[Bucket]:
    """Groups models by size.

    Args:
        board: a leaderboard.

    Returns:
        Buckets that share no model, the smallest size first.
    """
    sizes = {number: entry.parameters for number, entry in enumerate(board.entries) if entry.parameters is not None}
    left = set(sizes)
    buckets = []
    while True:
        best: list[int] = []
        for smallest in sorted({sizes[number] for number in left}):
            near = [number for number in sorted(left) if 0 <= sizes[number] - smallest <= WIDTH]
            enough = len(near) >= FEWEST_MODELS and len({board.entries[one].data for one in near}) >= FEWEST_SOURCES
            if enough and len(near) > len(best):
                best = near
        if not best:
            return sorted(buckets, key=lambda bucket: bucket.smallest)
        members = [sizes[number] for number in best]
        buckets.append(Bucket(min(members), max(members), tuple(best)))
        left -= set(best)


def share_inside(groups: Sequence[Sequence[float] | np.ndarray]) -> evidence.Estimate | None:
    """Estimates the share of the variance that is inside groups, one minus the intraclass correlation.

    Args:
        groups: values by group.

    Returns:
        The share with the 95 % interval of the one-way random-effects analysis of variance, which takes the values as
        normal; None for fewer than two groups, or groups without spread.

    Reference: P. E. Shrout and J. L. Fleiss, Intraclass correlations, 1979, ICC(1, 1); group sizes averaged as by
    A. Donner, 1986.
    """
    sizes = np.array([len(group) for group in groups], np.float64)
    count, total = len(groups), sizes.sum()
    if count < 2 or total <= count:
        return None
    means = np.array([np.mean(group) for group in groups])
    grand = float((sizes * means).sum() / total)
    inside = sum(((np.asarray(group) - mean) ** 2).sum() for group, mean in zip(groups, means, strict=True))
    if inside == 0:
        return None
    freedom = count - 1, total - count
    ratio = float((sizes * (means - grand) ** 2).sum() / freedom[0] / (inside / freedom[1]))
    size = float((total - (sizes**2).sum() / total) / freedom[0])
    ratios = ratio, ratio / stats.f.ppf(0.975, *freedom), ratio * stats.f.ppf(0.975, *freedom[::-1])
    value, high, low = (min(float(size / (one + size - 1)), 1.0) for one in ratios)
    return evidence.Estimate(value, low, high, int(total))


def _findings(board: Leaderboard, buckets: Sequence[Bucket], resolution: int | str) -> tuple[Finding, ...]:
    war, name = percent(board, "war", resolution), f"WAR-{shown(resolution)}"
    findings = []
    share = share_inside([war[list(bucket.members)] for bucket in buckets])
    if share is not None:
        findings.append(
            evidence.finding(
                share,
                claim="Models of equal size differ in robustness: size alone explains less than half of it.",
                source="Figure 6",
                measure=f"Share of the variance of {name} that is inside {len(buckets)} buckets of equal size",
                expected=1,
                threshold=0.5,
                rule="The interval is that of a one-way random-effects analysis of variance, at 95 %. ",
            )
        )
    correlations = []
    for bucket in buckets:
        pairs = {number: board.entries[number].pairs for number in bucket.members}
        amounts = {number: amount for number, amount in pairs.items() if amount is not None}
        if len(set(amounts.values())) >= 3:
            value = evidence.rank_correlation(list(amounts.values()), war[list(amounts)])
            correlations += [] if value is None else [value]
    estimate = evidence.over_units(correlations)
    if estimate is not None:
        findings.append(
            evidence.finding(
                estimate,
                claim="At equal size, more pre-training pairs go with more robustness.",
                source="abstract (ii), as a counter-check",
                measure=f"Mean Spearman correlation of {name} with the number of pairs within buckets of at least "
                "three amounts; units are buckets",
                expected=1,
                rule=evidence.UNITS_RULE,
            )
        )
    return tuple(findings)


def _table(board: Leaderboard, buckets: Sequence[Bucket], resolution: int | str) -> Table:
    war, lines = percent(board, "war", resolution), []
    for bucket in buckets:
        scores = war[list(bucket.members)]
        by_data: dict[str, list[float]] = {}
        for number in bucket.members:
            by_data.setdefault(board.entries[number].data, []).append(war[number])
        means = {data: float(np.mean(values)) for data, values in by_data.items()}
        data = max(means, key=means.__getitem__)
        best = board.entries[bucket.members[int(scores.argmax())]].name
        line = (bucket.label, len(scores), len(means), *map(float, (scores.min(), scores.max(), np.ptp(scores))))
        lines.append((*line, f"{data} ({means[data]:.1f}, {len(by_data[data])} of {len(scores)})", best))
    header = ("Parameters", "Models", "Sources", "Lowest", "Highest", "Spread", "Best data", "Best model")
    caption = (
        f"WAR-{shown(resolution)}, percent. Best data: those with the highest mean over their models in the bucket, "
        "with the mean and the number of models."
    )
    return Table("Buckets of equal size", caption, header, tuple(lines), labels=1)


def _source(entry: Entry) -> str:
    return (
        OWN if entry.own else re.sub(r"-[\d.]+[MB]$", "", entry.data.partition("+")[0]) + "+ ..." * ("+" in entry.data)
    )


def _chart(board: Leaderboard, published: Leaderboard, buckets: Sequence[Bucket], resolution: int | str) -> Chart:
    war = percent(board, "war", resolution)
    points: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for line, bucket in enumerate(buckets):
        names = {published.entries[number].name for number in bucket.members}
        for number, entry in enumerate(board.entries):
            drawn = bucket.holds(entry.parameters) if entry.own else entry.name in names
            if drawn and np.isfinite(war[number]):
                key = (_source(entry), entry.tower, entry.name if entry.own else "")
                points.setdefault(key, []).append((line, number))
    series = []
    sources = sorted({key[0] for key in points})
    for (source, tower, own), found in sorted(points.items(), key=lambda item: item[0][1] == "resnet"):
        shift = 0.5 * (sources.index(source) / max(len(sources) - 1, 1) - 0.5)  # equal values do not hide each other
        series.append(
            Series(
                name=own or source,
                x=[war[number] for _, number in found],
                y=[line + shift for line, _ in found],
                group=source,
                line=False,
                marker="star" if tower == "resnet" else "diamond" if own else "circle",
                labels=[f"{board.entries[n].name}\n{board.entries[n].data}\n{war[n]:.1f} %" for _, n in found],
                emphasis="strong" if own else "normal",
                annotate=bool(own),
            )
        )
    titles = [f"{bucket.label} (n = {len(bucket.members)})" for bucket in buckets]
    return Chart(
        name="buckets-spread",
        title=f"WAR-{shown(resolution)} of models of equal size, by pre-training data",
        alt=f"One line for each of {len(buckets)} buckets of equal size, with the WAR of its models as points.",
        panels=[Panel(title="", series=series)],
        x=Axis(label=f"WAR-{shown(resolution)}, %"),
        y=Axis(label="", ticks=dict(enumerate(titles))),
        groups=sorted({key[0] for key in points if key[0] != OWN}),
        horizontal=True,
    )
