"""The lrjax side: the pipeline, the views and the step of the training loop."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import channel
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrjax
from lrjax.config import Train
from lrjax.data.datasets import open_training_source
from lrjax.data.loader import training_batches
from lrjax.sharding import put_batch
from lrjax.train.distill import Distiller, ViewMaker
from lrjax.train.optim import make_optimizer

STEPS = 1000
_STATE: dict[str, Any] = {}


def hello() -> dict[str, str]:
    """Says what runs here."""
    return {"name": f"jax {jax.__version__}", "device": jax.devices()[0].device_kind}


def load(folder: str, batch: int, workers: int, precision: str, remat: str, side: int) -> None:
    """Loads the backbone and prepares the training of its tokens."""
    _STATE.clear()
    predictor = lrjax.load("EVA02-B-16", f"{folder}/model.safetensors", precision=precision, devices=1)
    options = Train(steps=STEPS, batch_size=batch, image_size=side, remat=remat)
    optimizer = make_optimizer(options, predictor.row.spec.image.blocks.depth, STEPS)
    distiller = Distiller(predictor.row, predictor.encoders, options, optimizer)
    tokens = np.load(f"{folder}/tokens.npy")
    trainable = distiller.init(0)["trainable"] | {"tokens": tuple(map(jnp.asarray, tokens))}
    state = {"trainable": trainable, "optimizer": optimizer.init(trainable), "step": jnp.zeros((), jnp.int32)}

    def update(state: Any, frozen: Any, views: jax.Array) -> tuple[Any, jax.Array]:
        loss, gradient = distiller.gradient(state["trainable"], frozen, views)
        updates, optimizer_state = optimizer.update(gradient, state["optimizer"], state["trainable"])
        trainable = optax.apply_updates(state["trainable"], updates)
        return {"trainable": trainable, "optimizer": optimizer_state, "step": state["step"] + 1}, loss

    batches = training_batches(
        open_training_source(f"{folder}/images", count=0, seed=0), batch, seed=0, size=side, workers=workers
    )
    make_views = ViewMaker.create(options, predictor.row.spec.image.size)
    _STATE.update(
        predictor=predictor,
        state=state,
        batches=batches,
        make_views=jax.jit(lambda key, images: make_views(key, images)),
        update=jax.jit(update, donate_argnums=0),
        step=distiller.make_step(predictor.mesh, 0),
        views=jnp.asarray(np.load(f"{folder}/views.npy")[:batch]),
    )


def first_loss() -> float:
    """Returns the loss on the common views."""
    return float(next(_updates()))


def _inputs() -> Iterator[jax.Array]:
    for number in itertools.count():
        images = put_batch(next(_STATE["batches"])["image"], _STATE["predictor"].mesh)
        yield _STATE["make_views"](jax.random.key(number), images)


def _updates() -> Iterator[Any]:
    while True:
        _STATE["state"], loss = _STATE["update"](_STATE["state"], _STATE["predictor"].params, _STATE["views"])
        yield loss


def _steps() -> Iterator[Any]:
    while True:
        images = put_batch(next(_STATE["batches"])["image"], _STATE["predictor"].mesh)
        _STATE["state"], log = _STATE["step"](_STATE["state"], _STATE["predictor"].params, images)
        yield log


def measure(what: str, batches: int) -> dict[str, float]:
    """Returns the seconds and the processor's seconds of some batches, after one that is not counted."""
    work = {"input": _inputs, "step": _updates, "end to end": _steps}[what]()
    jax.block_until_ready(next(work))
    start, processor = time.perf_counter(), time.process_time()
    for done in itertools.islice(work, batches):
        jax.block_until_ready(done)
    return {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}


def memory(batches: list[int], remat: str) -> list[int]:
    """Returns the bytes of temporary buffers that the compiler plans for a step of so many images."""
    predictor, views, found = _STATE["predictor"], _STATE["views"], []
    for batch in batches:
        options = Train(steps=STEPS, batch_size=batch, remat=remat)
        optimizer = make_optimizer(options, predictor.row.spec.image.blocks.depth, STEPS)
        distiller = Distiller(predictor.row, predictor.encoders, options, optimizer)
        shape = jax.ShapeDtypeStruct((batch, *views.shape[1:]), views.dtype)
        compiled = jax.jit(distiller.gradient).lower(_STATE["state"]["trainable"], predictor.params, shape).compile()
        found.append(compiled.memory_analysis().temp_size_in_bytes)
    return found


if __name__ == "__main__":
    channel.serve({function.__name__: function for function in (hello, load, first_loss, measure, memory)})
