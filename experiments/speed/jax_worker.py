"""The JAX side of the benchmark: lrjax's encoders under `jax.jit`."""

import os
import time
from collections.abc import Callable

import channel
import jax
import jax.numpy as jnp
import numpy as np

import lrjax
from lrjax.models import zoo
from lrjax.models.build import Encoders, init_params

CASES: dict[str, Callable[[], jax.Array]] = {}
_MODEL: dict[str, tuple] = {}


def hello(device: str) -> dict:
    """Says what runs here, or what is missing."""
    platform = jax.devices()[0].platform
    if platform != device:
        return {"missing": f"JAX sees no {device}, only {platform}: pip install 'jax[cuda13]' (or jax[cuda12])"}
    return {
        "name": f"jax {jax.__version__}",
        "device": jax.devices()[0].device_kind,
        "variants": ["jit"],
        "threads": len(os.sched_getaffinity(0)),
    }


def load(name: str, source: str | None, precision: str, **_: object) -> None:
    """Loads a backbone from a checkpoint of open_clip; without one its parameters are fresh."""
    _MODEL.clear()
    CASES.clear()
    if source is not None:
        model = lrjax.load(name, source, precision=precision, devices=1)
        _MODEL["model"] = model.encoders, model.params
        return
    spec, dtype = zoo.get(name).spec, jnp.dtype(precision)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), init_params(spec, 0))
    _MODEL["model"] = Encoders(spec, dtype), params


def prepare(key: str, tower: str, inputs: str, embeddings: str, **_: object) -> float:
    """Compiles and warms up a case, stores its embeddings and returns the seconds of the first call."""
    encoders, params = _MODEL["model"]
    encode = jax.jit(getattr(encoders, tower))
    placed = jnp.asarray(np.load(inputs))
    placed = placed.astype(encoders.dtype) if tower == "image" else placed
    start = time.perf_counter()
    rows = np.asarray(encode(params, placed))
    seconds = time.perf_counter() - start
    np.save(embeddings, rows)
    CASES[key] = lambda: encode(params, placed)
    return seconds


def measure(key: str, calls: int) -> list[float]:
    """Returns the seconds and the processor's seconds of some calls, queued as in a loop over batches."""
    case = CASES[key]
    start, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready([case() for _ in range(calls)])
    return [time.perf_counter() - start, time.process_time() - processor]


def matmul_peak(sides: list[int], precision: str) -> dict[str, float]:
    """Returns the TFLOP/s of square matrix products by side."""
    product, found = jax.jit(jnp.matmul), {}
    for side in sides:
        matrix = jax.random.normal(jax.random.key(0), (side, side), precision)
        jax.block_until_ready(product(matrix, matrix))
        calls = max(1, int(2e11 / side**3)) if jax.default_backend() == "cpu" else 20
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(calls):
                out = product(matrix, matrix)
            out.block_until_ready()
            times.append((time.perf_counter() - start) / calls)
        found[str(side)] = 2 * side**3 / min(times) / 1e12
    return found


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (hello, load, prepare, measure, matmul_peak)})
