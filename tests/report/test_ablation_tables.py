"""Rows of an ablation, compared by hand."""

import math

import pytest

from lrjax.config import Ablation
from lrjax.display.tables import Spread
from lrjax.report.ablation_tables import Line, ablation_chart, ablation_table, compare, metric_tables, order_table

ABLATION = Ablation(
    title="Positions",
    rows=(("none", {}), ("all", {}), ("late", {}), ("last", {})),
    metrics=("sar16", "war16"),
    paper={"none": {"sar16": 38.0}, "all": {"sar16": 42.0}, "late": {"sar16": 40.0}, "last": {"sar16": 40.0}},
    axis="train.first_block",
)
VANILLA = {"sar16": 70.0, "war16": None}


def line(*values, position=0):
    trained = {seed: {"sar16": value, "war16": 50.0} for seed, value in enumerate(values)}
    return Line(model="m", vanilla=VANILLA, trained=trained, position=position)


LINES = {
    "none": line(),
    "all": line(71.0, 72.0, 76.0),  # mean 73, deviation sqrt((4 + 1 + 9) / 2)
    "late": line(72.0, 74.0, 75.0, position=2),
    "last": line(69.0, 67.0, 68.0, position=3),
}


def test_pairs():
    pairs = {(pair.better, pair.worse): pair for pair in compare(ABLATION, LINES)}
    # "late" and "last" are equal in the paper, and war16 is not in it
    assert list(pairs) == [("all", "none"), ("late", "none"), ("last", "none"), ("all", "late"), ("all", "last")]
    found = {key: (pair.paper, pair.difference, pytest.approx(pair.error), pair.verdict) for key, pair in pairs.items()}
    error = math.sqrt(7 / 3)
    assert found == {
        ("all", "none"): (4.0, 3.0, error, "undecided"),  # 3 is below 2 * 1.53
        ("late", "none"): (2.0, pytest.approx(11 / 3), pytest.approx(math.sqrt(7 / 9)), "holds"),
        ("last", "none"): (2.0, -2.0, pytest.approx(1 / math.sqrt(3)), "reversed"),
        ("all", "late"): (2.0, pytest.approx(-2 / 3), pytest.approx(math.sqrt(7 / 9)), "undecided"),  # -1, -2, 1
        ("all", "last"): (2.0, 5.0, pytest.approx(math.sqrt(3)), "holds"),  # 2, 5, 8
    }


def test_one_seed_decides_nothing_and_rows_without_training_need_none():
    single = {"none": line(), "all": line(90.0)}
    assert [(pair.error, pair.verdict) for pair in compare(ABLATION, single)] == [(None, "undecided")]
    other = Line(model="n", vanilla={"sar16": 60.0, "war16": 1.0})
    pair = compare(ABLATION, {"all": line(), "late": other})[0]
    assert (pair.difference, pair.error, pair.verdict) == (10.0, 0.0, "holds")
    undefined = Line(model="n", vanilla={"sar16": None, "war16": None})
    assert compare(ABLATION, {"all": line(), "late": undefined}) == []


def test_pairs_are_over_the_seeds_that_both_have():
    fewer = {"all": line(71.0, 72.0), "late": LINES["late"]}
    (pair,) = compare(ABLATION, fewer)
    assert (pair.difference, pair.error) == (-1.5, 0.5)
    assert "Fewer seeds: all." in ablation_table(ABLATION, fewer, weighing="w").caption


def test_table():
    table = ablation_table(ABLATION, LINES, weighing="all alike")
    assert table.header[:5] == ("Row", "SAR-16 paper", "SAR-16 paper gain", "SAR-16 here", "SAR-16 gain")
    assert table.rows[0] == ("none", 38.0, None, Spread(70.0, None), None, None, None, None, None)
    assert table.rows[1][:5] == ("all", 42.0, 4.0, Spread(73.0, pytest.approx(math.sqrt(7))), 3.0)
    assert table.rows[3][5:] == (None, None, Spread(50.0, 0.0), None)
    assert "SAR-16 does not hold (2 holds, 1 reversed, 2 undecided of 5 pairs)" in table.caption
    assert "over the seeds 0, 1, 2" in table.caption
    assert "All alike." in table.caption
    assert table.csv().splitlines()[2].startswith("all,42.0000,4.0000,73.0000,2.6458,3.0000,")
    first, second = metric_tables(table)
    assert (first.title, second.title) == (f"{table.title}: SAR-16", f"{table.title}: WAR-16")
    assert first.header == ("Row", "paper", "paper gain", "here", "gain")
    assert [row[:5] for row in table.rows] == list(first.rows)
    assert (second.header, second.rows[3]) == (("Row", "here"), ("last", Spread(50.0, 0.0)))
    assert (first.caption, second.caption) == ("", table.caption)
    assert order_table(compare(ABLATION, LINES)).rows[0] == (
        "SAR-16", "all", "none", "undecided", 4.0, 3.0, pytest.approx(math.sqrt(7 / 3)),
    )  # fmt: skip


def test_chart_along_the_axis():
    chart = ablation_chart(ABLATION, LINES)
    (panel,) = chart.panels
    (series,) = panel.series  # the WAR of the backbone is undefined
    assert (series.name, series.x, panel.level) == ("SAR-16", (0, 2, 3), 0)
    assert (series.y[0], series.y[2]) == (3.0, -2.0)
    assert (series.low[2], series.high[2]) == (-3.0, -1.0)
    assert chart.x.label == "first block"
