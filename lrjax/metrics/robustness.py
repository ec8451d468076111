"""Robustness of top-1 accuracy against low resolution: one equation of the LR0.FM benchmark per function (numpy,
float64).

Symbols: A_n is the top-1 accuracy at n x n pixels, A_HR the accuracy at the model's own resolution, C the number of
classes. Accuracies are fractions in [0, 1], never percent. For a modified model, `reference` is the A_HR of the model
before the modification, in every equation.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike

from lrjax.errors import UserError

Numbers = Float64[np.ndarray, "..."] | np.float64
"""What equations make of arrays, and of single numbers."""

ALPHA = 200.0
"""Steepness of the factor that discounts models close to chance (100 and 500 were studied too)."""

PAPER_WEIGHTS: dict[str, float] = {
    "imagenet": 0.15556157429688613,
    "imagenet_a": 0.970498446080589,
    "imagenet_v2": 0.2854574367981364,
    "imagenet_r": 0.01,
    "imagenet_sketch": 0.021456095637452655,
    "caltech101": 0.01,
    "dtd": 0.505922498560715,
    "food101": 0.01,
    "sun397": 0.407563119725743,
    "cars": 0.13583821249199218,
    "aircraft": 0.8229545014750042,
    "pets": 0.08995285864599148,
    "flowers102": 0.08972060770047119,
    "eurosat": 1.0,
    "ucf101": 0.01,
}
"""The published data set weights of WAR (arXiv 2502.03950, Table 11): found at 16 x 16, used at every resolution."""

PAPER_CLASS_COUNTS: dict[str, int] = {
    "imagenet": 1000,
    "imagenet_a": 200,
    "imagenet_v2": 1000,
    "imagenet_r": 200,
    "imagenet_sketch": 1000,
    "caltech101": 102,
    "dtd": 47,
    "food101": 102,
    "sun397": 397,
    "cars": 196,
    "aircraft": 102,
    "pets": 37,
    "flowers102": 102,
    "eurosat": 10,
    "ucf101": 101,
}
"""The class counts behind the published numbers. Caltech101 and Food-101 have 101 classes and Aircraft has 100, but the
published ranking counts 102 for each: take these counts to reproduce it, and the true counts for anything else (WAR
moves by less than 0.0005)."""


def _fractions(values: ArrayLike, role: str, datasets: Sequence[str] | None) -> Float64[np.ndarray, "..."]:
    fractions = np.asarray(values, np.float64)
    bad = ~((fractions >= 0) & (fractions <= 1))
    if bad.any():
        name, value = _first(fractions, bad, datasets)
        raise UserError(
            f"the {role}{name} is {value:g}, but accuracies are fractions from 0 to 1; divide percent by 100"
        )
    return fractions


def _first(
    values: Float64[np.ndarray, "..."], bad: Bool[np.ndarray, "..."] | np.bool, datasets: Sequence[str] | None
) -> tuple[str, float]:
    bad = np.broadcast_to(bad, values.shape)
    position = int(np.argmax(bad))
    name = ""
    if datasets is not None:
        name = f" of data set {datasets[position % len(datasets)]!r}"
    elif values.ndim:
        name = f" at position {position}"
    return name, float(values.flat[position])


def relative_robustness(accuracy: ArrayLike, reference: ArrayLike, *, datasets: Sequence[str] | None = None) -> Numbers:
    """The share of the reference accuracy that is left at low resolution, gamma_n = A_n / A_HR.

    Args:
        accuracy: A_n, [...], fractions in [0, 1].
        reference: A_HR, broadcastable to `accuracy`, fractions in (0, 1]; for a modified model the A_HR of the vanilla
            model.
        datasets: names of the data sets along the last axis, for error messages.

    Returns:
        gamma, [...]; above 1 where the low resolution scores higher (this happens in the published results,
        and is kept).

    Raises:
        UserError: an accuracy is outside [0, 1], or a reference is 0, where gamma is undefined.

    Reference: arXiv 2502.03950, relative robustness.
    """
    accuracy = _fractions(accuracy, "accuracy", datasets)
    reference = _fractions(reference, "reference accuracy", datasets)
    if (reference == 0).any():
        name, _ = _first(reference, reference == 0, datasets)
        raise UserError(
            f"the reference accuracy{name} is 0, so relative robustness is undefined; leave it out, or check its "
            "labels and class names"
        )
    return accuracy / reference


def accuracy_gap(reference: ArrayLike, classes: ArrayLike, *, datasets: Sequence[str] | None = None) -> Numbers:
    """How far the reference accuracy is above chance, E = A_HR - 1 / C.

    Args:
        reference: A_HR, [...], fractions in [0, 1]; for a modified model the A_HR of the vanilla model.
        classes: C, broadcastable to `reference`, integers >= 2.
        datasets: names of the data sets along the last axis, for error messages.

    Returns:
        E, [...], negative below chance.

    Raises:
        UserError: an accuracy is outside [0, 1] or there are fewer than two classes.

    Reference: arXiv 2502.03950, accuracy gap.
    """
    reference = _fractions(reference, "reference accuracy", datasets)
    classes = np.asarray(classes, np.float64)
    bad = ~(classes >= 2)
    if bad.any():
        name, value = _first(classes, bad, datasets)
        raise UserError(f"the class count{name} is {value:g}; chance level needs at least 2 classes")
    return reference - 1.0 / classes


def improved_robustness(
    accuracy: ArrayLike,
    reference: ArrayLike,
    classes: ArrayLike,
    *,
    alpha: float = ALPHA,
    datasets: Sequence[str] | None = None,
) -> Numbers:
    """Relative robustness, discounted where the reference is close to chance, Gamma_n = gamma_n * (1 - exp(-alpha *
    E^2)).

    Gamma goes to 0 as A_HR goes to chance: a model that guesses at both resolutions is not robust. The gap enters
    squared, as published, so a reference far below chance is not discounted.

    Args:
        accuracy: A_n, [...], fractions in [0, 1].
        reference: A_HR, broadcastable to `accuracy`, fractions in (0, 1]; for a modified model the A_HR of the vanilla
            model.
        classes: C, broadcastable to `accuracy`, integers >= 2.
        alpha: steepness of the discount, > 0.
        datasets: names of the data sets along the last axis, for error messages.

    Returns:
        Gamma, [...].

    Raises:
        UserError: as `relative_robustness` and `accuracy_gap`.

    Reference: arXiv 2502.03950, improved relative robustness.
    """
    gap = accuracy_gap(reference, classes, datasets=datasets)
    return relative_robustness(accuracy, reference, datasets=datasets) * -np.expm1(-alpha * gap**2)


def _checked(values: Mapping[str, ArrayLike], role: str) -> dict[str, Float64[np.ndarray, "..."]]:
    if not values:
        raise UserError(f"there is no {role} to average; give at least one data set")
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise UserError(f"the {role} of data set {name!r} is {value}; evaluate the data set again or leave it out")
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def sar(robustness: Mapping[str, ArrayLike]) -> Numbers:
    """Simple aggregated robustness: the plain mean of gamma_n over data sets.

    Args:
        robustness: gamma_n by data set, [...], >= 0; the mean is over exactly these data sets.

    Returns:
        SAR-n, [...], 1 for a model that loses nothing.

    Raises:
        UserError: no data set, or a value that is not finite.

    Reference: arXiv 2502.03950, simple aggregated robustness.
    """
    return np.mean(list(_checked(robustness, "relative robustness").values()), axis=0)


def war(
    robustness: Mapping[str, ArrayLike],
    weights: Mapping[str, float],
    *,
    missing: str = "error",
) -> Numbers:
    """Weighted aggregated robustness: sum |Gamma_n * w| / sum |w| over data sets.

    Args:
        robustness: Gamma_n by data set, [...].
        weights: w by data set, for instance `PAPER_WEIGHTS`; not all 0.
        missing: what to do where only one of the two mappings has a data set: "error", or "renormalise" to average over
            the common ones.

    Returns:
        WAR-n, [...].

    Raises:
        UserError: no data set, a data set without weight, a weight without data set, a value that is not finite, or
        weights that sum to 0.

    Reference: arXiv 2502.03950, weighted aggregated robustness and Table 11.
    """
    if missing not in ("error", "renormalise"):
        raise UserError(f'missing={missing!r} is unknown; use "error" or "renormalise"')
    robustness = _checked(robustness, "improved robustness")
    weight_of = _checked(weights, "weight")
    without_weight = [name for name in robustness if name not in weight_of]
    without_value = [name for name in weight_of if name not in robustness]
    if missing == "error" and (without_weight or without_value):
        parts = [f"no weight for {', '.join(without_weight)}"] if without_weight else []
        parts += [f"no result for {', '.join(without_value)}, which have a weight"] if without_value else []
        raise UserError(
            f'{" and ".join(parts)}; complete them, or average over the common data sets with missing="renormalise" '
            "(--subset)"
        )
    common = [name for name in robustness if name in weight_of]
    total = sum(abs(weight_of[name]) for name in common)
    if total == 0:
        raise UserError(f"the weights of {', '.join(robustness)} sum to 0; give at least one of them a weight")
    return sum((abs(robustness[name] * weight_of[name]) for name in common), start=np.zeros(())) / total


def mean_accuracy(accuracies: Mapping[str, ArrayLike]) -> Numbers:
    """The plain mean of top-1 accuracy over data sets (ACC-n).

    Args:
        accuracies: A_n by data set, [...], fractions in [0, 1].

    Returns:
        ACC-n, [...], fractions in [0, 1].

    Raises:
        UserError: no data set, or an accuracy outside [0, 1].
    """
    if not accuracies:
        raise UserError("there is no accuracy to average; give at least one data set")
    return np.mean([_fractions(value, "accuracy", [name]) for name, value in accuracies.items()], axis=0)
