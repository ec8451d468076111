"""Convert a checkpoint file into a directory that lrjax loads, or such a directory back into a foreign checkpoint.

python -m checkpoints_conv --model EVA02-B-16 --source open_clip_model.safetensors --out EVA02-B-16
python -m checkpoints_conv --reverse --source EVA02-B-16 --out model.safetensors --format open_clip
python -m checkpoints_conv --reverse --source ViT-B-16-SigLIP --out siglip.npz --format big_vision_siglip

With --tokens the LR tokens of a training into the names of the official LR0.FM code, or back.

python -m checkpoints_conv --tokens --reverse --source runs/lr_tk0_eva/tokens.safetensors --out lr_tk0.pt
python -m checkpoints_conv --tokens --model EVA02-embedded --source lr_tk0.pt --out tokens.safetensors
"""

import sys

from lrjax.command_line import Parser, run, say, start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("checkpoints_conv.__main__"))

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from checkpoints_conv import (
    FORMATS,
    dropped,
    export,
    exported_shapes,
    file_suffix,
    find_table,
    open_checkpoint,
    read_slices,
    recognise,
)
from checkpoints_conv.lr0fm import FAMILIES, LAYOUTS, export_tokens, has_tokens, import_tokens, weights_alone
from checkpoints_conv.readers import TORCH_SUFFIXES
from checkpoints_conv.rules import Reader
from lrjax import __version__
from lrjax.display.progress import Progress
from lrjax.errors import UserError

OPEN_CLIP = "open_clip"
"""Stands for the one of the `open_clip_*` layouts in which open_clip keeps the model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: command-line arguments; None takes those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """
    return run(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.reverse and options.dtype:
        parser.error("--dtype belongs to the conversion; --reverse keeps the dtypes that are stored")
    if not options.reverse and options.format:
        parser.error("--format belongs to --reverse; the format of a source is recognised from its keys")
    if options.format and (options.format in LAYOUTS) != options.tokens:
        parser.error(f"--format {options.format} is {'not for' if options.tokens else 'for'} --tokens")
    if options.tokens and options.dtype:
        parser.error("--dtype is not for --tokens, which are float32")
    if not options.reverse and not options.model:
        parser.error("--model is required: name the backbone that the checkpoint holds, such as EVA02-B-16")
    if options.tokens:
        (_export_tokens if options.reverse else _import_tokens)(options)
    elif options.reverse:
        _reverse(options)
    else:
        _forward(options)


def _parser() -> argparse.ArgumentParser:
    description, *examples = (__doc__ or "").strip().splitlines()
    parser = Parser(
        prog="python -m checkpoints_conv",
        description=description,
        epilog="\n".join(examples).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", help="backbone that the checkpoint holds; optional with --reverse")
    parser.add_argument(
        "--source", required=True, type=Path, help="checkpoint as in config.source (--reverse: converted directory)"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="new directory (--reverse: new .safetensors or .npz file; --tokens: new .safetensors or .pt file)",
    )
    parser.add_argument("--tokens", action="store_true", help="convert LR tokens instead of a backbone")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="dtype of the parameters (default: float32)")
    parser.add_argument("--reverse", action="store_true", help="write a foreign checkpoint from a converted directory")
    parser.add_argument(
        "--format",
        choices=sorted([OPEN_CLIP, *FORMATS, *LAYOUTS]),
        metavar="FORMAT",
        help=f"layout of --reverse: {', '.join(sorted([OPEN_CLIP, *FORMATS]))} (default: that of the source); with "
        f"--tokens: {', '.join(LAYOUTS)} (default: by the family of the backbone)",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier result")
    return parser


def _forward(options: argparse.Namespace) -> None:
    import jax

    from checkpoints_conv.rules import parse_dtype
    from lrjax.models import build
    from lrjax.weights.checkpoint import check_writable, checkpoint_hash, locate, save_slices
    from lrjax.weights.fitting import advice
    from lrjax.weights.origin import row_for

    dtype = options.dtype or "float32"
    check_writable(options.out, overwrite=options.force)
    row = row_for(options.model, options.source)
    if "@" in options.model:
        raise UserError(f"convert {row.name} at its own size; position tables are resampled when it is loaded")
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, parse_dtype(dtype)), build.abstract_params(row.spec)
    )
    source = locate(options.source)
    files = _vocabulary(row.tokenizer, source.parent)
    with open_checkpoint(source) as reader, TemporaryDirectory() as folder:
        if has_tokens(reader.keys()):
            files.append(Path(folder) / "tokens.safetensors")
            _write_tokens(reader, row, files[-1], source=source)
        reader, beside = weights_alone(reader)
        layout = recognise(reader.keys(), source=source)
        table = find_table(layout, row.spec)
        with advice(reader, layout):
            slices = read_slices(reader, table, target, model=row.name, progress=_progress)
        left_out = beside | dropped(reader.keys(), table)
        metadata = {
            "model": row.name,
            "source": source.name,
            "sha256": checkpoint_hash(source),
            "format": layout,
            "container": reader.format,
            "dtype": dtype,
            "dropped": left_out,
            "lrjax": __version__,
        }
        save_slices(slices, options.out, target=target, metadata=metadata, files=files, overwrite=options.force)
    say(f"{options.out}: {row.name} from {source.name} ({layout}, {dtype}, {len(left_out)} keys dropped)")


def _vocabulary(tokenizer: str, directory: Path) -> list[Path]:
    """The vocabulary that lies beside a checkpoint and is kept with it."""
    from lrjax.data.tokenizers import VOCABULARIES

    if tokenizer.startswith("file:"):
        return [directory / tokenizer.removeprefix("file:")]
    if tokenizer not in VOCABULARIES:
        return []
    names = VOCABULARIES[tokenizer].files
    found = [directory / name for name in names if (directory / name).is_file()]
    if not found:
        wanted = " or ".join(names)
        say(f"no vocabulary lies in {directory}; loading will look for {wanted} beside the result, then on the hub")
    return found[:1]


def _reverse(options: argparse.Namespace) -> None:
    from lrjax.models import build, zoo
    from lrjax.weights.checkpoint import read_metadata, restore_params

    _check_new(options)
    if not options.source.is_dir():
        raise UserError(f"{options.source} is not a directory; --reverse reads a converted directory")
    metadata = read_metadata(options.source)
    model = metadata["model"]
    if options.model and options.model not in (model, model.partition(":")[0]):
        raise UserError(f"converted checkpoint {options.source} holds {model}, not {options.model}; leave --model out")
    layout = options.format or metadata.get("format")
    if layout is None or layout not in (OPEN_CLIP, *FORMATS):
        raise UserError(f"converted checkpoint {options.source} records no known format; add --format")
    spec = zoo.get(model).spec
    layout = _checked_layout(layout, build.abstract_params(spec), spec, model)
    if options.out.suffix != file_suffix(layout):
        raise UserError(f"output {options.out} must end in {file_suffix(layout)}, the suffix of {layout} files")
    tensors = export(restore_params(options.source), find_table(layout, spec))
    _write(tensors, options.out, model=model)
    say(f"{options.out}: {model} ({layout}, {len(tensors)} tensors)")


def _export_tokens(options: argparse.Namespace) -> None:
    from lrjax.models import zoo
    from lrjax.weights.token_file import read_adaptation

    _check_file(options, (".safetensors", *TORCH_SUFFIXES))
    adaptation, facts = read_adaptation(options.source)
    model, others = facts["model"], sorted(adaptation.keys() - {"tokens"})
    if options.model and options.model != model:
        raise UserError(f"{options.source} was trained for {model}, not for {options.model}; leave --model out")
    if others or not adaptation:
        raise UserError(
            f"{options.source} holds {' and '.join(others)}, but the LR0.FM code has tokens only; train with "
            "config.train.tokens alone to export them"
        )
    layout = options.format or FAMILIES.get(zoo.get(model).family)
    if layout is None:
        raise UserError(
            f"the LR0.FM code has no tokens for the family of {model}; add --format, one of {', '.join(LAYOUTS)}"
        )
    tensors = export_tokens(adaptation["tokens"], layout)
    _write(tensors, options.out, model=model)
    say(f"{options.out}: tokens for {model} ({layout}, {len(tensors)} tables)")


def _import_tokens(options: argparse.Namespace) -> None:
    from lrjax.models import zoo

    _check_file(options, (".safetensors",))
    row = zoo.get(options.model)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open_checkpoint(options.source) as reader:
        layout, others = _write_tokens(reader, row, options.out, source=options.source)
    say(f"{options.out}: tokens for {row.name} from {options.source.name} ({layout}, {others} other keys left out)")
    if others:
        say("where the weights were trained as well, convert both: leave --tokens out, and name a directory as --out")


def _write_tokens(reader: Reader, row: Any, path: Path, *, source: Path) -> tuple[str, int]:
    """Writes the LR tokens of a checkpoint of the LR0.FM code and returns its layout and the number of other keys."""
    from lrjax.models.lr_tokens import token_shape
    from lrjax.weights.token_file import write_adaptation

    if (image := row.spec.image.transformer) is None:
        raise UserError(f"{row.name} is a ResNet and has no patch rows to add LR tokens to; name a vision transformer")
    tokens, layout, others = import_tokens(reader, token_shape(image), source=source, model=row.name)
    write_adaptation(path, {"tokens": tokens}, model=row.name, facts={"source": source.name, "format": layout})
    if absent := int((~tokens.any(axis=(1, 2))).sum()):
        layout += f", none after patchify and before block {absent - 1}"
    return layout, others


def _check_file(options: argparse.Namespace, suffixes: Sequence[str]) -> None:
    if options.out.suffix not in suffixes:
        raise UserError(f"output {options.out} must end in {' or '.join(suffixes)}")
    _check_new(options)


def _check_new(options: argparse.Namespace) -> None:
    if options.out.is_dir() or (options.out.exists() and not options.force):
        raise UserError(f"{options.out} exists; name a new file or add --force to replace a file")


def _checked_layout(layout: str, target: Any, spec: Any, model: str) -> str:
    """Returns the layout if what it writes of a model is recognised as this layout; of `OPEN_CLIP` the first such."""
    names = [name for name in FORMATS if name.startswith(OPEN_CLIP)] if layout == OPEN_CLIP else [layout]
    for name in names:
        try:
            if recognise(exported_shapes(target, find_table(name, spec))) == name:
                return name
        except UserError:  # it has no name for a parameter, or lacks what it is recognised by
            continue
    raise UserError(
        f"{model} cannot be written as {layout}, which holds models of another kind; choose another --format"
    )


def _write(tensors: dict[str, Any], path: Path, *, model: str) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.suffix == ".npz":
            with partial.open("wb") as file:
                np.savez(file, **tensors)
        elif path.suffix in TORCH_SUFFIXES:
            _save_torch(tensors, partial)
        else:
            # transformers refuses files without a format; the model tells the activation, which shapes do not
            save_file(tensors, partial, metadata={"format": "pt", "model": model})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _save_torch(tensors: dict[str, np.ndarray], path: Path) -> None:
    try:
        import torch
    except ImportError as error:
        raise UserError("writing a .pt file needs PyTorch; run `pip install torch`, or write .safetensors") from error
    torch.save({name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}, path)


def _progress(steps: Sequence[Any]) -> Iterable[Any]:
    return Progress("converting", len(steps), unit="tensor", over=steps, delay=2)
