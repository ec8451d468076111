"""Text-to-image pipelines of diffusers, with noise that depends on nothing but the image."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lrjax.errors import UserError


def resolve(name: str) -> str:
    """Returns the absolute path of a folder, or a hub id as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def load_pipeline(name: str, *, dtype: str, device: str) -> Any:
    """Loads a pipeline.

    Args:
        name: folder or hub id.
        dtype: of the weights: "float16", "bfloat16" or "float32".
        device: as PyTorch calls it; "" takes the GPU of this process, or else the CPU.

    Raises:
        UserError: diffusers is not installed, or the pipeline cannot be loaded.
    """
    try:
        import torch
        from diffusers import DiffusionPipeline
    except (ImportError, RuntimeError) as error:  # RuntimeError: a package that it imports does not fit PyTorch
        raise UserError(f"diffusers cannot be imported ({error}); run `pip install '.[synthetic]'`") from error
    try:
        pipeline = DiffusionPipeline.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise UserError(
            f"pipeline '{name}' cannot be loaded ({error}); give the folder or the hub id of a pipeline of diffusers"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device or _device(torch.cuda.device_count()))


def noise_seed(seed: int, caption: int, image: int) -> int:
    """Returns the seed of the noise of an image, 64 bits."""
    return int(np.random.SeedSequence([seed, caption, image]).generate_state(1, np.uint64)[0])


def generate(
    pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], *, batch_size: int, options: Mapping[str, Any]
) -> list[np.ndarray]:
    """Generates images, uint8 [H, W, 3] each.

    The pipeline always gets `batch_size` rows, the last ones repeated, because the rounding of matrix products depends
    on their number: so an image does not depend on what else is still to be made.

    Args:
        pipeline: of `load_pipeline`.
        prompts: at most `batch_size` texts.
        seeds: of the noise of each image.
        batch_size: rows of the pipeline's input.
        options: other arguments of the pipeline.

    Raises:
        UserError: the pipeline overflowed.
    """
    import torch

    rows = [min(row, len(prompts) - 1) for row in range(batch_size)]
    # noise of the CPU is the same on every device
    noise = [torch.Generator("cpu").manual_seed(seeds[row]) for row in rows]
    images = pipeline(prompt=[prompts[row] for row in rows], generator=noise, output_type="np", **options).images
    for prompt, image in zip(prompts, images, strict=False):
        if not np.isfinite(image).all():
            raise UserError(f"the pipeline overflows at caption {prompt!r}; give --dtype bfloat16 or float32")
    return [(255 * image).round().astype(np.uint8) for image in images[: len(prompts)]]


def png(image: np.ndarray) -> bytes:
    """Returns the PNG file of an image, uint8 [H, W, 3]."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def _device(gpus: int) -> str:
    ranks = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
    rank = next((int(os.environ[name]) for name in ranks if name in os.environ), 0)
    return f"cuda:{rank % gpus}" if gpus else "cpu"
