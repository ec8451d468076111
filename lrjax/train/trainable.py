"""The tree of what is trained: how it begins and which part of it the student needs."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float32, PRNGKeyArray

from lrjax.config import Train
from lrjax.errors import UserError
from lrjax.models.adaptation import last_blocks
from lrjax.models.lr_tokens import init_lr_tokens, stack_tables
from lrjax.models.robust_token import init_denoisers, init_robust_token
from lrjax.models.spec import ImageSpec
from lrjax.models.zoo import Backbone
from lrjax.types import Array, Tree


def transformer(row: Backbone) -> ImageSpec:
    """Returns the image tower of a backbone.

    Raises:
        UserError: it is no vision transformer.
    """
    if (spec := row.spec.image.transformer) is None:
        raise UserError(
            f"{row.name} is a ResNet and has no patch rows to add LR tokens to; choose a vision transformer as "
            "config.model, or set config.train.steps and config.train.epochs to 0 to evaluate it only"
        )
    return spec


def check_method(config: Train, row: Backbone) -> None:
    """Checks that a backbone can be trained as the options say.

    Args:
        config: the training options.
        row: the backbone.

    Raises:
        UserError: it is no vision transformer, has no block `first_block`, or no class token to replace.
    """
    spec = transformer(row)
    if config.robust_token and not spec.reads_class_token:
        raise UserError(
            f"{row.name} does not read its embedding from a class token, which config.train.robust_token replaces; "
            "choose another config.model, for instance one of CLIP or EVA, or set it to False"
        )
    depth = spec.blocks.depth
    if config.first_block >= depth:
        raise UserError(
            f"config.train.first_block is {config.first_block}, but {row.name} has the blocks 0 to {depth - 1}"
        )


def init_trainable(config: Train, spec: ImageSpec, key: PRNGKeyArray, params: Tree | None = None) -> Tree:
    """Draws the initial trainable tree.

    Args:
        config: the training options.
        spec: the image tower.
        key: consumed.
        params: parameters of the backbone; only unfrozen blocks need them.

    Returns:
        "log_scale" float32 [], ln(1 / 0.07), and as the options say
            "tokens": tuple of tables [N, D]: L + 1, or one per block from `first_block` on;
            "prompts": [P, D], uniform as in VPT (arXiv 2203.12119), section 4;
            "blocks": copies of the last blocks by their number;
            "robust_token" and "denoisers": of `models.robust_token`;
            "classifier": "kernel" [E, K] and "bias" [K], uniform within 1 / sqrt(E), as PyTorch begins linear layers.
    """
    prompt_key, kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, 1), 3)
    robust_key, denoiser_key = jax.random.split(jax.random.fold_in(key, 2))
    trainable: Tree = {"log_scale": jnp.log(jnp.float32(1 / 0.07))}
    if config.tokens:
        tables = init_lr_tokens(spec, key, std=config.token_std)
        trainable["tokens"] = tuple(tables[config.first_block + 1 if config.first_block else 0 :])
    if config.prompts:
        bound = math.sqrt(6 / (3 * spec.patch**2 + spec.blocks.width))
        trainable["prompts"] = _uniform(prompt_key, (config.prompts, spec.blocks.width), bound)
    if config.unfrozen:
        assert params is not None
        trainable["blocks"] = last_blocks(params, max(1, round(config.unfrozen * spec.blocks.depth)))
    if config.robust_token:
        trainable["robust_token"] = init_robust_token(spec, robust_key)
        trainable["denoisers"] = init_denoisers(spec, denoiser_key)
    if config.captions:
        bound = spec.embedding**-0.5
        trainable["classifier"] = {
            "kernel": _uniform(kernel_key, (spec.embedding, config.captions), bound),
            "bias": _uniform(bias_key, (config.captions,), bound),
        }
    return trainable


def adaptation_of(trainable: Tree, spec: ImageSpec) -> Tree:
    """Returns the part of a trainable tree that embeds images, as `models.adaptation` takes it."""
    adaptation = {name: trainable[name] for name in ("prompts", "blocks", "robust_token") if name in trainable}
    if "tokens" in trainable:
        adaptation["tokens"] = stack_tables(trainable["tokens"], spec)
    return adaptation


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], bound: float) -> Float32[Array, "..."]:
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)
