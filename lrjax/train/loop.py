"""The training loop: data in, checkpoints out, continued where it stopped."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh
from tqdm import tqdm

from lrjax.config import Config
from lrjax.data.datasets import open_training_source
from lrjax.data.loader import training_batches
from lrjax.errors import UserError
from lrjax.models.zoo import Backbone
from lrjax.predict import Predictor
from lrjax.results import content_key
from lrjax.sharding import put_batch, replicated
from lrjax.train.distill import Distiller
from lrjax.train.optim import make_optimizer
from lrjax.train.trainable import adaptation_of, check_method
from lrjax.types import Tree


def total_steps(config: Config, images: int) -> int:
    """Returns the number of optimizer steps of a configuration on a data set of `images` images."""
    return config.train.steps or config.train.epochs * (images // config.train.batch_size)


def check_training(config: Config, row: Backbone, mesh: Mesh) -> tuple[Any, int]:
    """Checks a training before anything long is done.

    Args:
        config: the run.
        row: the backbone.
        mesh: the devices.

    Returns:
        The source of the training images and the number of optimizer steps.

    Raises:
        UserError: the images are missing or too few, the batch does not divide over the devices, or the backbone
            cannot be trained as the options say.
    """
    options = config.train
    check_method(options, row)
    if options.batch_size % (mesh.size * options.microbatches):
        parts = f" in {options.microbatches} microbatches" if options.microbatches > 1 else ""
        raise UserError(
            f"config.train.batch_size {options.batch_size} does not divide over {mesh.size} devices{parts}; "
            f"use a multiple of {mesh.size * options.microbatches}"
        )
    # The embedded backbone was trained on rendered images of seed 0; its tokens see others.
    source = open_training_source(options.root, count=options.count, seed=config.seed + 1)
    if len(source) < options.batch_size:
        raise UserError(
            f"config.train.root {options.root!r} gives {len(source)} images, which fill no batch of "
            f"{options.batch_size}; add images or use a smaller config.train.batch_size"
        )
    return source, total_steps(config, len(source))


def train_tokens(config: Config, predictor: Predictor, *, weights: str) -> Tree:
    """Trains what the options say, or continues or restores an earlier training of the same configuration.

    Args:
        config: the run; checkpoints lie in `workdir/tokens`.
        predictor: the frozen backbone.
        weights: hash of the backbone's weights.

    Returns:
        The adaptation of the backbone, as in `models.adaptation`: {"tokens": float32 [L + 1, N, D]} by default.

    Raises:
        UserError: the batch does not divide over the devices, there are too few images, or the checkpoints in the
            working directory belong to another configuration.
    """
    options, mesh = config.train, predictor.mesh
    source, steps = check_training(config, predictor.row, mesh)
    batches = training_batches(
        source,
        options.batch_size // jax.process_count(),
        seed=config.seed,
        size=options.image_size,
        shard=(jax.process_index(), jax.process_count()),
        workers=config.data.workers,
    )
    distiller = Distiller(
        predictor.row,
        predictor.encoders,
        options,
        make_optimizer(options, predictor.row.spec.image.blocks.depth, steps),
    )
    init = jax.jit(lambda frozen: distiller.init(config.seed, frozen), out_shardings=replicated(mesh))
    state = init(predictor.params)
    key = content_key(
        weights=weights,
        model=config.model,
        options=dataclasses.asdict(options) | {"save_every": 0},
        seed=config.seed,
        precision=config.precision,
        images=source.fingerprint,
    )
    with Checkpoints(Path(config.workdir) / "tokens", key, save_every=options.save_every) as checkpoints:
        state = checkpoints.restore(state, batches)
        first = int(state["step"])
        if first < steps:
            step = distiller.make_step(mesh, config.seed)
        progress = tqdm(
            range(first, steps), desc="LR-TK0", unit="step", initial=first, total=steps, disable=jax.process_index() > 0
        )
        if first < steps:
            progress.set_postfix_str("first step, compiles")
        previous = None
        for index in progress:
            batch = next(batches)
            images = put_batch(batch["image"], mesh)
            captions = put_batch(caption_numbers(batch, options.captions), mesh) if options.captions else None
            state, log = step(state, predictor.params, images, captions)
            if previous is not None:  # one step behind, so that a step is always under way
                progress.set_postfix(loss=f"{float(previous['loss']):.3f}", scale=f"{float(previous['scale']):.1f}")
            previous = log
            checkpoints.save(index + 1, state, batches, last=index + 1 == steps)
    return adaptation_of(state["trainable"], predictor.row.spec.image)


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
            "train on images that were generated from numbered captions, or set config.train.captions to 0"
        )
    numbers = np.asarray(batch["label"])
    for number, name in zip(numbers, batch["id"], strict=True):
        if not 0 <= number < captions:
            raise UserError(
                f"training image {name} has caption {number}, but config.train.captions={captions} counts 0 to "
                f"{captions - 1}; raise it"
            )
    return numbers.astype(np.int32)


class Checkpoints:
    """Tokens, optimizer, step and data position of one training in one directory, written by orbax.

    Args:
        directory: where they lie.
        key: hash of what determines the training; other checkpoints are refused.
        save_every: steps between checkpoints.
    """

    def __init__(self, directory: Path, key: str, *, save_every: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=2, save_interval_steps=save_every)
        self.directory, self.key = directory, key
        self.manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.close()

    def save(self, step: int, state: Tree, batches: Any, *, last: bool) -> None:
        """Writes a checkpoint if one is due; the last step is always written."""
        if not (last or self.manager.should_save(step)):
            return
        position = {"key": self.key, "data": _plain(batches.get_state())}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), position=ocp.args.JsonSave(position))
        self.manager.save(step, args=items, force=True)

    def restore(self, state: Tree, batches: Any) -> Tree:
        """Returns the newest state and moves the batches to its position; without a checkpoint the state is unchanged.

        Raises:
            UserError: the newest checkpoint belongs to another configuration.
        """
        newest = self.manager.latest_step()
        if newest is None:
            return state
        position = self.manager.restore(newest, args=ocp.args.Composite(position=ocp.args.JsonRestore())).position
        if position["key"] != self.key:
            raise UserError(
                f"{self.directory} holds tokens that were trained with other options; "
                "use another config.workdir or remove the directory"
            )
        batches.set_state(position["data"])
        return self.manager.restore(newest, args=ocp.args.Composite(state=ocp.args.StandardRestore(state))).state


def _plain(state: Any) -> Any:
    return json.loads(json.dumps(state, default=lambda value: np.asarray(value).tolist()))
