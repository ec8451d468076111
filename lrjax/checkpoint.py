"""Parameters on disk: foreign checkpoint files, converted directories and the Hugging Face hub."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import orbax.checkpoint as ocp

from lrjax.errors import UserError
from lrjax.types import Tree

EMBEDDED = "embedded"
HUB_PREFIX = "hf-hub:"
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

_METADATA = "model.json"
_PARAMS = "params"
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w./-]+))?")


class Named(Protocol):
    """A zoo row, of which only the name matters here."""

    name: str


def load_params(row: Named, source: str | Path, *, target: Tree, dtype: str | np.dtype | None = None) -> dict[str, Any]:
    """Load the parameters of a model from wherever they are.

    Args:
        row: zoo row of the model; `.name` is compared with the name recorded in a converted directory.
        source: a checkpoint file (.safetensors, .pt, .pth, .bin), a converted directory, "embedded" for the shipped
            checkpoint, or a hub id "ORG/NAME" or "ORG/NAME:FILENAME", with or without "hf-hub:" in front.
        target: nested dictionary of abstract or real arrays that gives every leaf's shape and dtype.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.

    Returns:
        The tree of `target` with numpy arrays as leaves.

    Raises:
        UserError: when the source is missing, damaged or does not fit the model.
    """
    from checkpoints_conv import FORMATS, convert, open_checkpoint, recognise

    path = locate(source)
    if path.is_dir():
        return _load_converted(row.name, path, target=target, dtype=dtype)
    with open_checkpoint(path) as reader:
        table = FORMATS[recognise(reader.keys())].TABLE
        return convert(reader, table, target, dtype=dtype, model=row.name)


def locate(source: str | Path) -> Path:
    """Return where a source lies on this machine, after a download if it is a hub id that is not cached.

    Args:
        source: as in `load_params`.

    Returns:
        Path of a checkpoint file or a converted directory.

    Raises:
        UserError: when the source is missing or cannot be downloaded.
    """
    import checkpoints_conv
    from checkpoints_conv.readers import SUFFIXES

    name = str(source)
    if name == EMBEDDED:
        path = Path(checkpoints_conv.__file__).parent / EMBEDDED / "model.safetensors"
        if not path.is_file():
            raise UserError(f"the shipped checkpoint {path} is missing; install lrjax again or set config.source")
        return path
    path = Path(source)
    if path.exists():
        return path
    matched = _HUB_ID.fullmatch(name.removeprefix(HUB_PREFIX))
    local = not name.startswith(HUB_PREFIX) and ":" not in name and (path.suffix in SUFFIXES or name.startswith("."))
    if matched is None or local:
        raise UserError(
            f"checkpoint {name!r} does not exist; name a file, a converted directory or {HUB_PREFIX}ORG/NAME"
        )
    return _download(matched[1], matched[2])


def save_params(
    tree: Tree,
    directory: str | Path,
    *,
    metadata: Mapping[str, Any],
    files: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Write parameters and their metadata as a converted directory, completely or not at all.

    Args:
        tree: nested dictionary of arrays.
        directory: directory to make; an empty one may exist.
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
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial, replaced = (
        directory.with_name(f".{directory.name}.{os.getpid()}.{role}") for role in ("partial", "replaced")
    )
    try:
        partial.mkdir()
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(partial / _PARAMS, tree)
        for file in files:
            shutil.copyfile(file, partial / file.name)
        (partial / _METADATA).write_text(json.dumps(dict(metadata), indent=2) + "\n")
        if directory.exists():
            directory.rename(replaced)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if replaced.exists() and not directory.exists():
            replaced.rename(directory)
        shutil.rmtree(replaced, ignore_errors=True)


def check_writable(directory: str | Path, *, overwrite: bool = False) -> None:
    """Check that `save_params` may write a directory, to be asked before long work.

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
    if not (directory / _METADATA).is_file():
        raise UserError(
            f"directory {directory} holds no converted checkpoint and is not overwritten; name a new directory"
        )


def read_metadata(directory: str | Path) -> dict[str, Any]:
    """Return the metadata of a converted directory.

    Args:
        directory: directory written by `save_params`.

    Returns:
        What was passed to `save_params` as `metadata`.

    Raises:
        UserError: when it is not a converted directory.
    """
    path = Path(directory) / _METADATA
    try:
        metadata = json.loads(path.read_text())
        if isinstance(metadata, dict) and {"model", "sha256"} <= metadata.keys():
            return metadata
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory} is not a converted checkpoint, {_METADATA} is missing or damaged; convert it again"
        ) from error
    raise UserError(f"{path} lacks the model name or the hash; convert the checkpoint again")


def restore_params(
    directory: str | Path, *, target: Tree | None = None, dtype: str | np.dtype | None = None
) -> dict[str, Any]:
    """Restore the parameters of a converted directory as numpy arrays.

    Args:
        directory: directory written by `save_params`.
        target: nested dictionary that gives every leaf's shape and dtype; None takes what is stored.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.

    Returns:
        Nested dictionary of numpy arrays.

    Raises:
        UserError: when the files are damaged or do not fit the target.
    """
    from checkpoints_conv.rules import parse_dtype

    wanted = None if dtype is None else parse_dtype(dtype)
    path = Path(directory).absolute() / _PARAMS
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = checkpointer.metadata(path).item_metadata.tree
            if target is not None:
                _check_same(stored, target, directory)
            # A numpy leaf asks for a numpy result; the broadcast scalar takes no memory.
            abstract = jax.tree.map(
                lambda leaf: np.broadcast_to(np.zeros((), wanted or leaf.dtype), leaf.shape),
                stored if target is None else target,
            )
            return checkpointer.restore(path, abstract)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"converted checkpoint {directory} is damaged or incomplete; convert it again") from error


def checkpoint_hash(source: str | Path) -> str:
    """Return the hash that says which weights a source holds.

    Args:
        source: as in `load_params`.

    Returns:
        SHA-256 of the file's content in hexadecimal; for a converted directory that of the file it was made from.

    Raises:
        UserError: when the source is missing.
    """
    path = locate(source)
    if path.is_dir():
        return read_metadata(path)["sha256"]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_converted(model: str, directory: Path, *, target: Tree, dtype: str | np.dtype | None) -> dict[str, Any]:
    recorded = read_metadata(directory)["model"]
    if recorded != model:
        raise UserError(
            f"converted checkpoint {directory} holds {recorded}, not {model}; name that model or convert the right file"
        )
    return restore_params(directory, target=target, dtype=dtype)


def _shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    paths, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in paths}


def _check_same(stored: Tree, target: Tree, directory: str | Path) -> None:
    found, expected = _shapes(stored), _shapes(target)
    for path in sorted(found.keys() | expected.keys()):
        if found.get(path) != expected.get(path):
            raise UserError(
                f"parameter {path} of converted checkpoint {directory} has shape {found.get(path, 'nothing')} but "
                f"{expected.get(path, 'nothing')} is expected; convert the checkpoint again"
            )


def _download(repository: str, filename: str | None) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"{HUB_PREFIX}{repository} needs huggingface_hub; run `pip install huggingface_hub`, or name a local file"
        ) from error
    reason: Exception | None = None
    for candidate in (filename,) if filename else HUB_FILES:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, candidate))
        except huggingface_hub.errors.LocalEntryNotFoundError as error:  # neither cached nor reachable
            reason = error
            if not huggingface_hub.constants.HF_HUB_OFFLINE:
                break
        except (huggingface_hub.errors.EntryNotFoundError, huggingface_hub.errors.OfflineModeIsEnabled) as error:
            reason = error
        except (huggingface_hub.errors.HfHubHTTPError, OSError, ValueError) as error:
            reason = error
            break
    looked_for = filename or " or ".join(HUB_FILES)
    raise UserError(
        f"{looked_for} of {HUB_PREFIX}{repository} is neither cached nor reachable ({type(reason).__name__}); "
        "check the name and the connection, or download the file and name its local path"
    ) from reason
