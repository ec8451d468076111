"""The training loop: data in, checkpoints out, continued where it stopped."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from lrjax.config import Config
from lrjax.data.datasets import open_training_source
from lrjax.data.loader import training_batches
from lrjax.data.source import Source
from lrjax.display.progress import Progress
from lrjax.errors import UserError
from lrjax.models.predict import Predictor
from lrjax.models.zoo import Backbone
from lrjax.sharding import from_first, own_rows, put_batch
from lrjax.train.checkpoints import Checkpoints
from lrjax.train.distill import Distiller
from lrjax.train.guard import check_numbers, listen, loss_bound
from lrjax.train.optim import make_optimizer, rate_schedule
from lrjax.train.outputs import RESULT, Outputs
from lrjax.train.trainable import adaptation_of, check_method, transformer
from lrjax.train.writers import check_writers
from lrjax.types import Tree


def total_steps(config: Config, images: int) -> int:
    """Returns the number of optimizer steps of a configuration on a data set of `images` images."""
    return config.train.steps or config.train.epochs * (images // config.train.batch_size)


def check_training(config: Config, mesh: Mesh, *, row: Backbone) -> tuple[Source, int]:
    """Checks a training before anything long is done.

    Args:
        config: the run.
        mesh: the devices.
        row: the backbone.

    Returns:
        The source of the training images and the number of optimizer steps.

    Raises:
        UserError: the images are missing, too few or without the captions asked for, the batch does not divide over
            the devices, or the backbone cannot be trained as the options say.
    """
    options = config.train
    check_method(options, row)
    check_writers(options)
    if options.batch_size % (mesh.size * options.microbatches):
        parts = f" in {options.microbatches} microbatches" if options.microbatches > 1 else ""
        raise UserError(
            f"config.train.batch_size {options.batch_size} does not divide over {mesh.size} devices{parts}; "
            f"use a multiple of {mesh.size * options.microbatches}"
        )
    # The embedded backbone was trained on rendered images of seed 0; its tokens see others.
    source = open_training_source(
        options.root, count=options.count, seed=config.seed + 1, images_per_caption=options.images_per_caption
    )
    if len(source) < options.batch_size:
        raise UserError(
            f"config.train.root {options.root!r} gives {len(source)} images, which fill no batch of "
            f"{options.batch_size}; add images or use a smaller config.train.batch_size"
        )
    if options.captions:
        last = source[len(source) - 1]  # with the largest number: a source is in the order of the captions
        caption_numbers({name: np.array([last[name]]) for name in ("id", "label") if name in last}, options.captions)
    return source, total_steps(config, len(source))


def check_tokens(config: Config, source: Source, *, row: Backbone, weights: str) -> None:
    """Checks that the checkpoints in the working directory, if there are any, are those of this training.

    Args:
        config: the run.
        source: the training images.
        row: the backbone.
        weights: hash of the backbone's weights.

    Raises:
        UserError: they belong to another configuration.
    """
    folder = Path(config.workdir) / "tokens"
    if from_first(np.array(folder.is_dir())):
        training = _determinants(config, source, row, weights)
        with Checkpoints(folder, training, save_every=config.train.save_every) as checkpoints:
            checkpoints.check()


_LOG = logging.getLogger(__name__)

_INDIFFERENT = ("root", "count", "microbatches", "remat", "save_every", "evaluate_every", "tensorboard", "log")
"""Options under which a training may go on with other values: where the images are, which have a fingerprint of their
own, what a step costs, and what is written."""


def _determinants(config: Config, source: Source, row: Backbone, weights: str) -> dict[str, Any]:
    """All that a training depends on, by name."""
    options = {f"train.{name}": value for name, value in vars(config.train).items() if name not in _INDIFFERENT}
    return options | {
        "weights": weights,
        "model": row.name,
        "architecture": dataclasses.asdict(row.spec),
        "preprocess": vars(row.preprocess),
        "seed": config.seed,
        "precision": config.precision,
        "images": source.fingerprint,
    }


def train_tokens(
    config: Config,
    predictor: Predictor,
    *,
    weights: str,
    source: Source | None = None,
    name: str = "",
    evaluate: Callable[[Tree, int], float] | None = None,
) -> Tree:
    """Trains what the options say, or continues or restores an earlier training of the same configuration.

    `workdir` receives checkpoints (`tokens/`), the course of the training (`training.csv`, `training.png`), the result
    (`tokens.safetensors`) and, with evaluations, the best one so far (`best.safetensors`). SIGTERM to any process saves
    and ends all of them with status 143. A training continues on any number of devices and processes: the images of a
    step, their order and what is drawn for each are the same.

    Args:
        config: the run.
        predictor: the frozen backbone.
        weights: hash of the backbone's weights.
        source: the images, of `check_training`; None checks and opens them.
        name: what the chart of the course calls the model; "" for the name of the backbone.
        evaluate: scores an adaptation after a step, more is better; called if `evaluate_every` says so.

    Returns:
        The adaptation of the backbone, as in `models.adaptation`: {"tokens": float32 [L + 1, N, D]} by default.

    Raises:
        UserError: the batch does not divide over the devices, there are too few images, the checkpoints in the working
            directory belong to another configuration or differ between the processes, the training diverged, or a file
            cannot be written.
    """
    options, mesh, spec = config.train, predictor.mesh, transformer(predictor.row)
    source = check_training(config, mesh, row=predictor.row)[0] if source is None else source
    steps = total_steps(config, len(source))
    optimizer = make_optimizer(options, spec.blocks.depth, steps)
    distiller = Distiller(predictor.row, predictor.encoders, options, optimizer)
    layout = distiller.layout(predictor.params, mesh)
    init = jax.jit(lambda frozen: distiller.init(config.seed, frozen), out_shardings=layout)
    training = _determinants(config, source, predictor.row, weights)
    outputs = Outputs(config, predictor.row, weights=weights, name=name, evaluate=evaluate)
    with Checkpoints(Path(config.workdir) / "tokens", training, save_every=options.save_every) as checkpoints:
        state = checkpoints.restore(init(predictor.params))
        batches = training_batches(
            source,
            options.batch_size,
            seed=config.seed,
            size=options.image_size,
            rows=own_rows(mesh, options.batch_size),
            start=int(state["step"]),
            workers=config.data.workers,
        )
        state = _run_steps(
            state,
            steps,
            config=config,
            predictor=predictor,
            step=distiller.make_step(mesh, config.seed, layout=layout),
            batches=batches,
            checkpoints=checkpoints,
            outputs=outputs,
        )
    adaptation = adaptation_of(state["trainable"], spec)
    outputs.write(RESULT, adaptation, step=steps)
    return adaptation


def _run_steps(
    state: Tree,
    steps: int,
    *,
    config: Config,
    predictor: Predictor,
    step: Callable[..., tuple[Tree, Tree]],
    batches: Iterator[Mapping[str, np.ndarray]],
    checkpoints: Checkpoints,
    outputs: Outputs,
) -> Tree:
    options, mesh, first = config.train, predictor.mesh, int(state["step"])
    bound, rate = loss_bound(options), rate_schedule(options, options.learning_rate, steps)
    hidden = jax.process_index() > 0 or first == steps
    progress = Progress("LR-TK0", steps, unit="step", done=first, note="first step, compiles", hidden=hidden)

    def record(number: int, log: Tree, images: Sequence[str]) -> None:
        numbers = {name: float(value) for name, value in log.items()}
        check_numbers(number, numbers, bound=bound, images=images, newest=checkpoints.newest)
        progress.set_postfix_str(f"loss {numbers['loss']:.3f}, scale {numbers['scale']:.1f}", refresh=False)
        outputs.add(number, numbers | {"learning_rate": float(jnp.asarray(rate(number - 1)))}, images)

    def score(number: int) -> None:
        if options.evaluate_every and number and number % options.evaluate_every == 0:
            stop.saved = checkpoints.newest
            outputs.score(number, adaptation_of(state["trainable"], transformer(predictor.row)))
            stop.saved = ""

    if 0 < first < steps:
        _LOG.info("continues after step %d of %d", first, steps)
    with progress, listen() as stop, outputs.begin(first):
        score(first)  # a killed process may have left it out; finished numbers are found again
        pending, stopping = None, False
        for number in range(first + 1, steps + 1):
            batch = next(batches)
            images = put_batch(batch["image"], mesh)
            captions = put_batch(caption_numbers(batch, options.captions), mesh) if options.captions else None
            state, log = step(state, predictor.params, images, captions)
            if pending is not None:  # one step behind, so that a step is always under way
                record(*pending)
            pending = number, log, batch["id"].tolist()
            before, stopping = stopping, stop.anywhere(mesh)
            asked = stopping if jax.process_count() == 1 else before  # the answer of all takes until the step is done
            evaluating = options.evaluate_every and number % options.evaluate_every == 0
            if asked or evaluating or number == steps or checkpoints.due(number):
                record(*pending)
                pending = None
                checkpoints.save(number, state)
                if stop.anywhere(mesh):
                    stop.saved = checkpoints.newest
                    stop.leave()
                score(number)
            progress.update()
    return state


def caption_numbers(batch: Mapping[str, np.ndarray], captions: int) -> np.ndarray:
    """Returns the number of the caption of every image of a batch, int32 [B].

    Args:
        batch: of `training_batches`, with "label".
        captions: how many captions there are.

    Raises:
        UserError: an image has no number, or one that is not below `captions`.
    """
    if "label" not in batch:
        raise UserError(
            f"training image {batch['id'][0]} has no caption number, which config.train.captions={captions} needs; "
            "train on images that were generated from numbered captions (of procedural ones, set "
            "config.train.images_per_caption), or set config.train.captions to 0"
        )
    numbers = np.asarray(batch["label"])
    for number, name in zip(numbers, batch["id"], strict=True):
        if not 0 <= number < captions:
            raise UserError(
                f"training image {name} has caption {number}, but config.train.captions={captions} counts 0 to "
                f"{captions - 1}; raise it"
            )
    return numbers.astype(np.int32)
