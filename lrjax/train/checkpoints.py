"""Checkpoints of a training, from which it continues bit by bit, on any number of devices and processes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from lrjax.errors import UserError
from lrjax.types import Tree


class Checkpoints:
    """What is trained, optimizer and step of one training in one directory, written by orbax.

    The step is the position in the data too. A checkpoint is complete when `save` returns, and only then is an older
    one removed. Of several processes all use it together, in a directory that they share.

    Args:
        directory: where they lie.
        training: what the training depends on, JSON-able values by name; checkpoints of another one are refused.
        save_every: steps between checkpoints.
    """

    def __init__(self, directory: Path, training: Mapping[str, Any], *, save_every: int):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            save_interval_steps=save_every,
            cleanup_tmp_directories=True,  # of a killed process
            enable_async_checkpointing=False,
        )
        self.directory, self.training = directory, json.loads(json.dumps(training))  # as it is read again
        self.manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.close()

    @property
    def newest(self) -> str:
        """The newest checkpoint in words."""
        step = self.manager.latest_step()
        return (
            "there is no checkpoint yet"
            if step is None
            else f"the last good checkpoint is {self.directory / str(step)}"
        )

    def due(self, step: int) -> bool:
        """Returns whether a checkpoint is due after a step."""
        return self.manager.should_save(step)

    def save(self, step: int, state: Tree) -> None:
        """Writes a checkpoint; one of this step that exists is kept.

        Raises:
            UserError: it cannot be written; older ones are untouched.
        """
        if self.manager.latest_step() == step:
            return
        position = {"training": self.training, "step": step}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), position=ocp.args.JsonSave(position))
        try:
            self.manager.save(step, args=items, force=True)
        except (OSError, ValueError, RuntimeError) as error:  # tensorstore tells of a full disk by a ValueError
            raise UserError(
                f"the checkpoint of step {step} cannot be written ({_first_line(error)}); {self.newest}; "
                "make room and run again to continue from there"
            ) from error

    def check(self) -> int | None:
        """Returns the step of the newest checkpoint, None where there is none.

        Raises:
            UserError: it belongs to another configuration, or the processes see different ones.
        """
        newest = self.manager.latest_step()
        if jax.process_count() > 1:
            seen = multihost_utils.process_allgather(np.array(-1 if newest is None else newest))
            if len(set(seen.tolist())) > 1:
                raise UserError(
                    f"the processes see different checkpoints in {self.directory}; give all of them the same "
                    "config.workdir, on a disk that they share"
                )
        if newest is None:
            return None
        position = self._read(newest, position=ocp.args.JsonRestore())
        if "training" not in position:
            raise UserError(
                f"{self.directory} was written by another version of lrjax, which cannot be continued; use another "
                "config.workdir"
            )
        if changed := _differences(position["training"], self.training):
            raise UserError(
                f"{self.directory} holds another training: {'; '.join(changed)}; change it back to continue, or use "
                "another config.workdir"
            )
        return newest

    def restore(self, state: Tree) -> Tree:
        """Returns the newest state, laid out over the devices as the given one, which is returned without a checkpoint.

        Raises:
            UserError: as `check`.
        """
        if (newest := self.check()) is None:
            return state
        return self._read(newest, state=ocp.args.StandardRestore(state))

    def _read(self, step: int, **item: Any) -> Any:
        """One named item of a checkpoint, read as its arguments say."""
        (name,) = item
        return self.manager.restore(step, args=ocp.args.Composite(**item))[name]


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Says what differs, short values with what they were."""
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    changed = [(name, f"{name} was {saved.get(name)!r}, is {wanted.get(name)!r}") for name in names]
    return [text if len(text) < 100 else f"{name} is another" for name, text in changed]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
