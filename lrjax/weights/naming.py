"""The models of a run: what each is called, which backbone it is and where its weights lie."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from lrjax.config import LONGEST_NAME, NOT_IN_NAMES, Config, check_name
from lrjax.data.hub import parse_hub_id
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.row import Backbone
from lrjax.weights.checkpoint import checkpoint_hash, read_metadata
from lrjax.weights.origin import row_for
from lrjax.weights.sources import EMBEDDED, HUB_FILES, is_converted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model of a run.

    Attributes:
        name: what results call it.
        row: the backbone, with the protocol and the numerics of the run.
        source: checkpoint file, converted directory or hub id; "" where there is none.
        release: whether the weights are those that the backbone was published with, as far as their place tells.
    """

    name: str
    row: Backbone
    source: str
    release: bool

    @functools.cached_property
    def weights(self) -> str:
        """Hash of the weights, as `checkpoint_hash`; the first use reads the whole file."""
        return checkpoint_hash(self.source)

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies the model, for the `extra` of its results."""
        return {"backbone": self.row.name, "weights": self.weights, "source": self.source, "release": self.release}


def run_models(config: Config) -> tuple[Model, ...]:
    """Returns the models of a run, in their order.

    Raises:
        UserError: a backbone is unknown, a name cannot be used, or two models have one name.
    """
    models = tuple(_model(config, *entry) for entry in _entries(config))
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise UserError(
            f"config.models names {max(names, key=names.count)!r} twice; remove one, or tell them apart by names of "
            "your own: NAME=BACKBONE=SOURCE"
        )
    return models


def _entries(config: Config) -> list[tuple[str, str, str]]:
    """Name, backbone and source of every model; "" for a name that is left out."""
    return [(config.name, config.model, config.source)] if config.model else list(map(_split, config.models))


def _split(entry: str) -> tuple[str, str, str]:
    first, *others = (part.strip() for part in entry.split("=", 2))
    if len(others) < 2:
        return "", first, "".join(others)
    if _is_backbone(first) and not _is_backbone(others[0]):  # there is a "=" in the name of the file
        return "", first, entry.partition("=")[2].strip()
    check_name("models", first)
    return first, others[0], others[1]


def _is_backbone(name: str) -> bool:
    plain = name.partition("@")[0]
    return any(plain in (row.name, row.architecture) for row in zoo.BACKBONES.values())


def _model(config: Config, name: str, backbone: str, source: str) -> Model:
    row = zoo.with_protocol(row_for(backbone, source), config.protocol, config.pass_order)
    row = zoo.with_numerics(row, config.numerics)
    release = is_release(row, source)
    name = name.strip()
    if name in zoo.BACKBONES and name not in (row.name, row.weights):
        raise UserError(f"the name {name!r} is that of another backbone than {row.name}; give another one")
    default = row.name if release else default_name(row, source)
    return Model(name=name or default, row=row, source=source or row.hub_id, release=release)


def is_release(row: Backbone, source: str) -> bool:
    """Tells by the place of weights whether they are those that a backbone was published with.

    They are if the source is the shipped checkpoint or the hub id of the row, or a file, converted or not, with the
    name that its authors gave it. A file that all repositories of the hub call alike, such as `model.safetensors`, has
    to lie in a folder with the name of the row's repository, or in its place in the cache of the hub.

    Args:
        row: the backbone.
        source: as in `load_params`; "" for the hub id of the row.

    Raises:
        UserError: the source is a damaged converted checkpoint.
    """
    hub_id = parse_hub_id(row.hub_id)
    if source in ("", EMBEDDED) or (hub_id is not None and parse_hub_id(source) == hub_id):
        return True
    path = Path(source)
    converted = is_converted(path)
    name = read_metadata(path).get("source", "") if converted else path.name
    if name in HUB_FILES or (path.is_dir() and not converted):
        repository = hub_id.repository if hub_id else ""
        folders = {repository.partition("/")[2], f"models--{repository.replace('/', '--')}"}
        return bool(repository and not converted and folders & {*path.parts})
    return name != "" and name in (row.source_file, Path(hub_id.file or "").name if hub_id else "")


def default_name(row: Backbone, source: str) -> str:
    """Returns what weights are called that are not the published ones of their backbone.

    Args:
        row: the backbone.
        source: as in `load_params`.

    Returns:
        The stem of the file, or the name of its folder where all repositories of the hub call it alike, the name of the
        directory, or that of the repository on the hub; without characters that a name may not have, and with "@SIZE"
        behind it where the input size is not that of the weights.
    """
    name = "".join(letter if letter.isprintable() and letter not in NOT_IN_NAMES else "-" for letter in _place(source))
    size = f"@{row.spec.image.size}" if row.resized else ""
    return (name.strip() or "model")[: LONGEST_NAME - len(size)] + size


def _place(source: str) -> str:
    path = Path(os.path.abspath(source))
    hub_id = None if path.exists() or path.parent.is_dir() else parse_hub_id(source)
    if hub_id is not None:
        path = Path(hub_id.snapshot, hub_id.file or "")
    if path.is_dir() or (hub_id is not None and not hub_id.file):
        return _folder(path)
    return _folder(path.parent) if path.name in HUB_FILES else _stem(path.name)


def _folder(path: Path) -> str:
    """The name of a folder, or of its repository where it is in the cache of the hub."""
    cached = [part for part in path.parts if part.startswith("models--")]
    return cached[-1].rpartition("--")[2] if cached else path.name


def _stem(name: str) -> str:
    """The name of a file, without suffix, and of the weights in it that are chosen (FILE:ENTRY)."""
    file, colon, entry = name.partition(":")
    return Path(file).stem + colon + entry
