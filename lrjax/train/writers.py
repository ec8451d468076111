"""Where the curves of a training go beside `training.csv`: TensorBoard, Weights & Biases, trackio."""

import importlib
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from lrjax.config import Train
from lrjax.errors import UserError
from lrjax.results.store import write_atomically

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
"""By name in `config.train.log` the package, which is imported only where it is asked for."""
RUN = "log_id.txt"
"""The file that says which run of W&B or trackio a training continues."""


class Writer(Protocol):
    """What takes the curves."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the numbers of a step, which never falls, and occurs again where a step has a score."""
        ...

    def close(self) -> None:
        """Ends the writing; nothing follows."""
        ...


def check_writers(options: Train) -> None:
    """Checks that the packages are there that the options ask for.

    Raises:
        UserError: one is not installed.
    """
    for name in _names(options):
        _package(name)


@contextmanager
def open_writers(
    options: Train, directory: Path, *, first: int, title: str, facts: Mapping[str, Any]
) -> Iterator[tuple[Writer, ...]]:
    """Opens the writers that the options ask for, and closes them.

    Args:
        options: with `log` and `tensorboard`.
        directory: of the training.
        first: the step behind which it goes on; 0 begins a run, later ones continue that of this directory.
        title: what W&B and trackio call the run, with an id behind it.
        facts: what they are told of the training.

    Raises:
        UserError: a package is missing, or cannot begin.
    """
    names = _names(options)
    run = _run(directory, first) if {*names} - {"tensorboard"} else ""
    with ExitStack() as stack:
        opened: list[Writer] = []
        for name in names:
            package = _package(name)
            try:
                if name == "tensorboard":
                    one = _TensorBoard(package, directory, first)
                else:
                    own = {"id": run, "dir": str(directory.absolute()), "allow_val_change": True}
                    one = _Tracker(package, name=f"{title}-{run}", config={**facts}, **(own if name == "wandb" else {}))
            except Exception as error:  # no account, no network, a full disk, ...
                cause = f"{type(error).__name__}: {error}"
                raise UserError(f"{name} cannot begin ({cause}); mend it, or take it out of config.train") from error
            opened.append(stack.enter_context(closing(one)))
        yield tuple(opened)


class _TensorBoard:
    def __init__(self, package: Any, directory: Path, first: int):
        self._events = package.SummaryWriter(str(directory / "tensorboard"), purge_step=first + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        self._events.close()


class _Tracker:
    """W&B, which continues a run by its id, or trackio, which does so by its name; their functions are called alike."""

    def __init__(self, package: Any, **options: Any):
        self._package = package
        package.init(project=os.environ.get("WANDB_PROJECT") or "lrjax", resume="allow", **options)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._package.log(dict(values), step=step)

    def close(self) -> None:
        self._package.finish()


def _names(options: Train) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(["tensorboard"] if options.tensorboard else []), *options.log)))


def _package(name: str) -> Any:
    try:
        return importlib.import_module(PACKAGES[name])
    except ImportError as error:
        package = PACKAGES[name]
        raise UserError(f"{name} of config.train needs {package}; pip install {package}, or take {name} out") from error


def _run(directory: Path, first: int) -> str:
    path = directory / RUN
    if first and path.is_file():
        return path.read_text().strip()
    run = uuid.uuid4().hex[:8]
    write_atomically(path, f"{run}\n")
    return run
