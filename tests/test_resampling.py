"""Replicates of SAR, WAR and their differences, by hand and against a plain loop over resampled images."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from lrjax.display.tables import Estimate
from lrjax.errors import UserError
from lrjax.leaderboard.bootstrap import Replicates, read_accuracies
from lrjax.leaderboard.scores import Results
from lrjax.metrics import robustness
from lrjax.metrics.intervals import REPLICATES, interval
from lrjax.report.run_tables import run_tables
from lrjax.results.row import Row

CLASSES = {"a": 4, "b": 10}
SIZES = {"a": 150, "b": 90}
SYSTEMS = (("M", "vanilla"), ("M", "lr_tk0"), ("N", "vanilla"))
SIDES = (16, "hr")
TABLES = ("intervals", "differences", "intervals_per_dataset")


def make(*, shift=()):
    """Rows and samples of three systems; images of the models in `shift` have other labels."""
    rows, arrays, rng = [], {}, np.random.default_rng(1)
    for dataset, n in SIZES.items():
        for model, variant in SYSTEMS:
            for side in SIDES:
                key = f"{model}-{variant}-{dataset}-{side}"
                label = (np.arange(n) + (model in shift)) % CLASSES[dataset]
                correct = rng.random(n) < (0.8 if side == "hr" else 0.4 + 0.2 * (variant == "lr_tk0"))
                top5 = np.where(correct, label, (label + 1) % CLASSES[dataset])[:, None]
                order = rng.permutation(n)
                arrays[key] = {"index": order, "label": label[order], "top5": top5[order]}
                fields = {"model": model, "variant": variant, "dataset": dataset, "key": key}
                fields["condition"] = {"resolution": side}
                rows.append(
                    Row(
                        **fields,
                        metric="acc1",
                        value=correct.mean(),
                        n=n,
                        config_hash="c",
                        question="zeroshot",
                        kind="zeroshot",
                        question_version=1,
                        seed=0,
                        versions={},
                        extra={"classes": CLASSES[dataset]},
                    )
                )
    return rows, arrays


@pytest.fixture(scope="module")
def made():
    return make()


def hits(arrays, key):
    found = arrays[key]
    order = np.argsort(found["index"])
    return (found["top5"][:, 0] == found["label"])[order]


def test_scores_against_a_loop(made):
    rows, arrays = made
    weights = {"a": 3.0, "b": 1.0}
    replicates = Replicates(Results(rows, weights=weights, samples=arrays.get))
    rng, drawn = np.random.default_rng(2), []
    for _ in range(REPLICATES):
        chosen = {dataset: rng.integers(n, size=n) for dataset, n in SIZES.items()}
        by_system = []
        for model, variant in (("M", "lr_tk0"), ("N", "vanilla")):
            gamma, improved = {}, {}
            for dataset, images in chosen.items():
                low = hits(arrays, f"{model}-{variant}-{dataset}-16")[images].mean()
                high = hits(arrays, f"{model}-vanilla-{dataset}-hr")[images].mean()
                gamma[dataset] = robustness.relative_robustness(low, high)
                improved[dataset] = robustness.improved_robustness(low, high, CLASSES[dataset])
            by_system.append((robustness.sar(gamma), robustness.war(improved, weights)))
        drawn.append(by_system)
    expected = np.array(drawn)  # [B, system, score]
    found = np.stack([replicates.scores(*system, 16)[:2] for system in (("M", "lr_tk0"), ("N", "vanilla"))]).transpose(
        2, 0, 1
    )
    np.testing.assert_allclose(np.stack(interval(found)), np.stack(interval(expected)), atol=0.02)
    differences = [one[:, 0] - one[:, 1] for one in (found, expected)]
    np.testing.assert_allclose(*(np.stack(interval(one)) for one in differences), atol=0.02)


def test_the_reference_itself_has_no_spread(made):
    rows, arrays = made
    replicates = Replicates(Results(rows, samples=arrays.get))
    sar, war, accuracy = replicates.scores("N", "vanilla", "hr")
    np.testing.assert_array_equal(sar, 1)
    assert war.max() <= 1
    assert accuracy.std() > 0.01
    assert replicates.relative("M", "lr_tk0", "a", 16).shape == (REPLICATES,)


def measured(rows, arrays):
    """The rows with the accuracies of the arrays."""
    return [dataclasses.replace(row, value=hits(arrays, row.key).mean(), n=len(hits(arrays, row.key))) for row in rows]


def test_models_on_other_images_are_drawn_apart():
    def spread(arrays):
        replicates = Replicates(Results(measured(rows, arrays), samples=arrays.get))
        one, other = (replicates.accuracy(model, "vanilla", "a", "hr") for model in "MN")
        return np.corrcoef(one, other)[0, 1]

    rows, arrays = make(shift=("N",))
    arrays["N-vanilla-a-hr"]["top5"] = arrays["M-vanilla-a-hr"]["top5"]
    assert abs(spread(arrays)) < 0.1
    arrays["N-vanilla-a-hr"] = arrays["M-vanilla-a-hr"]
    assert spread(arrays) == pytest.approx(1)


def test_no_difference_between_models_on_other_images():
    rows, arrays = make(shift=("N",))
    table = run_tables(read_accuracies(rows, samples=arrays.get))["differences"]
    assert [line[3:] for line in table.rows if line[0] == "N"] == [(None,) * 3] * 2
    assert all(None not in line for line in table.rows if line[0] == "M lr_tk0")
    assert "No difference is shown between results on different images." in table.caption


def test_arrays_that_are_not_those_of_the_row_are_refused(made):
    rows, arrays = made
    with pytest.raises(
        UserError, match=r"arrays of N vanilla on a at hr have \d+ of 150 images right, but its accuracy is"
    ):
        Replicates(Results(rows, samples=(arrays | {"N-vanilla-a-hr": arrays["N-vanilla-a-16"]}).get))


def one_set(**right):
    """Rows and samples of one data set of 60 images, with 2 classes; `right`: how many by VARIANT_RESOLUTION."""
    arrays, rows = {}, []
    for name, count in right.items():
        variant, side = name.split("_")
        found = np.arange(60) < count
        arrays[name] = {"index": np.arange(60), "label": np.zeros(60, int), "top5": np.where(found, 0, 1)[:, None]}
        row = dataclasses.replace(
            make()[0][0], variant=variant, condition={"resolution": side if side == "hr" else int(side)}
        )
        rows.append(dataclasses.replace(row, key=name, value=count / 60, n=60, extra={"classes": 2}))
    return rows, arrays


@pytest.mark.parametrize("low", [0, 1, 30, 31, 59, 60])
@pytest.mark.parametrize("high", [29, 30, 31, 59, 60])
def test_every_interval_holds_its_number(low, high):
    rows, arrays = one_set(vanilla_hr=high, vanilla_16=low, tuned_hr=high, tuned_16=30)
    tables = run_tables(read_accuracies(rows, samples=arrays.get))
    cells = [cell for name in TABLES for line in tables[name].rows for cell in line if isinstance(cell, Estimate)]
    assert len(cells) >= 16
    for cell in cells:
        assert cell.low is None or (cell.low <= cell.value <= cell.high and cell.low < cell.high), cell
    accuracy = next(line for line in tables["intervals"].rows if line[:3] == ("M", "vanilla", "16"))[-1]
    expected = stats.binomtest(low, 60).proportion_ci(method="wilson")
    np.testing.assert_allclose((accuracy.low, accuracy.high), [100 * bound for bound in expected], atol=1e-9)
    # the same images are right at full size: the difference is 0, and how far from it the truth may be is known
    difference = next(line for line in tables["differences"].rows if line[2] == "HR")[-1]
    np.testing.assert_allclose((difference.value, difference.low, difference.high), (0, -6.017, 6.017), atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_every_interval_holds_its_number_whatever_the_accuracies(seed):
    rng, rows, arrays = np.random.default_rng(seed), [], {}
    for row in make()[0]:
        n = 40 if row.dataset == "a" else 7
        found = rng.random(n) < rng.choice([0, 0.05, 1 / CLASSES[row.dataset], 0.5, 0.95, 1])
        label = np.arange(n) % CLASSES[row.dataset]
        top5 = np.where(found, label, (label + 1) % CLASSES[row.dataset])[:, None]
        arrays[row.key] = {"index": np.arange(n), "label": label, "top5": top5}
        rows.append(dataclasses.replace(row, value=found.mean(), n=n))
    tables = run_tables(read_accuracies(rows, samples=arrays.get))
    for line in (line for name in TABLES if name in tables for line in tables[name].rows):
        for cell in (cell for cell in line if isinstance(cell, Estimate) and cell.low is not None):
            assert cell.low <= cell.value <= cell.high, line
    for name, column in {"intervals": 5, "differences": 5, "intervals_per_dataset": 4}.items():
        assert all(line[column].low < line[column].high for line in tables[name].rows)


def test_war_at_chance_is_within_its_interval():
    rows, arrays = one_set(vanilla_hr=30, vanilla_16=30)
    war = run_tables(read_accuracies(rows, samples=arrays.get))["intervals"].rows[0][4]
    assert war.value == war.low == 0 and war.high > 50


def test_tables(made):
    rows, arrays = made
    tables = run_tables(read_accuracies(rows, samples=arrays.get))
    scores = tables["intervals"]
    assert scores.header == ("Model", "Variant", "At", "SAR", "WAR", "ACC")
    assert [line[:3] for line in scores.rows] == [(*system, at) for system in SYSTEMS for at in ("16", "HR")]
    table2 = dict(zip(SYSTEMS, tables["table2"].rows, strict=True))
    for model, variant, at, *cells in scores.rows:
        start = tables["table2"].header.index(f"SAR-{at}")
        assert tuple(cell.value for cell in cells) == pytest.approx(table2[model, variant][start : start + 3])
        assert all(cell.low is None or cell.low <= cell.value <= cell.high for cell in cells)
    differences = tables["differences"]
    names = [("M lr_tk0", "vanilla"), ("N", "M")]
    assert [line[:3] for line in differences.rows] == [(*name, at) for name in names for at in ("16", "HR")]
    sar = differences.rows[0][3]
    assert sar.value == pytest.approx(table2["M", "lr_tk0"][3] - table2["M", "vanilla"][3])
    assert 0 < sar.low < sar.value < sar.high  # the tokens were made better by 20 points
    cells = tables["intervals_per_dataset"].rows
    assert len(cells) == len(rows)
    assert [cells[0][:4], cells[0][4].value] == [("M", "vanilla", "a", "16"), pytest.approx(100 * rows[0].value)]
    assert cells[0][5].value == pytest.approx(100 * rows[0].value / rows[1].value)


def test_what_has_no_samples_has_no_interval(made):
    rows, arrays = made
    assert list(run_tables(read_accuracies(rows))) == ["table2", "comparison", "per_dataset"]
    some = {key: value for key, value in arrays.items() if not key.startswith("N-vanilla-b")}
    tables = run_tables(read_accuracies(rows, samples=some.get))
    assert {line[0] for line in tables["intervals"].rows} == {"M"}
    assert {line[0] for line in tables["differences"].rows} == {"M lr_tk0"}
    assert {line[2] for line in tables["intervals_per_dataset"].rows if line[0] == "N"} == {"a"}


def test_robustness_that_is_undefined_in_a_replicate(made):
    rows, arrays = made
    few = np.zeros(SIZES["a"], bool)
    few[0] = True  # two of three replicates have it
    one_right = {"index": np.arange(len(few)), "label": few.astype(int), "top5": np.ones((len(few), 1), int)}
    arrays = arrays | {"N-vanilla-a-hr": one_right}
    rows, options = measured(rows, arrays), {"samples": arrays.get, "classes": {"a": 1000, "b": 10}}
    replicates = Replicates(Results(rows, **options))
    assert replicates.relative("N", "vanilla", "a", 16) is None
    sar, war, accuracy = replicates.scores("N", "vanilla", 16)
    assert sar is None and war is None and accuracy is not None
    line = next(line for line in run_tables(read_accuracies(rows, **options))["intervals"].rows if line[0] == "N")
    assert line[3].value > 0 and (line[3].low, line[3].high) == (None, None)
    assert line[5].low < line[5].high
    # at chance in the data set, so that the score is over the other one, which varies
    line = next(
        line for line in run_tables(read_accuracies(rows, samples=arrays.get))["intervals"].rows if line[0] == "N"
    )
    assert line[3].low < line[3].value < line[3].high
