"""The PyTorch side: open_clip's model, torchvision's transforms and a DataLoader, one pass per resolution."""

import logging
import resource
import time
from pathlib import Path
from typing import Any

import channel
import numpy as np
import torch
import torch_worker
from PIL import Image
from safetensors.torch import load_file

from lrjax.models import zoo
from lrjax.weights.checkpoint import locate

logging.disable(logging.WARNING)
torch_worker._open_clip()  # registers what torchvision may lack
_STATE: dict[str, Any] = {}


class Files(torch.utils.data.Dataset):
    """The JPEG files of a folder in sorted order."""

    def __init__(self, folder: str, transform: Any):
        self.paths, self.transform = sorted(Path(folder).rglob("*.jpg")), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return self.transform(image)


def _transform(resolution: int | str) -> Any:
    from torchvision import transforms

    bicubic, native = transforms.InterpolationMode.BICUBIC, _STATE["preprocess"]
    low = [] if resolution == "hr" else [transforms.Resize(resolution, bicubic)]
    return transforms.Compose(
        [
            *low,
            transforms.Resize(224, bicubic),
            transforms.CenterCrop(224),
            lambda image: image.convert("RGB"),
            transforms.ToTensor(),
            transforms.Normalize(native.mean, native.std),
        ]
    )


def _embedded() -> torch.nn.Module:
    """The image tower of the shipped checkpoint: timm's EVA-02 with its sizes, and the head of open_clip."""
    import timm

    blocks = zoo.get("EVA02-embedded").spec.image.blocks
    tower = timm.create_model(
        "eva02_base_patch16_clip_224",
        embed_dim=blocks.width,
        depth=blocks.depth,
        num_heads=blocks.heads,
        mlp_ratio=blocks.hidden / blocks.width,
        patch_size=32,
        num_classes=zoo.get("EVA02-embedded").spec.image.embedding,
    )
    prefix = "visual.trunk."
    state = {key.removeprefix(prefix): value for key, value in load_file(locate("embedded")).items() if prefix in key}
    tower.load_state_dict(state)
    return tower.eval()


def load(model: str, folder: str, batch: int, workers: int) -> None:
    """Loads the model; one with random weights is written for the other side, with a random classifier."""
    row = "EVA02-embedded"
    if model == "embedded":
        tower = _embedded()
    else:
        row, path = f"{model}:openai", f"{folder}/model.safetensors"
        torch_worker.create(model, {"force_quick_gelu": True}, path)
        module = torch_worker._build(model, {"force_quick_gelu": True})
        module.load_state_dict(load_file(path))
        tower = module.visual
        random = np.random.default_rng(0).normal(size=(100, 512)).astype(np.float32)
        np.save(f"{folder}/classifier.npy", random / np.linalg.norm(random, axis=1, keepdims=True))
    preprocess = zoo.get(row).preprocess
    _STATE.update(tower=tower, preprocess=preprocess, folder=folder, batch=batch, workers=workers)


def _forward(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(_STATE["tower"](images), dim=-1)


def _processor() -> float:
    """Seconds of the processor of this process and of those of the DataLoaders that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def evaluate(resolutions: list) -> dict:
    """Returns the seconds of all passes, and the top-1 guesses and their lead over the second by resolution."""
    start, processor, found = time.perf_counter(), _processor(), {}
    classifier = torch.from_numpy(np.load(f"{_STATE['folder']}/classifier.npy")).T
    with torch.inference_mode():
        for resolution in resolutions:
            files = Files(f"{_STATE['folder']}/images", _transform(resolution))
            loader = torch.utils.data.DataLoader(files, batch_size=_STATE["batch"], num_workers=_STATE["workers"])
            rows = [(100 * _forward(images) @ classifier).topk(2) for images in loader]
            values, places = torch.cat([row.values for row in rows]), torch.cat([row.indices for row in rows])
            margins = (values[:, 0] - values[:, 1]).tolist()
            found[str(resolution)] = {"guesses": places[:, 0].tolist(), "margins": margins}
    return {"seconds": time.perf_counter() - start, "processor": _processor() - processor, "guesses": found}


def parts(resolutions: list) -> dict[str, float]:
    """Returns milliseconds of the processor per image in each part of all passes, alone, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait would count
    paths = sorted(Path(_STATE["folder"], "images").rglob("*.jpg"))[: _STATE["batch"]]
    spent = {"decode": 0.0, "resample": 0.0, "forward": 0.0}
    with torch.inference_mode():
        for resolution in resolutions:
            transform, start = _transform(resolution), time.process_time()
            images = []
            for path in paths:
                images.append(Image.open(path))
                images[-1].load()
            decoded = time.process_time()
            views = torch.stack([transform(image) for image in images])
            rendered = time.process_time()
            _forward(views)
            done = time.process_time()
            for part, seconds in zip(spent, (decoded - start, rendered - decoded, done - rendered), strict=True):
                spent[part] += 1000 * seconds / len(paths)
    torch.set_num_threads(threads)
    return spent


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (load, evaluate, parts)})
