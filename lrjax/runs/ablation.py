"""Ablations: several trainings that differ in a few keys, each with several seeds, in one table beside the paper's.

    python -m lrjax.main --config configs/table14.py:embedded

Every training has a folder of its own in the working directory, `rows/ROW/SEED`, and continues where it stopped;
results lie in one store, so that the backbone as it is is evaluated once.
"""

import dataclasses
import functools
import gc
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from lrjax.config import Ablation, Config
from lrjax.display.charts import png
from lrjax.display.tables import print_tables
from lrjax.errors import UserError
from lrjax.leaderboard.scores import HIGH_RESOLUTION, Results, weighing
from lrjax.report.ablation_tables import (
    Line,
    Scores,
    ablation_chart,
    ablation_table,
    compare,
    metric_tables,
    order_table,
)
from lrjax.report.write import table_files
from lrjax.results.lock import locked
from lrjax.results.output_folder import write_files
from lrjax.results.row import Row
from lrjax.results.store import ResultStore
from lrjax.runs.config_reader import check_key, from_mapping
from lrjax.runs.run import Run
from lrjax.runs.stages import evaluate_backbone, train_backbone
from lrjax.runs.suite import Suite
from lrjax.train.loop import check_tokens, check_training
from lrjax.weights.checkpoint import check_source
from lrjax.weights.naming import Model, run_models

_LOG = logging.getLogger(__name__)

_MAY_CHANGE = ("model", "source", "name", "train")
_SCORES = ("sar", "war", "acc")


def row_configs(config: Config) -> dict[str, Config]:
    """Returns the configuration of every row of an ablation, with `rows/ROW` in the working directory as its own.

    Raises:
        UserError: a row changes a key that is unknown or that all rows share, a value is wrong, two rows have one
            folder, no row trains, or the axis is no number.
    """
    rows: dict[str, Config] = {}
    for name, changes in config.ablation.rows:
        if shared := [key for key in changes if key not in _MAY_CHANGE]:
            raise UserError(
                f"row {name!r} of config.ablation.rows changes {shared[0]}; rows may change {', '.join(_MAY_CHANGE)} "
                "only, for they are evaluated alike"
            )
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        own = {"ablation": {}, "workdir": str(Path(config.workdir, "rows", slug))}
        try:
            rows[name] = from_mapping(Config, _merged(dataclasses.asdict(config) | own, changes))
        except UserError as error:
            raise UserError(f"row {name!r} of config.ablation.rows: {error}") from error
    for (name, row), (other, same) in itertools.combinations(rows.items(), 2):
        if row.workdir == same.workdir:
            raise UserError(f"rows {name!r} and {other!r} of config.ablation.rows have one folder; rename one of them")
    if not any(map(_trains, rows.values())):
        raise UserError("no row of config.ablation.rows trains; set config.train.steps or config.train.epochs")
    if axis := config.ablation.axis:
        check_key(axis)
        for name, row in rows.items():
            if not isinstance(_value(row, axis), int | float):
                raise UserError(f"config.ablation.axis: {axis} is {_value(row, axis)!r} in row {name!r}, not a number")
    return rows


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    groups = {key: _merged(values[key], new) for key, new in changes.items() if isinstance(values.get(key), Mapping)}
    return {**values, **changes, **groups}


def _trains(config: Config) -> bool:
    return bool(config.train.steps or config.train.epochs)


def _value(config: Config, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def run_ablation(config: Config, mesh: Mesh) -> None:
    """Runs all rows of an ablation with all seeds, prints their table and writes it to `report/` as files.

    What is finished is found again. A training that fails is left out of the table; the others go on.

    Args:
        config: the run, with `ablation.rows`.
        mesh: the devices.

    Raises:
        UserError: the config, the data or a checkpoint is wrong, or a training has failed.
    """
    rows = row_configs(config)
    model_of = _models(rows)
    models = tuple(dict.fromkeys(model_of.values()))
    suite = Suite(config, models, mesh=mesh)
    for name, row in rows.items():
        if _trains(row):
            check_training(row, mesh, row=model_of[name].row)
        check_source(model_of[name].row, model_of[name].source)
    lines: dict[str, Line] = {}
    with locked(config.workdir):
        store = ResultStore(config.workdir)
        for model in models:
            group = {name: row for name, row in rows.items() if model_of[name] == model}
            lines |= _run_rows(Run(config=config, suite=suite, store=store, mesh=mesh), group, model)
            gc.collect()  # parameters lie in cycles, and those of two backbones may not fit
        lines = {name: lines[name] for name in rows if name in lines}
        if lines and jax.process_index() == 0:
            _report(config, lines, suite)
    done = {name: lines[name].trained if name in lines else () for name in rows if _trains(rows[name])}
    if failed := [f"{name}, seed {seed}" for name in done for seed in config.ablation.seeds if seed not in done[name]]:
        raise UserError(
            f"{len(failed)} trainings failed: {'; '.join(failed)}; see the warnings above, and run the same command "
            "again, which keeps what is finished"
        )


def _models(rows: Mapping[str, Config]) -> dict[str, Model]:
    """The model of every row; different ones have different names."""
    found = {name: run_models(row)[0] for name, row in rows.items()}
    for (name, model), (other, same) in itertools.combinations(found.items(), 2):
        if model.name == same.name and model != same:
            raise UserError(
                f"rows {name!r} and {other!r} of config.ablation.rows have different models of the name "
                f"{model.name!r}; set name in one of them"
            )
    return found


def _run_rows(run: Run, rows: Mapping[str, Config], model: Model) -> dict[str, Line]:
    """Runs the rows of one model; those of which every training fails are left out."""
    ablation, row, weights, lines = run.config.ablation, model.row, model.weights, {}
    trainings = {
        name: _trainings(changed, ablation.seeds) if _trains(changed) else {} for name, changed in rows.items()
    }
    for training in itertools.chain.from_iterable(by_seed.values() for by_seed in trainings.values()):
        check_tokens(training, check_training(training, run.mesh, row=row)[0], row=row, weights=weights)
    predictor, vanilla = evaluate_backbone(run, model)
    for name, by_seed in trainings.items():
        trained = {}
        for seed, training in by_seed.items():
            _LOG.info("%s, seed %d", name, seed)
            try:
                variant = f"{name}, seed {seed}"
                own = dataclasses.replace(run, config=training)
                found = train_backbone(own, model, predictor, vanilla, variant=variant)
            except Exception as error:
                if jax.process_count() > 1:  # others would wait for a process that goes on alone
                    raise
                cause = None if isinstance(error, UserError) else error
                _LOG.warning("%s, seed %d, is left out: %s", name, seed, error, exc_info=cause)
            else:
                trained[seed] = found
        if (trained or not by_seed) and jax.process_index() == 0:
            lines[name] = _line(ablation, rows[name], vanilla, trained, run.suite)
    return lines


def _trainings(row: Config, seeds: Sequence[int]) -> dict[int, Config]:
    return {seed: dataclasses.replace(row, seed=seed, workdir=str(Path(row.workdir, str(seed)))) for seed in seeds}


def _line(
    ablation: Ablation, row: Config, vanilla: Sequence[Row], trained: Mapping[int, Sequence[Row]], suite: Suite
) -> Line:
    def read(rows: Sequence[Row]) -> Results:
        # rows of equal trainings are found under the name of the first of them
        renamed = [dataclasses.replace(one, variant="trained") for one in rows]
        return Results([*vanilla, *renamed], datasets=suite.names, weights=suite.war_weights)

    def scores(rows: Sequence[Row]) -> Scores:
        results, variant = read(rows), "trained" if rows else "vanilla"
        return {metric: _score(results, vanilla[0].model, variant, metric) for metric in ablation.metrics}

    return Line(
        model=f"{row.model} {row.source}",
        vanilla=scores([]),
        trained={seed: scores(found) for seed, found in trained.items()},
        position=_value(row, ablation.axis) if ablation.axis else None,
        notes=tuple(read([]).notes()),
    )


def _score(results: Results, model: str, variant: str, metric: str) -> float | None:
    kind, at = metric[:3], metric[3:]
    scores = results.scores(model, variant, at if at == HIGH_RESOLUTION else int(at))
    assert scores is not None  # every row of an ablation is evaluated at every resolution of its metrics
    found = scores[_SCORES.index(kind)]
    return None if found is None else 100 * float(found)


def _report(config: Config, lines: Mapping[str, Line], suite: Suite) -> None:
    ablation, folder = config.ablation, Path(config.workdir) / "report"
    table = ablation_table(ablation, lines, weighing=weighing(suite.war_weights, suite.names))
    pairs = compare(ablation, lines)
    tables = {"ablation": table} | ({"order": order_table(pairs)} if pairs else {})
    files: dict[str, str | bytes] = {}
    for name, one in tables.items():
        files |= {f"{name}.{suffix}": content for suffix, content in table_files(one).items()}
    if ablation.axis and config.report.plots and any(line.trained for line in lines.values()):
        files["ablation.png"] = png.draw(ablation_chart(ablation, lines))
    write_files(files, folder, command="ablation")
    print_tables(metric_tables(table))
    _LOG.info("tables: %s", folder)
