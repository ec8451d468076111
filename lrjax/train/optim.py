"""The optimizer of the tokens: LAMB with warm-up, cosine decay, clipping and layer-wise rates."""

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


def make_optimizer(config: Train, depth: int, total_steps: int) -> optax.GradientTransformation:
    """Builds the optimizer for a tree {"tokens": tuple of L + 1 tables, "log_scale": scalar}.

    Args:
        config: rates and decays.
        depth: number of blocks L.
        total_steps: length of the schedule; the warm-up is shortened to a tenth of it where it would be longer.

    Returns:
        Clipping by global norm, then LAMB per table (its trust ratio is per tensor, as in PyTorch), with weight decay
        on the tables only.
    """
    warmup = min(config.warmup_steps, total_steps // 10)

    def lamb(rate: float, weight_decay: float) -> optax.GradientTransformation:
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, total_steps)
        return optax.lamb(schedule, weight_decay=weight_decay, eps=1e-6)

    rates = layer_rates(depth, config.layer_decay)
    groups = {f"table{i}": lamb(config.learning_rate * factor, config.weight_decay) for i, factor in enumerate(rates)}
    groups["scale"] = lamb(config.scale_learning_rate, 0.0)

    def labels(_: Tree) -> Tree:
        return {"tokens": tuple(f"table{i}" for i in range(depth + 1)), "log_scale": "scale"}

    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.multi_transform(groups, labels))
