"""The optimizer of what is trained: LAMB with warm-up, cosine decay, clipping and layer-wise rates."""

from collections.abc import Hashable

import jax
import optax

from lrjax.config import Train
from lrjax.types import Tree


def layer_rates(depth: int, decay: float) -> tuple[float, ...]:
    """Factors of the learning rate for the L + 1 token tables.

    Args:
        depth: number of blocks L.
        decay: layer decay in (0, 1]; 1 gives equal rates.

    Returns:
        L + 1 factors: 1 for the table after patchify, decay^(L - i) for the one at the input of block i. The official
        code assigns layers by parameter name; its rule, read for these names, gives these factors.
    """
    return (1.0, *(decay ** (depth - i) for i in range(depth)))


def rate_schedule(config: Train, rate: float, total_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step: linear warm-up, then a cosine to zero.

    Args:
        config: the training options.
        rate: the peak.
        total_steps: length; the warm-up is shortened to a tenth of it where it would be longer.
    """
    return optax.warmup_cosine_decay_schedule(0.0, rate, min(config.warmup_steps, total_steps // 10), total_steps)


def make_optimizer(config: Train, depth: int, total_steps: int) -> optax.GradientTransformation:
    """Builds the optimizer for the trainable tree of `train.distill.Distiller`.

    The prompts and the caption classifier have the full rate, block i has the factor of the table at its input times
    `unfrozen_rate`.

    Args:
        config: rates and decays.
        depth: number of blocks L.
        total_steps: length of the schedule.

    Returns:
        Clipping by global norm, then LAMB per tensor, with weight decay on tables and matrices only. The trust ratio is
        that of every tensor, as published (arXiv 1904.00962, algorithm 2); the LAMB of the official code has none for
        tensors without weight decay, of which LR-TK0 trains one, the temperature.
    """

    def lamb(rate: float) -> optax.GradientTransformation:
        schedule = rate_schedule(config, rate, total_steps)
        return optax.lamb(schedule, weight_decay=config.weight_decay, eps=1e-6, mask=_is_matrix)

    whole, *by_block = layer_rates(depth, config.layer_decay)
    rates = {"whole": whole, **{f"table{i}": factor for i, factor in enumerate(by_block)}}
    if config.unfrozen:
        rates |= {f"block{i}": factor * config.unfrozen_rate for i, factor in enumerate(by_block)}
    groups: dict[Hashable, optax.GradientTransformation] = {
        name: lamb(config.learning_rate * factor) for name, factor in rates.items()
    }
    groups["scale"] = lamb(config.scale_learning_rate)

    def labels(trainable: Tree) -> Tree:
        kinds = {
            "tokens": lambda tables: tuple(_table(depth - len(tables) + i) for i in range(len(tables))),
            "blocks": lambda blocks: {i: jax.tree.map(lambda _, i=i: f"block{i}", tree) for i, tree in blocks.items()},
            "log_scale": lambda _: "scale",
        }
        return {
            name: kinds[name](branch) if name in kinds else jax.tree.map(lambda _: "whole", branch)
            for name, branch in trainable.items()
        }

    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.multi_transform(groups, labels))


def _table(block: int) -> str:
    """The group of the table at the input of a block; that after patchify is in front of block 0."""
    return "whole" if block < 0 else f"table{block}"


def _is_matrix(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, tree)
