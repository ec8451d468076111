"""Which backbone a source of weights holds, where its name or the file itself tells."""

import re
from pathlib import Path

from lrjax.data.hub import parse_hub_id
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.backbones import GENERIC_FILE
from lrjax.models.row import Backbone
from lrjax.weights.checkpoint import read_metadata
from lrjax.weights.sources import EMBEDDED, is_converted, locate

_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/")
_OPENAI_SCALARS = {"input_resolution", "context_length", "vocab_size"}  # of every archive of OpenAI, and of no other


def row_for(name: str, source: str | Path) -> Backbone:
    """Returns the row that a name means for a source of weights.

    Shapes do not tell the activation. A bare architecture is therefore taken only where one checkpoint of it exists
    and has the activation of open_clip's configuration of that name, or where the source says which one it is: by its
    hub id, the metadata of a conversion or an export, the released file's name, or as an archive of OpenAI.

    Args:
        name: as in `zoo.get`.
        source: as in `checkpoint.load_params`; "" for the hub id of the row.

    Raises:
        UserError: no backbone has this name, several may be meant, or the source is that of another one.
    """
    rows, stated = zoo.named(name), _stated(source)
    found = [row for row in rows if row.weights in stated]
    if stated and not found:
        raise UserError(f"{source} holds {' or '.join(stated)}, not {name}; name that model, or its own checkpoint")
    if len(rows) == 1 and (not source or found or rows[0].weights == name.partition("@")[0] or _is_settled(rows[0])):
        return rows[0]
    found = found or (_told_by_file(rows, source) if source else [])
    if len(found) == 1:
        return found[0]
    if len(rows) > 1:
        raise zoo.several(name, rows)
    raise UserError(
        f"{name} has exact GELU in open_clip but quick GELU in {rows[0].name}, and {source} does not tell which it was "
        f"trained with; name {rows[0].name} if it was made from those weights"
    )


def _is_settled(row: Backbone) -> bool:
    """Whether an architecture's only checkpoint has the activation of open_clip's configuration of that name."""
    quick = row.spec.text is not None and row.spec.text.blocks.activation == "quick_gelu"
    return quick == row.architecture.endswith("-quickgelu")


def _stated(source: str | Path) -> list[str]:
    """The weights of the zoo that a converted directory or a hub id stands for; empty where it stands for none."""
    if not source:
        return []
    if str(source) == EMBEDDED:
        return ["EVA02-embedded"]
    if is_converted(source):
        return [read_metadata(source)["model"]]
    if cached := _CACHED.search(str(source)):
        repository = f"{cached[1]}/{cached[2]}"
    else:
        found = None if Path(source).exists() else parse_hub_id(str(source))
        repository = found.repository if found else ""
    rows = zoo.BACKBONES.values()
    return [row.weights for row in rows if repository and row.hub_id.partition(":")[0] == repository]


def _told_by_file(rows: list[Backbone], source: str | Path) -> list[Backbone]:
    from checkpoints_conv import open_checkpoint

    path = locate(source)
    with open_checkpoint(path) as reader:
        if reader.format == "torchscript" and set(reader.keys()) >= _OPENAI_SCALARS:
            return [row for row in rows if row.tag == "openai"]
        if model := getattr(reader, "metadata", {}).get("model"):
            return [row for row in rows if row.weights == model]
    return [row for row in rows if row.source_file == path.name != GENERIC_FILE and row.tag != "openai"]
