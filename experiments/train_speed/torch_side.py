"""The PyTorch side: one Pillow chain per view in a DataLoader, open_clip's EVA-02 with added tokens, timm's LAMB."""

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import channel
import numpy as np
import torch
import torch_worker
from PIL import Image
from torch import nn

BUCKETS = ((16, 32), (32, 64), (64, 128))
_STATE: dict[str, Any] = {}
_OPEN_CLIP = torch_worker._open_clip()  # registers what torchvision may lack


def hello() -> dict[str, str]:
    """Says what runs here."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"name": f"torch {torch.__version__}, open_clip {_OPEN_CLIP.__version__}", "device": device}


def create(folder: str, batch: int) -> None:
    """Writes random weights, tokens and the views on which both sides are compared."""
    torch_worker.create("EVA02-B-16", {}, f"{folder}/model.safetensors")
    draw = np.random.default_rng(0)
    np.save(f"{folder}/tokens.npy", draw.normal(0, 0.02, (13, 196, 768)).astype(np.float32))
    np.save(f"{folder}/views.npy", draw.integers(0, 256, (batch, 1 + len(BUCKETS), 224, 224, 3), np.uint8))


class Views(torch.utils.data.Dataset):
    """The HR view and one LR view per bucket of every image, each with a crop of its own."""

    def __init__(self, folder: str, preprocess: Any):
        from torchvision import transforms

        bicubic = transforms.InterpolationMode.BICUBIC
        self.paths = sorted(Path(folder).glob("*.png"))
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(224, scale=(0.9, 1.0), interpolation=bicubic),
                transforms.ToTensor(),
                transforms.Normalize(preprocess["mean"], preprocess["std"]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        image, bicubic = Image.open(self.paths[index]).convert("RGB"), Image.Resampling.BICUBIC
        sides = [random.randrange(*bucket) for bucket in BUCKETS]
        low = [image.resize((side, side), bicubic).resize(image.size, bicubic) for side in sides]
        return torch.stack([self.transform(view) for view in (image, *low)])


class Student(nn.Module):
    """The image tower with a table of tokens behind the patch embedding and one before every block."""

    def __init__(self, visual: nn.Module, tokens: np.ndarray):
        super().__init__()
        self.visual = visual.requires_grad_(False)
        self.tokens = nn.ParameterList(torch.from_numpy(table.copy()) for table in tokens)
        self.log_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.active = False
        trunk = visual.trunk
        trunk.patch_embed.register_forward_hook(lambda module, inputs, rows: self._add(0, rows, first=0))
        for number, block in enumerate(trunk.blocks, start=1):
            block.register_forward_pre_hook(
                lambda module, inputs, number=number: (self._add(number, inputs[0], first=1), *inputs[1:])
            )

    def _add(self, number: int, rows: torch.Tensor, *, first: int) -> torch.Tensor:
        if not self.active:
            return rows
        table = self.tokens[number].to(rows.dtype)
        shape = (*rows.shape[:-2], -1, rows.shape[-1])
        grid = rows[:, first:].reshape(len(rows), -1, rows.shape[-1]) + table
        return torch.cat([rows[:, :first], grid], dim=1) if first else grid.reshape(shape)

    def teach(self, images: torch.Tensor) -> torch.Tensor:
        """Embeds images without tokens."""
        self.active = False
        with torch.no_grad():
            return nn.functional.normalize(self.visual(images).float(), dim=-1)

    def study(self, images: torch.Tensor) -> torch.Tensor:
        """Embeds images with tokens."""
        self.active = True
        return nn.functional.normalize(self.visual(images).float(), dim=-1)


def load(folder: str, batch: int, workers: int, precision: str, remat: bool, **_: object) -> None:
    """Loads the backbone and prepares the training of its tokens."""
    from timm.optim import Lamb

    _STATE.clear()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch_worker._MODEL["device"] = device
    torch_worker.load("EVA02-B-16", {}, f"{folder}/model.safetensors", "float32")
    visual = torch_worker._MODEL["model"].visual
    visual.trunk.set_grad_checkpointing(remat)
    preprocess = {"mean": visual.preprocess_cfg["mean"], "std": visual.preprocess_cfg["std"]}
    student = Student(visual, np.load(f"{folder}/tokens.npy")).to(device).train()
    optimizer = Lamb([*student.tokens, student.log_scale], lr=2e-4, weight_decay=0.05)
    loader = torch.utils.data.DataLoader(
        Views(f"{folder}/images", preprocess),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    pixels = torch.from_numpy(np.load(f"{folder}/views.npy")[:batch]).permute(0, 1, 4, 2, 3) / 255
    mean, std = (torch.tensor(preprocess[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    _STATE.update(
        device=device,
        precision=precision,
        student=student,
        optimizer=optimizer,
        loader=loader,
        views=((pixels - mean) / std).to(device),
    )


def _update(views: torch.Tensor) -> torch.Tensor:
    student, optimizer = _STATE["student"], _STATE["optimizer"]
    targets, loss = torch.arange(len(views), device=views.device), 0.0
    half = getattr(torch, _STATE["precision"])
    with torch.autocast(views.device.type, dtype=half, enabled=half != torch.float32):
        teacher = student.teach(views[:, 0])
        embedded = [student.study(views[:, number]) for number in range(views.shape[1])]
    for one in embedded:
        logits = student.log_scale.exp() * teacher @ one.T
        loss = (
            loss + (nn.functional.cross_entropy(logits, targets) + nn.functional.cross_entropy(logits.T, targets)) / 2
        )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimizer.step()
    return loss.detach()


def first_loss() -> float:
    """Returns the loss on the common views."""
    return float(_update(_STATE["views"]))


def _batches() -> Iterator[torch.Tensor]:
    while True:
        for views in _STATE["loader"]:
            yield views.to(_STATE["device"], non_blocking=True)


def measure(what: str, batches: int) -> dict[str, float]:
    """Returns the seconds of some batches, after one that is not counted."""
    work = {
        "input": _batches,
        "step": lambda: (_update(_STATE["views"]) for _ in itertools.count()),
        "end to end": lambda: (_update(views) for views in _batches()),
    }[what]()
    next(work)
    _wait()
    start = time.perf_counter()
    for _ in itertools.islice(work, batches):
        _wait()
    return {"seconds": time.perf_counter() - start}


def _wait() -> None:
    if _STATE["device"].type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (hello, create, load, first_loss, measure)})
