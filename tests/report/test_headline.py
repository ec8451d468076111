"""The short table of a terminal: means, halves of intervals and marks, against Wilson's and Tango's intervals."""

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from scipy.stats import binomtest

from lrjax.display.tables import print_tables
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.scores import Results
from lrjax.metrics.intervals import difference_interval
from lrjax.questions.headline import headline_table
from lrjax.report.dataset_chart import by_dataset_chart
from lrjax.report.headline import headline_tables, short_table
from lrjax.results.row import Row

IMAGES = 100
# how many of the images are right; those of lr_tk0 at 16 are all of vanilla and more
RIGHT = {("vanilla", 16): 40, ("vanilla", "hr"): 80, ("lr_tk0", 16): 60, ("lr_tk0", "hr"): 79}


def row(variant, resolution, value, **changes):
    fields = {
        "model": "M",
        "variant": variant,
        "dataset": "a",
        "condition": {"resolution": resolution},
        "metric": "acc1",
        "value": value,
        "n": IMAGES,
        "key": f"{changes.get('model', 'M')}-{variant}-{resolution}",
        "config_hash": "c1",
        "question": "zeroshot",
        "kind": "zeroshot",
        "question_version": 1,
        "seed": None,
        "versions": {},
        "extra": {"classes": 2},
    }
    return Row(**(fields | changes))


def samples(right):
    labels = np.zeros(IMAGES, int)
    return {"index": np.arange(IMAGES), "label": labels, "top5": (np.arange(IMAGES) >= right)[:, None].astype(int)}


@pytest.fixture
def replicates():
    rows = [row(*name, right / IMAGES) for name, right in RIGHT.items()]
    arrays = {f"M-{variant}-{at}": samples(right) for (variant, at), right in RIGHT.items()}
    return Replicates(Results(rows, samples=arrays.get))


def half(right):
    low, high = stats.binomtest(right, IMAGES).proportion_ci(0.95, method="wilson")
    return f"{50 * (high - low):.1f}"


def test_means_halves_and_marks(replicates):
    table = short_table(replicates)
    assert table.title == "M: mean top-1 accuracy, a"
    assert table.header == ("Variant", "16", "HR")
    assert table.rows == (
        ("vanilla", f"40.0±{half(40)} ", f"80.0±{half(80)} "),
        ("lr_tk0", f"60.0±{half(60)}▲", f"79.0±{half(79)} "),
    )
    assert table.caption == "Percent ± half of the 95% interval; ▲▼ significantly above, below vanilla."
    means, differences = headline_tables(replicates)
    assert [tuple(cell[0] for cell in line[2:]) for line in means.rows] == [(40, 80), (60, pytest.approx(79))]
    hits = [np.arange(IMAGES) < right for right in (60, 40)]
    assert differences.rows[0][:2] == ("M lr_tk0", "vanilla")
    assert differences.rows[0][2] == pytest.approx((20, *(100 * one for one in difference_interval(*hits))))


def test_other_models_are_marked_against_the_first():
    rows = [row("vanilla", "hr", 0.8), row("vanilla", "hr", 0.4, model="N")]
    arrays = {"M-vanilla-hr": samples(80), "N-vanilla-hr": samples(40)}
    table = short_table(Replicates(Results(rows, samples=arrays.get)))
    assert table.rows == (("M", f"80.0±{half(80)} "), ("N", f"40.0±{half(40)}▼"))
    assert table.caption.endswith("significantly above, below M.")


def test_an_interval_that_would_leave_the_scale_is_shown_whole():
    table = short_table(Replicates(Results([row("vanilla", "hr", 0.99)], samples={"M-vanilla-hr": samples(99)}.get)))
    low, high = (100 * one for one in binomtest(99, IMAGES).proportion_ci(method="wilson"))
    assert table.rows == (("M", f"99.0 [{low:.1f}, {high:.1f}]"),)
    assert table.caption == "Percent ± half of the 95% interval, or all of it near 0 and 100."


def test_without_arrays_there_is_no_interval_and_no_mark():
    replicates = Replicates(Results([row(*name, right / IMAGES) for name, right in RIGHT.items()]))
    table = short_table(replicates)
    assert [line[1:] for line in table.rows] == [("40.0 ", "80.0 "), ("60.0 ", "79.0 ")]
    assert table.caption == "Percent; no intervals, for there are no per-image arrays."
    (series,) = by_dataset_chart(replicates).series
    assert series.x == pytest.approx((20,)) and series.low == ()


def test_differences_on_other_images_have_no_interval(replicates):
    arrays = {name: replicates.results.samples(name) for name in ("M-vanilla-16", "M-vanilla-hr")}
    arrays |= {f"M-lr_tk0-{at}": samples(RIGHT["lr_tk0", at]) | {"label": np.full(IMAGES, 0)} for at in (16, "hr")}
    arrays["M-lr_tk0-16"]["index"] = np.arange(IMAGES) + 1
    table = short_table(Replicates(Results(list(replicates.results.rows.values()), samples=arrays.get)))
    assert table.rows[1][1] == f"60.0±{half(60)} "


def test_the_chart_of_differences_and_that_of_a_model_alone(replicates):
    chart = by_dataset_chart(replicates)
    (series,) = chart.series
    assert series.name == "M lr_tk0 against vanilla" and chart.title.endswith("at 16 px")
    assert series.x == pytest.approx((20,))
    low, high = difference_interval(*[np.arange(IMAGES) < right for right in (60, 40)])
    assert (series.low[0], series.high[0]) == pytest.approx((100 * low, 100 * high))
    alone = [row("vanilla", at, RIGHT["vanilla", at] / IMAGES) for at in (16, "hr")]
    assert [one.x for one in by_dataset_chart(Replicates(Results(alone))).series] == [(40,), (80,)]
    apart = [row("vanilla", "hr", 0.8), row("lr_tk0", 16, 0.6)]
    assert by_dataset_chart(Replicates(Results(apart))) is None


def test_it_fits_80_columns():
    variants = {"vanilla": 0.5, "lr_tk0": 0.6}
    sides = (16, 32, 64, 128, "hr")
    rows = [
        row(variant, at, value, model=model)
        for model in ("EVA02-B-16", "EVA02-L-14")
        for variant, value in variants.items()
        for at in sides
    ]
    arrays = {one.key: samples(round(100 * one.value)) for one in rows}
    stream = io.StringIO()
    table = short_table(Replicates(Results(rows, samples=arrays.get)))
    print_tables([table], Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    head = [line.split() for line in lines if line.strip().startswith("Model")]
    assert head == [["Model", "16", "32", "64", "128", "HR"]]


def other(variant, dataset, resolution, value, **changes):
    return row(variant, resolution, value, dataset=dataset, metric="ece", kind="own", question="sure", **changes)


def test_the_headline_of_any_question():
    rows = [
        other("vanilla", "a", "hr", 0.25),
        other("vanilla", "b", "hr", 0.75),
        other("lr_tk0", "a", "hr", 0.5),
        other("lr_tk0", "b", "hr", 0.75),
        other("vanilla", "a", 16, 0.25),
        row("vanilla", "hr", 1.0, kind="own"),
    ]
    table = headline_table("Sure", "ece", rows, higher_is_better=False)
    assert table.header == ("Model", "Variant", "16", "HR")
    assert table.rows == (("M", "vanilla", None, "0.5000"), ("M", "lr_tk0", None, "0.6250 (+0.1250)"))
    assert table.caption == (
        "Mean ece over 2 data sets, without intervals. Less of it is better. In brackets the difference to vanilla."
    )
    assert headline_table("Sure", "none", rows, higher_is_better=None).rows == ()
    two = [*rows[:2], other("vanilla", "a", "hr", 0.0, key="k")]
    two[-1] = Row(**{**vars(two[-1]), "question": "again"})
    assert [line[0] for line in headline_table("Sure", "ece", two, higher_is_better=True).rows] == ["sure", "again"]
