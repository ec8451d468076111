"""The training loop: data in, checkpoints out, continued where it stopped."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh
from tqdm import tqdm

from lrjax.config import Config
from lrjax.data.datasets import open_training_source
from lrjax.data.loader import training_batches
from lrjax.errors import UserError
from lrjax.models.spec import ResNetSpec
from lrjax.models.zoo import Backbone
from lrjax.predict import Predictor
from lrjax.results import content_key
from lrjax.sharding import put_batch, replicated
from lrjax.train.distill import Distiller
from lrjax.train.optim import make_optimizer
from lrjax.types import Array, Tree


def total_steps(config: Config, images: int) -> int:
    """Returns the number of optimizer steps of a configuration on a data set of `images` images."""
    return config.train.steps or config.train.epochs * (images // config.train.batch_size)


def check_training(config: Config, mesh: Mesh, *, row: Backbone) -> tuple[Any, int]:
    """Checks a training before anything long is done.

    Args:
        config: the run.
        mesh: the devices.
        row: the backbone.

    Returns:
        The source of the training images and the number of optimizer steps.

    Raises:
        UserError: the backbone has no patch rows, the images are missing or too few, or the batch does not divide over
            the devices.
    """
    options = config.train
    if isinstance(row.spec.image, ResNetSpec):
        raise UserError(
            f"{row.name} is a ResNet and has no patch rows to add LR tokens to; choose a vision transformer as "
            "config.model, or set config.train.steps and config.train.epochs to 0 to evaluate it only"
        )
    if options.batch_size % mesh.size:
        raise UserError(
            f"config.train.batch_size {options.batch_size} does not divide over {mesh.size} devices; "
            "use a multiple of it"
        )
    # The embedded backbone was trained on rendered images of seed 0; its tokens see others.
    source = open_training_source(options.root, count=options.count, seed=config.seed + 1)
    if len(source) < options.batch_size:
        raise UserError(
            f"config.train.root {options.root!r} gives {len(source)} images, which fill no batch of "
            f"{options.batch_size}; add images or use a smaller config.train.batch_size"
        )
    return source, total_steps(config, len(source))


def check_tokens(config: Config, source: Any, *, row: Backbone, weights: str) -> None:
    """Checks that the tokens in the working directory, if there are any, are those of this training.

    Args:
        config: the run.
        source: the training images.
        row: the backbone.
        weights: hash of the backbone's weights.

    Raises:
        UserError: they belong to another configuration.
    """
    folder = Path(config.workdir) / "tokens"
    if folder.is_dir():
        key = _training_key(config, source, row, weights)
        with Checkpoints(folder, key, save_every=config.train.save_every) as checkpoints:
            checkpoints.position()


def _training_key(config: Config, source: Any, row: Backbone, weights: str) -> str:
    return content_key(
        weights=weights,
        model=row.name,
        architecture=dataclasses.asdict(row.spec),
        preprocess=vars(row.preprocess),
        options=dataclasses.asdict(config.train) | {"save_every": 0},
        seed=config.seed,
        precision=config.precision,
        images=source.fingerprint,
    )


def train_tokens(config: Config, predictor: Predictor, *, weights: str) -> Array:
    """Trains LR-TK0 tokens, or continues or restores an earlier training of the same configuration.

    Args:
        config: the run; checkpoints lie in `workdir/tokens`.
        predictor: the frozen backbone.
        weights: hash of the backbone's weights.

    Returns:
        float32 [L + 1, N, D].

    Raises:
        UserError: as in `check_training`, or the checkpoints in the working directory belong to another configuration.
    """
    options, mesh = config.train, predictor.mesh
    source, steps = check_training(config, mesh, row=predictor.row)
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
    state = jax.device_put(distiller.init(config.seed), replicated(mesh))
    key = _training_key(config, source, predictor.row, weights)
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
            images = put_batch(next(batches)["image"], mesh)
            state, log = step(state, predictor.params, images)
            if previous is not None:  # one step behind, so that a step is always under way
                progress.set_postfix(loss=f"{float(previous['loss']):.3f}", scale=f"{float(previous['scale']):.1f}")
            previous = log
            checkpoints.save(index + 1, state, batches, last=index + 1 == steps)
    return jnp.stack(state["trainable"]["tokens"])


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

    def position(self) -> dict[str, Any] | None:
        """Returns where the newest checkpoint stands, None where there is none.

        Raises:
            UserError: it belongs to another configuration.
        """
        newest = self.manager.latest_step()
        if newest is None:
            return None
        position = self.manager.restore(newest, args=ocp.args.Composite(position=ocp.args.JsonRestore())).position
        if position["key"] != self.key:
            raise UserError(
                f"{self.directory} holds tokens that were trained with other options; "
                "use another config.workdir or remove the directory"
            )
        return position

    def restore(self, state: Tree, batches: Any) -> Tree:
        """Returns the newest state and moves the batches to its position; without a checkpoint the state is unchanged.

        Raises:
            UserError: the newest checkpoint belongs to another configuration.
        """
        if (position := self.position()) is None:
            return state
        batches.set_state(position["data"])
        newest = self.manager.latest_step()
        return self.manager.restore(newest, args=ocp.args.Composite(state=ocp.args.StandardRestore(state))).state


def _plain(state: Any) -> Any:
    return json.loads(json.dumps(state, default=lambda value: np.asarray(value).tolist()))
