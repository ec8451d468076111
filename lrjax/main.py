"""Loads a backbone, evaluates it, trains LR-TK0 tokens, evaluates again and reports: one program, described by a config.

    python -m lrjax.main --config configs/lr_tk0_eva.py
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import app, flags
from ml_collections import config_flags

from lrjax.checkpoint import checkpoint_hash, load_params
from lrjax.config import Config, from_mapping
from lrjax.data.tokenizers import Tokenizer, get_tokenizer
from lrjax.errors import UserError
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.models import zoo
from lrjax.models.build import abstract_params, count_params
from lrjax.predict import Predictor
from lrjax.report import comparison_table, print_tables, robustness_table, write_report
from lrjax.report_plots import require_matplotlib
from lrjax.results import ResultStore
from lrjax.sharding import PLACEMENTS, make_mesh, place_tree
from lrjax.suite import Suite
from lrjax.train.loop import train_tokens

_LOG = logging.getLogger("lrjax")
_CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe, for instance configs/lr_tk0_eva.py:B-16.", lock_config=True)


def load(config: Config) -> tuple[Predictor, str]:
    """Loads the backbone of a config through the converter onto the mesh.

    Returns:
        The predictor and the hash of the weights.

    Raises:
        UserError: the checkpoint is missing, damaged or not one of this backbone, or there are too few devices.
    """
    mesh, row = make_mesh(config.devices), zoo.get(config.model)
    source = config.source or row.hub_id
    if not source:
        raise UserError(f"{row.name} has no hub id; set config.source to a checkpoint file")
    dtype = jnp.dtype(config.precision)
    params = load_params(row, source, target=abstract_params(row.spec), dtype=config.precision)
    _LOG.info("%s: %s parameters from %s", row.name, f"{count_params(params):,}", source)
    placed = place_tree(params, mesh, PLACEMENTS[config.placement])
    return Predictor(row, placed, _tokenizer(row, source), mesh, dtype=dtype), checkpoint_hash(source)


def _tokenizer(row: zoo.Backbone, source: str) -> Tokenizer:
    name = row.tokenizer
    if name.startswith("file:"):
        name = f"file:{Path(source).parent / name.removeprefix('file:')}"
    return get_tokenizer(name, row.spec.text.context)


def run(config: Config) -> None:
    """Runs a config: evaluate, train if it asks for steps, evaluate again, report.

    Raises:
        UserError: something in the config, the data or the checkpoint is wrong; the message says what and how to mend it.
    """
    if config.report.plots:
        require_matplotlib()
    workdir = Path(config.workdir)
    store = ResultStore(workdir)
    predictor, weights = load(config)
    suite = Suite(config, predictor, store, weights=weights)
    rows = suite.run("vanilla")
    if config.train.steps or config.train.epochs:
        rows += suite.run("lr_tk0", train_tokens(config, predictor, weights=weights))
    if jax.process_index() == 0:
        options = {
            "datasets": config.data.names,
            "weights": PAPER_WEIGHTS if config.report.weights == "paper" else None,
        }
        print_tables([robustness_table(rows, **options), comparison_table(rows, **options)])
        for path in write_report(rows, workdir / "report", plots=config.report.plots, **options):
            _LOG.info("wrote %s", path)
        _LOG.info("results: %s", store.path)


def main(_: Sequence[str]) -> None:
    """Entry point of absl: mistakes of the user become one line and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("jax", "absl", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        if _CONFIG.value is None:
            raise UserError("no recipe; run `python -m lrjax.main --config configs/lr_tk0_eva.py`")
        run(from_mapping(Config, _CONFIG.value.to_dict()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    app.run(main)
