"""Parameters on disk: foreign checkpoint files, converted directories and the Hugging Face hub."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Sharding

from lrjax.checks.finite import LARGEST, is_usable
from lrjax.checks.parse import parse_json
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.row import Backbone
from lrjax.types import Tree
from lrjax.weights.fitting import advice
from lrjax.weights.sources import METADATA, locate
from lrjax.weights.streaming import Slice, named_leaves, write_checkpoint

_PARAMS = "params"


def load_params(
    row: Backbone,
    source: str | Path,
    *,
    target: Tree,
    dtype: str | np.dtype | None = None,
    shardings: Tree | None = None,
) -> dict[str, Any]:
    """Load the parameters of a model from wherever they are.

    Args:
        row: zoo row of the model; its weights are compared with those recorded in a converted directory.
        source: a checkpoint file of `checkpoints_conv.open_checkpoint`, with ":ENTRY" behind it where it holds several
            sets of weights, a converted directory, a directory as on the hub, "embedded" for the shipped checkpoint,
            or a hub id "ORG/NAME", "ORG/NAME@REVISION" or "ORG/NAME:FILENAME", with or without "hf-hub:" in front.
        target: nested dictionary of abstract or real arrays that gives every leaf's shape and dtype. Where it is that
            of `zoo.at_size` the source has the input size of the zoo and its position table is resampled.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.
        shardings: sharding of every leaf, of `sharding.tree_shardings`, or None for arrays on the host. Of a converted
            directory every process reads the parts of its own devices only; a file is converted in memory first.

    Returns:
        The tree of `target` with numpy arrays as leaves, or jax arrays where there are shardings.

    Raises:
        UserError: when the source is missing, damaged or does not fit the model.
    """
    from checkpoints_conv import convert, find_table, open_checkpoint, recognise
    from checkpoints_conv.lr0fm import has_tokens
    from checkpoints_conv.rules import parse_dtype

    path = locate(source)
    if dtype is not None:
        wanted = parse_dtype(dtype)
        target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, wanted), target)
    stored = _stored_target(row, target)
    if path.is_dir():
        layout = _check_model(row.weights, path)
        params = restore_params(path, target=stored, shardings=_without_position(shardings, stored is not target))
    else:
        with open_checkpoint(path) as reader:
            if has_tokens(reader.keys()):
                raise UserError(
                    f"{path} holds LR tokens of the LR0.FM code beside its weights; write both into a directory with "
                    f"`python -m checkpoints_conv --model {row.weights} --source {path} --out DIRECTORY`"
                )
            layout = recognise(reader.keys(), source=path)
            with advice(reader, layout):
                params = convert(reader, find_table(layout, row.spec), stored, model=row.name)
    if stored is not target:
        params = _resample_positions(params, row, target, layout)
    return params if shardings is None else jax.tree.map(jax.device_put, params, shardings)


def check_source(row: Backbone, source: str | Path) -> None:
    """Checks that the weights of a backbone are there, after a download if they are on the hub, without reading them.

    Args:
        row: zoo row of the model.
        source: as in `load_params`.

    Raises:
        UserError: no source is named, it is missing or cannot be downloaded, or it is converted from another model.
    """
    if not source:
        raise UserError(f"{row.name} has no hub id; set config.source to a checkpoint file")
    path = locate(source)
    if path.is_dir():
        _check_model(row.weights, path)


def save_slices(
    slices: Iterable[Slice],
    directory: str | Path,
    *,
    target: Tree,
    metadata: Mapping[str, Any],
    files: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Write a converted directory from slices of its leaves, completely or not at all, see `streaming`.

    It is written as `.NAME.PROCESS.partial` beside its place and renamed at the end. A killed process leaves that
    hidden directory behind, which nothing reads and which may be deleted.

    Args:
        slices: parts that fill every leaf, for instance of `checkpoints_conv.read_slices`.
        directory: directory to make; an empty one may exist.
        target: nested dictionary that gives every leaf's shape and dtype.
        metadata: JSON values stored beside the parameters; "model" (name) and "sha256" (of the source) are required.
        files: files that are copied beside the parameters, such as a tokenizer.
        overwrite: replace a converted directory of the same name.

    Raises:
        UserError: when the directory holds something that may not be replaced.
    """
    directory = Path(directory).absolute()
    check_writable(directory, overwrite=overwrite)
    missing = {"model", "sha256"} - metadata.keys()
    if missing:
        raise ValueError(f"metadata lacks {sorted(missing)}")
    description = json.dumps(dict(metadata), indent=2) + "\n"
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial, replaced = (
        directory.with_name(f".{directory.name}.{os.getpid()}.{role}") for role in ("partial", "replaced")
    )
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process that had the same number
    try:
        partial.mkdir()
        write_checkpoint(partial / _PARAMS, slices, target=target)
        for file in files:
            shutil.copyfile(file, partial / file.name)
        (partial / METADATA).write_text(description)
        if directory.exists():
            directory.rename(replaced)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if replaced.exists() and not directory.exists():
            replaced.rename(directory)
        shutil.rmtree(replaced, ignore_errors=True)


def check_writable(directory: str | Path, *, overwrite: bool = False) -> None:
    """Check that `save_slices` may write a directory, to be asked before long work.

    Args:
        directory: directory to make.
        overwrite: whether a converted directory may be replaced.

    Raises:
        UserError: when it is a file, or not empty and not a converted directory that may be replaced.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; name a new directory")
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not overwrite:
        raise UserError(f"directory {directory} is not empty; name a new directory or ask to overwrite it (--force)")
    if not (directory / METADATA).is_file():
        raise UserError(
            f"directory {directory} holds no converted checkpoint and is not overwritten; name a new directory"
        )


def read_metadata(directory: str | Path) -> dict[str, Any]:
    """Return the metadata of a converted directory.

    Args:
        directory: directory written by `save_slices`.

    Returns:
        What was passed to `save_slices` as `metadata`.

    Raises:
        UserError: when it is not a converted directory.
    """
    path = Path(directory) / METADATA
    try:
        metadata = parse_json(path.read_text(encoding="utf-8"))
        if isinstance(metadata, dict) and all(isinstance(metadata.get(key), str) for key in ("model", "sha256")):
            return metadata
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory} is not a converted checkpoint, {METADATA} is missing or damaged; convert it again"
        ) from error
    raise UserError(f"{path} lacks the model name or the hash; convert the checkpoint again")


def restore_params(
    directory: str | Path,
    *,
    target: Tree | None = None,
    dtype: str | np.dtype | None = None,
    shardings: Tree | None = None,
) -> dict[str, Any]:
    """Restore the parameters of a converted directory, on the host or straight onto a mesh.

    Args:
        directory: directory written by `save_slices`.
        target: nested dictionary that gives every leaf's shape and dtype; None takes what is stored.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.
        shardings: for every leaf its sharding, or None for a numpy array; None for numpy arrays throughout. Every
            process reads the parts of its own devices only.

    Returns:
        Nested dictionary of numpy arrays, or of jax arrays where there is a sharding.

    Raises:
        UserError: when the files are damaged, do not fit the target, or hold numbers that nothing can be computed with.
    """
    from checkpoints_conv.rules import parse_dtype

    wanted = None if dtype is None else parse_dtype(dtype)
    path = Path(directory).absolute() / _PARAMS

    def abstract(leaf: Any, sharding: Sharding | None) -> Any:
        if sharding is None:  # A numpy leaf asks for a numpy result; the broadcast scalar takes no memory.
            return np.broadcast_to(np.zeros((), wanted or leaf.dtype), leaf.shape)
        return jax.ShapeDtypeStruct(leaf.shape, wanted or leaf.dtype, sharding=sharding)

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = checkpointer.metadata(path).item_metadata.tree
        if target is not None:
            _check_same(stored, target, directory)
        tree = stored if target is None else target
        layout = jax.tree.map(lambda _: None, tree) if shardings is None else shardings
        parts = jax.tree.leaves(jax.tree.map(_part_bytes, stored, layout))
        # What is read at a time and not yet on its device, in place of Orbax's 96 GB.
        with ocp.StandardCheckpointer(restore_concurrent_gb=1 + 2 * max(parts) // 10**9) as checkpointer:
            params = checkpointer.restore(path, jax.tree.map(abstract, tree, layout))
    except UserError:
        raise
    except Exception as error:
        # Errors of reading a part for a device come as bare exceptions.
        damage = OSError | ValueError | KeyError | AttributeError | TypeError | RecursionError
        if type(error) is not Exception and not isinstance(error, damage):
            raise
        raise UserError(f"converted checkpoint {directory} is damaged or incomplete; convert it again") from error
    _check_values(params, directory)
    return params


def checkpoint_hash(source: str | Path) -> str:
    """Return the hash that says which weights a source holds.

    Args:
        source: as in `load_params`.

    Returns:
        SHA-256 of the file's content in hexadecimal; for a converted directory that of what it was made from, and with
        another dtype than float32, to which weights are rounded, a hash of both. That of a checkpoint in several files,
        or of chosen weights in a file ("FILE:ENTRY"), covers all of them and the entry.

    Raises:
        UserError: when the source is missing.
    """
    from checkpoints_conv.readers import files_of, split_entry

    path = locate(source)
    if path.is_dir():
        metadata = read_metadata(path)
        found, dtype = metadata["sha256"], metadata.get("dtype", "float32")
        return found if dtype == "float32" else hashlib.sha256(f"{found} {dtype}".encode()).hexdigest()
    file, entry = split_entry(path)
    digests = [_digest(part) for part in files_of(file)]
    if len(digests) == 1 and not entry:
        return digests[0]
    return hashlib.sha256("\n".join([entry, *digests]).encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"checkpoint file {path} cannot be read ({error.strerror}); check the path") from error


def _check_model(model: str, directory: Path) -> str:
    """Returns the format that a converted directory was made from, after a look at which model it holds."""
    metadata = read_metadata(directory)
    if metadata["model"] != model:
        raise UserError(
            f"converted checkpoint {directory} holds {metadata['model']}, not {model}; name that model or convert the "
            "right file"
        )
    return metadata.get("format", "")


def _stored_target(row: Backbone, target: Tree) -> Tree:
    """Returns the target, with the position table of the zoo's input size if the row has another size."""
    native = zoo.BACKBONES.get(row.weights)
    if not row.resized or native is None or native.spec.image.rows == row.spec.image.rows:
        return target
    shape = (native.spec.image.rows, native.spec.image.position_width)
    return {**target, "image": {**target["image"], "position": jax.ShapeDtypeStruct(shape, np.float32)}}


def _without_position(shardings: Tree | None, resized: bool) -> Tree | None:
    """Returns the shardings, without that of the position table if it has to be resampled on the host."""
    if shardings is None or not resized:
        return shardings
    return {**shardings, "image": {**shardings["image"], "position": None}}


def _resample_positions(params: dict[str, Any], row: Backbone, target: Tree, layout: str) -> dict[str, Any]:
    from checkpoints_conv import position_kernel, resample_positions

    image = row.spec.image
    table = resample_positions(
        params["image"]["position"],
        image.grid,
        prefix=image.rows - image.grid**2,
        kernel=position_kernel(layout),
    )
    params["image"]["position"] = table.astype(target["image"]["position"].dtype)
    return params


def _check_values(params: Tree, directory: str | Path) -> None:
    """Refuses parameters that nothing can be computed with; those on devices are looked at there, in one program."""
    leaves = dict(named_leaves(params))
    placed = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, jax.Array)}
    usable = {name: is_usable(leaf) for name, leaf in leaves.items() if name not in placed}
    usable |= jax.device_get(jax.jit(_usable_on_device)(placed)) if placed else {}
    for name, fine in usable.items():
        if not fine:
            raise UserError(
                f"parameter {name} of converted checkpoint {directory} holds NaN, infinite or huge numbers (beyond "
                f"{LARGEST:.1e}); convert an undamaged file"
            )


def _usable_on_device(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: (jnp.abs(leaf) <= LARGEST).all() for name, leaf in leaves.items()}


def _part_bytes(leaf: Any, sharding: Sharding | None) -> int:
    """Returns the bytes of the chunks that the part of one device, or a whole leaf on the host, touches at most."""
    part = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    sides = zip(leaf.shape, part, leaf.storage.chunk_shape, strict=True)
    touched = (min(size, -(-own // side) * side + (side if own % side else 0)) for size, own, side in sides)
    return math.prod(touched) * np.dtype(leaf.dtype).itemsize


def _check_same(stored: Tree, target: Tree, directory: str | Path) -> None:
    found, expected = ({name: tuple(leaf.shape) for name, leaf in named_leaves(tree)} for tree in (stored, target))
    for path in sorted(found.keys() | expected.keys()):
        if found.get(path) != expected.get(path):
            raise UserError(
                f"parameter {path} of converted checkpoint {directory} has shape {found.get(path, 'nothing')} but "
                f"{expected.get(path, 'nothing')} is expected; convert the checkpoint again"
            )
