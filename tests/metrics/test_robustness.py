"""Robustness metrics against hand-computed values (those of the paper are in tests/published)."""

import math

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.metrics import robustness as rb


def test_paper_tables_name_the_same_fifteen_data_sets():
    assert list(rb.PAPER_WEIGHTS) == list(rb.PAPER_CLASS_COUNTS)
    assert len(rb.PAPER_WEIGHTS) == 15


def test_relative_robustness_by_hand():
    np.testing.assert_array_equal(rb.relative_robustness([0.25, 0.0, 0.75], [0.5, 0.5, 0.5]), [0.5, 0.0, 1.5])
    assert rb.relative_robustness(0.25, 0.5) == 0.5


def test_modified_model_is_measured_against_the_vanilla_reference():
    # vanilla 0.8 -> 0.4; modified 0.6 at high resolution, 0.48 at low: 0.48 / 0.8, not 0.48 / 0.6
    assert math.isclose(rb.relative_robustness(0.48, 0.8), 0.6)
    assert math.isclose(
        rb.improved_robustness(0.48, 0.8, 4, alpha=2.0), 0.6 * (1 - math.exp(-2 * 0.55**2)), rel_tol=1e-14
    )


def test_accuracy_gap_by_hand():
    np.testing.assert_allclose(rb.accuracy_gap([0.5, 0.1], [4, 2]), [0.25, -0.4], rtol=1e-15)


def test_improved_robustness_by_hand():
    # E = 0.1 gives exp(-200 * 0.01) = exp(-2)
    assert math.isclose(rb.improved_robustness(0.3, 0.6, 2), 0.5 * (1 - math.exp(-2)), rel_tol=1e-12)
    assert math.isclose(rb.improved_robustness(0.3, 0.6, 2, alpha=500), 0.5 * (1 - math.exp(-5)), rel_tol=1e-12)


def test_improved_robustness_vanishes_at_chance():
    assert rb.improved_robustness(0.1, 0.1, 10) == 0
    assert rb.improved_robustness(0.1, 0.1001, 10) < 1e-5
    assert rb.relative_robustness(0.1, 0.1) == 1


def test_sar_war_mean_by_hand():
    values = {"a": 0.5, "b": 1.0}
    assert rb.sar(values) == 0.75
    assert rb.war(values, {"a": 3.0, "b": 1.0}) == 0.625
    assert rb.war(values, {"b": 1.0, "a": 3.0}) == 0.625  # by name, not by position
    assert rb.mean_accuracy({"a": 0.25, "b": 0.5}) == 0.375


def test_war_renormalises_over_the_common_data_sets_only_when_asked():
    values, weights = {"a": 0.5, "b": 1.0, "x": 0.1}, {"a": 3.0, "b": 1.0, "c": 5.0}
    with pytest.raises(UserError, match=r"no weight for x and no result for c.*renormalise"):
        rb.war(values, weights)
    assert rb.war(values, weights, missing="renormalise") == 0.625
    with pytest.raises(UserError, match="sum to 0"):
        rb.war({"x": 0.1}, weights, missing="renormalise")
    with pytest.raises(UserError, match="unknown"):
        rb.war(values, weights, missing="ignore")


@pytest.mark.parametrize(
    "call",
    [lambda: rb.sar({}), lambda: rb.war({}, {"a": 1.0}), lambda: rb.war({"a": 1.0}, {}), lambda: rb.mean_accuracy({})],
)
def test_nothing_to_average_is_an_error(call):
    with pytest.raises(UserError, match="at least one data set"):
        call()


@pytest.mark.parametrize("bad", [69.6, 1.001, -0.1, float("nan")])
def test_percent_and_other_non_fractions_are_refused_by_name(bad):
    names = ["cars", "pets"]
    with pytest.raises(UserError, match=r"accuracy of data set 'pets'.*fractions"):
        rb.relative_robustness([0.5, bad], [0.5, 0.5], datasets=names)
    with pytest.raises(UserError, match=r"reference accuracy of data set 'pets'"):
        rb.improved_robustness([0.5, 0.5], [0.5, bad], [10, 10], datasets=names)
    with pytest.raises(UserError, match="'pets'"):
        rb.mean_accuracy({"cars": 0.5, "pets": bad})
    with pytest.raises(UserError, match="position 1"):
        rb.accuracy_gap([0.5, bad], 10)


def test_non_finite_robustness_is_refused_by_name():
    with pytest.raises(UserError, match="'pets'"):
        rb.sar({"cars": 0.5, "pets": float("nan")})


def test_reference_of_zero_is_an_error_that_names_the_data_set():
    with pytest.raises(UserError, match=r"data set 'aircraft' is 0.*undefined"):
        rb.relative_robustness([0.1, 0.0], [0.2, 0.0], datasets=["cars", "aircraft"])
    # one reference for several resolutions: [R, D] against [D]
    with pytest.raises(UserError, match="'cars'"):
        rb.relative_robustness(np.zeros((3, 2)), [0.0, 0.2], datasets=["cars", "aircraft"])


def test_class_count_below_two_is_an_error():
    with pytest.raises(UserError, match=r"class count of data set 'pets' is 1"):
        rb.accuracy_gap([0.5, 0.5], [37, 1], datasets=["cars", "pets"])
