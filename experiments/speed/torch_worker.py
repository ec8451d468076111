"""The PyTorch side of the benchmark: open_clip, eager and compiled."""

import logging
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import channel
import numpy as np
import torch
from safetensors.torch import load_file, save_file

logging.disable(logging.WARNING)  # open_clip warns of random weights
CASES: dict[str, Callable[[], torch.Tensor]] = {}
_MODEL: dict[str, Any] = {}
_KEPT_ALIVE = []


def _open_clip() -> ModuleType:
    """Imports open_clip also where torchvision was built for another device than torch, and lacks two operators."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)
    import open_clip

    return open_clip


def hello(device: str) -> dict:
    """Says what runs here, or what is missing."""
    version = _open_clip().__version__
    if device == "gpu" and not torch.cuda.is_available():
        return {"missing": f"torch {torch.__version__} sees no GPU: pip install a CUDA build of torch"}
    _MODEL["device"] = torch.device("cuda" if device == "gpu" else "cpu")
    return {
        "name": f"torch {torch.__version__}, open_clip {version}",
        "device": torch.cuda.get_device_name() if device == "gpu" else "cpu",
        "variants": ["eager", "compile", "compile-max-autotune"] if device == "gpu" else ["eager"],
        "threads": torch.get_num_threads(),
    }


def _build(architecture: str, options: dict) -> torch.nn.Module:
    return _open_clip().create_model(architecture, pretrained=None, **options).eval()


def create(architecture: str, options: dict, path: str) -> None:
    """Writes a checkpoint of open_clip's model with random weights.

    They are drawn anew: open_clip's own start makes EVA's embeddings of all images equal to 6e-4, and some norms
    of a ResNet zero.
    """
    torch.manual_seed(0)
    module = _build(architecture, options)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter.shape[1:].numel() ** -0.5)
            elif name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
    save_file({name: value.contiguous().clone() for name, value in module.state_dict().items()}, path)


def load(architecture: str, options: dict, source: str, precision: str, **_: object) -> None:
    """Loads the checkpoint into open_clip's model."""
    CASES.clear()
    _MODEL.pop("model", None)
    torch.compiler.reset()
    module = _build(architecture, options)
    module.load_state_dict(load_file(source))
    _MODEL["model"] = module.to(_MODEL["device"], getattr(torch, precision))


def prepare(key: str, tower: str, inputs: str, embeddings: str, variant: str, exact: bool = False) -> float:
    """Compiles and warms up a case, stores its embeddings and returns the seconds of the first call."""
    module, device = _MODEL["model"], _MODEL["device"]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cudnn.benchmark = not exact
    placed = torch.from_numpy(np.load(inputs))
    if tower == "image":
        placed = placed.permute(0, 3, 1, 2).contiguous().to(next(module.parameters()).dtype)
    else:
        placed = placed.long()
    placed, method = placed.to(device), getattr(module, f"encode_{tower}")

    def encode(x: torch.Tensor) -> torch.Tensor:
        return method(x, normalize=True)

    if variant != "eager":
        encode = torch.compile(encode, dynamic=False, mode="max-autotune" if variant.endswith("autotune") else None)
    with torch.inference_mode():
        start = time.perf_counter()
        rows = encode(placed).float().cpu().numpy()
        seconds = time.perf_counter() - start
    np.save(embeddings, rows)
    CASES[key] = lambda: encode(placed)
    return seconds


def _wait() -> None:
    if _MODEL["device"].type == "cuda":
        torch.cuda.synchronize()


def measure(key: str, calls: int) -> list[float]:
    """Returns the seconds and the processor's seconds of some calls, queued as in a loop over batches."""
    case = CASES[key]
    with torch.inference_mode():
        _wait()
        start, processor = time.perf_counter(), time.process_time()
        for _ in range(calls):
            case()
        _wait()
        return [time.perf_counter() - start, time.process_time() - processor]


def matmul_peak(sides: list[int], precision: str) -> dict[str, float]:
    """Returns the TFLOP/s of square matrix products by side."""
    found, device = {}, _MODEL["device"]
    for side in sides:
        matrix = torch.randn(side, side, device=device).to(getattr(torch, precision))
        calls = 20 if device.type == "cuda" else max(1, int(2e11 / side**3))
        CASES["matmul"] = lambda matrix=matrix: matrix @ matrix
        measure("matmul", 1)
        found[str(side)] = 2 * side**3 / min(measure("matmul", calls)[0] / calls for _ in range(5)) / 1e12
    del CASES["matmul"]
    return found


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (hello, create, load, prepare, measure, matmul_peak)})
