"""What was trained for a backbone, as a safetensors file that says for which one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lrjax.checks.finite import LARGEST, is_usable
from lrjax.checks.parse import parse_json
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from lrjax.models.lr_tokens import token_shape
from lrjax.models.robust_token import init_robust_token
from lrjax.models.zoo import Backbone
from lrjax.results.store import write_atomically
from lrjax.types import Tree
from lrjax.weights.streaming import named_leaves

_KEY = "lrjax"  # one key only: safetensors writes several in any order, and equal trainings give equal files


def write_adaptation(path: Path, adaptation: Tree, *, model: str, facts: Mapping[str, Any]) -> None:
    """Writes an adaptation, completely or not at all.

    Args:
        path: the file.
        adaptation: as in `models.adaptation`.
        model: name of the backbone.
        facts: JSON values that are kept with it, such as the recipe.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {name: np.asarray(leaf, np.float32) for name, leaf in named_leaves(adaptation)}
    metadata = {_KEY: json.dumps({"model": model, **facts}, sort_keys=True)}
    try:
        write_atomically(path, save(tensors, metadata))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}); make room and run again") from error


def read_adaptation(path: str | Path, row: Backbone | None = None) -> tuple[Tree, dict[str, Any]]:
    """Reads an adaptation.

    Args:
        path: a file of `write_adaptation`.
        row: the backbone that it is for; None leaves that unchecked.

    Returns:
        The adaptation, of float32 numpy arrays, and the facts that were written with it, "model" among them.

    Raises:
        UserError: the file is missing or none of `write_adaptation`, it was trained for another backbone, or it holds
            numbers that nothing can be computed with.
    """
    if Path(path).is_dir():
        raise UserError(f"{path} is a directory; name a tokens.safetensors, which a training writes into its workdir")
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"token file {path} cannot be read ({error}); name a tokens.safetensors of a training"
        ) from error
    if _KEY not in metadata:
        raise UserError(
            f"{path} holds no trained tokens; name a tokens.safetensors of a training, or convert tokens of the "
            "official LR0.FM code with `python -m checkpoints_conv --tokens`"
        )
    for name, tensor in tensors.items():
        if not is_usable(tensor):
            raise UserError(
                f"{name} of {path} holds NaN, infinite or huge numbers (beyond {LARGEST:.1e}); take the tokens of "
                "another step, or train again"
            )
    facts = _read_facts(path, metadata[_KEY])
    if row is not None:
        _check_model(path, tensors, facts["model"], row)
    adaptation: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *groups, leaf = name.split("/")
        branch = adaptation
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise UserError(
                    f"{path} has tensors named like groups of tensors; name a tokens.safetensors of a training"
                )
        branch[leaf] = tensor
    return adaptation, facts


def _read_facts(path: str | Path, text: str) -> dict[str, Any]:
    try:
        facts = parse_json(text)
    except ValueError as error:
        raise UserError(f"the metadata of {path} is damaged; take the file of the training again") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("model"), str):
        raise UserError(f"the metadata of {path} names no model; take the file of the training again")
    return facts


def _check_model(path: str | Path, tensors: Mapping[str, np.ndarray], model: str, row: Backbone) -> None:
    if (image := row.spec.image.transformer) is None:
        raise UserError(f"{path} was trained for {model}, not for {row.name}, which has no patch rows")
    robust = jax.eval_shape(lambda: init_robust_token(image, jax.random.key(0)))
    expected = {"tokens": token_shape(image)}
    expected |= {name: leaf.shape for name, leaf in named_leaves({"robust_token": robust})}
    blocks = named_leaves(abstract_params(row.spec)["image"]["blocks"])
    shapes = {name: leaf.shape[1:] for name, leaf in blocks}
    for name, tensor in tensors.items():
        if name == "prompts":
            wanted = (len(tensor), image.blocks.width)
        elif name.startswith("blocks/"):
            wanted = shapes.get(name.split("/", 2)[2])
        else:
            wanted = expected.get(name)
        if tensor.shape != wanted:
            raise UserError(
                f"{path} was trained for {model}: its {name} has the shape {list(tensor.shape)}, but {row.name} needs "
                f"{None if wanted is None else list(wanted)}; load {model} instead"
            )
    if model != row.name:
        raise UserError(f"{path} was trained for {model}, not for {row.name}; load {model} instead")
