"""Where weights lie: a file, a directory, the shipped checkpoint or the Hugging Face hub."""

from pathlib import Path, PurePosixPath

from lrjax.data.hub import HUB_PREFIX, HubId, fetch, parse_hub_id
from lrjax.errors import UserError

EMBEDDED = "embedded"
HUB_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)

METADATA = "model.json"
"""What makes a directory a converted checkpoint."""


def locate(source: str | Path) -> Path:
    """Return where a source lies on this machine, after a download if it is a hub id that is not cached.

    Args:
        source: as in `checkpoint.load_params`.

    Returns:
        Path of a checkpoint file or a converted directory.

    Raises:
        UserError: when the source is missing or cannot be downloaded.
    """
    import checkpoints_conv
    from checkpoints_conv.readers import SUFFIXES, split_entry

    name = str(source)
    if name == EMBEDDED:
        path = Path(checkpoints_conv.__file__).parent / EMBEDDED / "model.safetensors"
        if not path.is_file():
            raise UserError(f"the shipped checkpoint {path} is missing; install lrjax again or set config.source")
        return path
    path = Path(source)
    if path.is_dir() and not is_converted(path):
        return _file_inside(path)
    if split_entry(path)[0].exists():
        return path
    hub_id = parse_hub_id(name)
    local = name.startswith(".") or Path(name.partition(":")[0]).suffix in SUFFIXES
    if hub_id is None or local:
        raise UserError(
            f"checkpoint {name!r} does not exist; name a file, a converted directory or {HUB_PREFIX}ORG/NAME"
        )
    return _download(hub_id)


def _file_inside(directory: Path) -> Path:
    """Returns the checkpoint in a directory that is laid out as a repository of the hub."""
    found = next((directory / name for name in HUB_FILES if (directory / name).is_file()), None)
    if found is None:
        raise UserError(
            f"{directory} is not a converted checkpoint and holds none of {', '.join(HUB_FILES)}; name the file itself"
        )
    return found


def is_converted(source: str | Path) -> bool:
    """Tells whether a source is a directory of `checkpoint.save_slices`."""
    return (Path(source) / METADATA).is_file()


def _download(hub_id: HubId) -> Path:
    from checkpoints_conv.readers import files_of

    files = (hub_id.file,) if hub_id.file else HUB_FILES
    try:
        path = fetch([hub_id.repository], files, revision=hub_id.revision)
        for part in files_of(path)[1:]:
            inside = PurePosixPath(hub_id.file or "").parent / part.name
            fetch([hub_id.repository], [str(inside)], revision=hub_id.revision)
        return path
    except UserError as error:
        raise UserError(
            f"{' or '.join(files)} of {HUB_PREFIX}{hub_id.snapshot} is neither cached nor reachable ({error}); check "
            "the name and the connection, or download the file and name its local path"
        ) from error
