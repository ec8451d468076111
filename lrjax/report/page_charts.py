"""The chart that the front page and the pages of data sets share: accuracy against resolution, a line per entry."""

import numpy as np

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.leaderboard.studies.figures import resolution_axis, resolution_positions
from lrjax.report.page_parts import Site, group, percent, pixels


def accuracy_curves(
    site: Site, accuracy: np.ndarray, *, name: str, title: str, what: str, chance: float | None = None
) -> Chart:
    """Describes accuracy against resolution, one line per entry.

    Args:
        site: the leaderboard.
        accuracy: fractions, [M, R].
        name: see `Chart`.
        title: see `Chart`.
        what: the quantity, for the vertical axis and the text for those who do not see the chart.
        chance: accuracy of guessing, a fraction; None draws no level.
    """
    board = site.board
    resolutions = [*map(pixels, board.resolutions)]
    series = [
        Series(
            name=entry.name,
            group=group(entry),
            x=resolution_positions(board),
            y=[100 * value for value in line],
            labels=[f"{entry.name}\n{r}: {percent(v)} %" for r, v in zip(resolutions, line, strict=True)],
            emphasis="strong" if entry.own else "normal",
            marker="star" if entry.own else "circle",
        )
        for entry, line in zip(board.entries, accuracy.tolist(), strict=True)
    ]
    level = {} if chance is None else {"level": 100 * chance, "level_name": f"chance, {percent(chance)} %"}
    return Chart(
        name=name,
        title=title,
        panels=[Panel(title="", series=series, **level)],
        x=resolution_axis(board),
        y=Axis(label=f"{what}, percent", limits=(0, 100)),
        alt=f"{title}, one line for each of {len(board.entries)} models, at {', '.join(resolutions)}.",
        columns=1,
        groups=site.groups,
    )
