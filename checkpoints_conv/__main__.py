"""Convert a checkpoint file into a directory that lrjax loads, or such a directory back into a PyTorch checkpoint.

python -m checkpoints_conv --model EVA02-B-16 --source open_clip_model.safetensors --out EVA02-B-16
python -m checkpoints_conv --reverse --source EVA02-B-16 --out model.safetensors --format open_clip
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from checkpoints_conv import FORMATS, convert, dropped, export, open_checkpoint, recognise
from lrjax import __version__
from lrjax.errors import UserError

EXPORTS = {"open_clip": "open_clip_eva", "eva_original": "eva_original"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status: 0, or 2 after a mistake that is explained in one line on stderr.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.reverse and options.dtype:
        parser.error("--dtype belongs to the conversion; --reverse keeps the dtypes that are stored")
    if not options.reverse and options.format:
        parser.error("--format belongs to --reverse; the format of a source is recognised from its keys")
    if not options.reverse and not options.model:
        parser.error("--model is required: name the backbone that the checkpoint holds, such as EVA02-B-16")
    try:
        if options.reverse:
            _reverse(options)
        else:
            _forward(options)
    except (UserError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    description, *examples = (__doc__ or "").strip().splitlines()
    parser = argparse.ArgumentParser(
        prog="python -m checkpoints_conv",
        description=description,
        epilog="\n".join(examples).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", help="backbone that the checkpoint holds; optional with --reverse")
    parser.add_argument("--source", required=True, type=Path, help="checkpoint file (--reverse: converted directory)")
    parser.add_argument("--out", required=True, type=Path, help="new directory (--reverse: new .safetensors file)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="dtype of the parameters (default: float32)")
    parser.add_argument("--reverse", action="store_true", help="write a PyTorch checkpoint from a converted directory")
    parser.add_argument("--format", choices=sorted(EXPORTS), help="layout of --reverse (default: that of the source)")
    parser.add_argument("--force", action="store_true", help="replace an earlier result")
    return parser


def _forward(options: argparse.Namespace) -> None:
    from lrjax.checkpoint import check_writable, checkpoint_hash, save_params
    from lrjax.models import build, zoo

    dtype = options.dtype or "float32"
    check_writable(options.out, overwrite=options.force)
    row = zoo.get(options.model)
    target = build.abstract_params(row.spec)
    with open_checkpoint(options.source) as reader:
        layout = recognise(reader.keys())
        table = FORMATS[layout].TABLE
        tree = convert(reader, table, target, dtype=dtype, model=options.model, progress=_progress)
        left_out = dropped(reader.keys(), table)
        container = reader.format
    metadata = {
        "model": options.model,
        "source": options.source.name,
        "sha256": checkpoint_hash(options.source),
        "format": layout,
        "container": container,
        "dtype": dtype,
        "dropped": left_out,
        "lrjax": __version__,
    }
    # The vocabulary of a row "file:NAME" is part of the checkpoint.
    files = [options.source.parent / row.tokenizer.removeprefix("file:")] if row.tokenizer.startswith("file:") else []
    save_params(tree, options.out, metadata=metadata, files=files, overwrite=options.force)
    print(
        f"{options.out}: {options.model} from {options.source.name} ({layout}, {dtype}, {len(left_out)} keys dropped)"
    )


def _reverse(options: argparse.Namespace) -> None:
    from lrjax.checkpoint import read_metadata, restore_params

    if options.out.suffix != ".safetensors":
        raise UserError(f"output {options.out} must end in .safetensors")
    if options.out.is_dir() or (options.out.exists() and not options.force):
        raise UserError(f"{options.out} exists; name a new file or add --force to replace a file")
    if not options.source.is_dir():
        raise UserError(f"{options.source} is not a directory; --reverse reads a converted directory")
    metadata = read_metadata(options.source)
    if options.model and options.model != metadata["model"]:
        raise UserError(
            f"converted checkpoint {options.source} holds {metadata['model']}, not {options.model}; leave --model out"
        )
    layout = EXPORTS[options.format] if options.format else metadata.get("format")
    if layout not in FORMATS:
        raise UserError(f"converted checkpoint {options.source} records no known format; add --format")
    tensors = export(restore_params(options.source), FORMATS[layout].TABLE)
    _write_safetensors(tensors, options.out)
    print(f"{options.out}: {metadata['model']} ({layout}, {len(tensors)} tensors)")


def _write_safetensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, metadata={"format": "pt"})  # transformers refuses files without this entry
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _progress(steps: Sequence[Any]) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(steps, description="converting", console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    sys.exit(main())
