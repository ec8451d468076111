"""The search for the data set weights of WAR: a ranking of models that agrees with chosen data sets (numpy and scipy).

Only the ratios of weights matter, so the search runs over their logarithms, and the weights that it returns are scaled
to a largest weight of the upper bound.
"""

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.optimize import differential_evolution
from scipy.stats import qmc

from lrjax.errors import UserError
from lrjax.metrics.ranking import (
    average_ranks,
    dataset_correlations,
    dataset_ranks,
    finite,
    standardise,
    weighted_scores,
)

PAPER_COEFFICIENTS: dict[str, float] = {
    "imagenet": 0.95,
    "imagenet_v2": 0.95,
    "dtd": 0.95,
    "imagenet_a": 1.0,
    "eurosat": 1.0,
}
"""How much the agreement with each data set counts in the published search (arXiv 2502.03950, equation 2)."""

_Weights = Float64[np.ndarray, "D"]
_Objective = Callable[[Float64[np.ndarray, "S D"]], Float64[np.ndarray, "S"]]

OPTIMIZERS = ("scipy", "ax")
POPULATION = 8  # vectors per data set in one generation


def objective(
    weights: ArrayLike, improved: ArrayLike, coefficients: ArrayLike, *, datasets: Sequence[str] | None = None
) -> Float64[np.ndarray, "..."] | np.float64:
    """The agreement that the search maximises: sum_d c_d * Spearman(WAR, Gamma_d), over models.

    Args:
        weights: w, [..., D], finite; not all 0 in any vector.
        improved: Gamma, [M, D], finite, at least 3 models.
        coefficients: c, [D], finite; not all 0.
        datasets: D names, for error messages.

    Returns:
        [...], at most sum |c|; 0 where the weights give all models the same WAR.

    Raises:
        UserError: as `weighted_scores`; fewer than 3 models, a data set on which all models are equal, or coefficients
        that are all 0.

    Reference: arXiv 2502.03950, equation 2.
    """
    return _agreement(weights, improved, _target(improved, coefficients, datasets))


def _target(improved: ArrayLike, coefficients: ArrayLike, datasets: Sequence[str] | None) -> Float64[np.ndarray, "M"]:
    # A Spearman correlation is a dot product of standardised ranks, so the weighted sum over data sets is one too.
    ranks = dataset_ranks(improved, datasets)
    coefficients = finite(coefficients, "coefficients", 1)
    if len(coefficients) != len(ranks):
        raise UserError(f"there are {len(coefficients)} coefficients for {len(ranks)} data sets; give one for each")
    if not coefficients.any():
        raise UserError("all coefficients are 0, so there is nothing to maximise; give a data set a coefficient")
    return coefficients @ ranks


def _agreement(
    weights: ArrayLike, improved: ArrayLike, target: Float64[np.ndarray, "M"]
) -> Float64[np.ndarray, "..."] | np.float64:
    ranks = standardise(average_ranks(weighted_scores(weights, improved)))
    return np.nan_to_num(ranks) @ target


@dataclass(frozen=True, kw_only=True)
class WeightSearch:
    """The outcome of a search, equal for equal inputs.

    Attributes:
        weights: by data set, within `bounds`, the largest at the upper bound.
        value: the objective at `weights`.
        values: the objective by name of the weighting: "equal" (the mean of Gamma), each of the baselines, "start"
            where one was given, and "found".
        correlations: Spearman correlation by name of the weighting, then by data set.
        coefficients: of the objective, by data set; a data set without one counts 0.
        bounds: of the weights.
        optimizer: "scipy" or "ax".
        seed: of the optimizer.
        evaluations: number of weight vectors that were tried.
    """

    weights: dict[str, float]
    value: float
    values: dict[str, float]
    correlations: dict[str, dict[str, float]]
    coefficients: dict[str, float]
    bounds: tuple[float, float]
    optimizer: str
    seed: int
    evaluations: int


def search_weights(
    improved: ArrayLike,
    datasets: Sequence[str],
    *,
    coefficients: Mapping[str, float] = PAPER_COEFFICIENTS,
    bounds: tuple[float, float] = (0.01, 1.0),
    seed: int = 0,
    start: Mapping[str, float] | None = None,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    generations: int = 1000,
    trials: int = 60,
    optimizer: str = "scipy",
) -> WeightSearch:
    """Searches the data set weights whose WAR ranks the models most like the chosen data sets do.

    The objective is constant between changes of rank, so no gradient is used: differential evolution by default,
    Bayesian optimisation through Ax where `optimizer` is "ax". Equal weights are always among the candidates. Repeating
    a search gives the same weights with the same versions of numpy, scipy and Ax on the same machine.

    Args:
        improved: Gamma, [M, D], finite, at least 3 models.
        datasets: D names.
        coefficients: of the objective by data set; a data set without one counts 0.
        bounds: lowest and highest weight, 0 < lowest < highest.
        seed: of the optimizer, >= 0.
        start: weights by data set that are among the first candidates, scaled and cut to `bounds`; those of other data
            sets are left aside.
        baselines: name to weights by data set, to compare with only, for instance {"published": PAPER_WEIGHTS}; those
            of other data sets are left aside.
        generations: of the differential evolution, each of 8 D weight vectors; "scipy" only.
        trials: number of weight vectors, "ax" only.
        optimizer: "scipy", or "ax" with the package ax-platform.

    Returns:
        The weights with the objective and the correlations before and after.

    Raises:
        UserError: as `objective`; a coefficient for an unknown data set, a data set without weight in `start` or a
        baseline, an option that is out of range, or Ax is not installed.

    Reference: arXiv 2502.03950, equation 2 and Table 11.
    """
    datasets = list(datasets)
    improved = finite(improved, "improved robustness", 2)
    if len(datasets) != improved.shape[1] or len(set(datasets)) < len(datasets):
        raise UserError(f"there are {improved.shape[1]} data sets; name each once, not {', '.join(datasets)}")
    low, high = _check_options(bounds, generations, trials, optimizer)
    chosen = _by_dataset(coefficients, datasets)
    target = _target(improved, chosen, datasets)

    named = {"equal": np.full(len(datasets), high)}
    for name, weights in {**(baselines or {}), **({} if start is None else {"start": start})}.items():
        if name in ("equal", "found") or (name == "start" and "start" in (baselines or {})):
            raise UserError(f"a baseline cannot be named {name!r}; choose another name")
        named[name] = _vector(weights, datasets, name)
    first = [named["equal"]]
    if start is not None:
        first.append(_scaled(named["start"], low, high))

    tried: list[int] = []

    def evaluate(weights: Float64[np.ndarray, "S D"]) -> Float64[np.ndarray, "S"]:
        tried.append(len(weights))
        return np.asarray(_agreement(weights, improved, target))

    if optimizer == "ax":
        found = _search_ax(evaluate, first, (low, high), seed, trials)
    else:
        found = _search_scipy(evaluate, first, (low, high), seed, generations)
    named["found"] = _scaled(found, low, high)

    values = {name: float(_agreement(weights, improved, target)) for name, weights in named.items()}
    correlations = {
        name: dataset_correlations(weighted_scores(weights, improved), improved, datasets=datasets)
        for name, weights in named.items()
    }
    return WeightSearch(
        weights=dict(zip(datasets, named["found"].tolist(), strict=True)),
        value=values["found"],
        values=values,
        correlations={name: dict(zip(datasets, row.tolist(), strict=True)) for name, row in correlations.items()},
        coefficients=dict(zip(datasets, chosen.tolist(), strict=True)),
        bounds=(low, high),
        optimizer=optimizer,
        seed=seed,
        evaluations=sum(tried),
    )


def _check_options(bounds: tuple[float, float], generations: int, trials: int, optimizer: str) -> tuple[float, float]:
    low, high = map(float, bounds)
    if not 0 < low < high < np.inf:
        raise UserError(f"bounds=({low:g}, {high:g}) must be 0 < lowest < highest; leave out data sets instead of 0")
    if generations < 1:
        raise UserError(f"generations={generations} must be at least 1")
    if trials < 1:
        raise UserError(f"trials={trials} must be at least 1")
    if optimizer not in OPTIMIZERS:
        raise UserError(f'optimizer={optimizer!r} is unknown; use "scipy" or "ax"')
    return low, high


def _by_dataset(coefficients: Mapping[str, float], datasets: Sequence[str]) -> _Weights:
    for name in coefficients:
        if name not in datasets:
            close = difflib.get_close_matches(name, datasets, n=3) or list(datasets)
            raise UserError(f"there is a coefficient for the unknown data set {name!r}; take {' or '.join(close)}")
    return np.array([coefficients.get(name, 0.0) for name in datasets], np.float64)


def _vector(weights: Mapping[str, float], datasets: Sequence[str], role: str) -> _Weights:
    missing = [name for name in datasets if name not in weights]
    if missing:
        raise UserError(f"the {role} weights have none for {', '.join(missing)}; add it or leave the data set out")
    vector = finite([weights[name] for name in datasets], f"{role} weights", 1)
    if (vector < 0).any() or not vector.any():
        raise UserError(f"the {role} weights must be 0 or more and not all 0")
    return vector


def _scaled(weights: _Weights, low: float, high: float) -> _Weights:
    return np.clip(weights / weights.max() * high, low, high)


def _search_scipy(
    evaluate: _Objective,
    first: Sequence[_Weights],
    bounds: tuple[float, float],
    seed: int,
    generations: int,
) -> _Weights:
    axes, limits = len(first[0]), np.log(bounds)
    rng = np.random.default_rng(seed)
    population = qmc.LatinHypercube(axes, rng=rng).random(max(POPULATION * axes, 5))  # scipy asks for five at least
    population = limits[0] + population * (limits[1] - limits[0])
    population[: len(first)] = np.clip(np.log(first), *limits)
    best = differential_evolution(
        lambda columns: -evaluate(np.exp(columns.T)),
        [tuple(limits)] * axes,
        init=population,
        maxiter=generations,
        tol=0,
        polish=False,
        updating="deferred",
        vectorized=True,
        rng=rng,
    )
    return np.clip(np.exp(best.x), *bounds)


def _search_ax(
    evaluate: _Objective,
    first: Sequence[_Weights],
    bounds: tuple[float, float],
    seed: int,
    trials: int,
) -> _Weights:
    try:
        # An extra that is large, so that types are checked without it.
        from ax.api.client import Client  # pyright: ignore[reportMissingImports]
        from ax.api.configs import RangeParameterConfig  # pyright: ignore[reportMissingImports]
        from ax.utils.common.logger import set_stderr_log_level  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError('optimizer="ax" needs the package ax-platform: pip install ax-platform') from error
    set_stderr_log_level(logging.WARNING)  # it logs every trial
    # Names of data sets need not be names that Ax accepts.
    names = [f"weight{number}" for number in range(len(first[0]))]
    client = Client(random_seed=seed)
    client.configure_experiment(
        [RangeParameterConfig(name=name, bounds=bounds, parameter_type="float", scaling="log") for name in names]
    )
    client.configure_optimization(objective="agreement")
    client.configure_generation_strategy(initialization_random_seed=seed, initialize_with_center=False)
    best, best_value = first[0], -np.inf
    for number in range(trials):
        if number < len(first):
            index = client.attach_trial(dict(zip(names, first[number].tolist(), strict=True)))
            weights = first[number]
        else:
            ((index, parameters),) = client.get_next_trials(max_trials=1).items()
            weights = np.array([parameters[name] for name in names], np.float64)
        value = float(evaluate(weights[None])[0])
        client.complete_trial(index, raw_data={"agreement": value})
        if value > best_value:
            best, best_value = weights, value
    return best
