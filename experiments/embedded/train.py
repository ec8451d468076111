"""Trains the embedded backbone on procedural caption-image pairs and writes it in the open_clip layout.

    PYTHONPATH=. python experiments/embedded/train.py --work runs/embedded --out checkpoints_conv/embedded

The images are rendered once into a memory-mapped file. Two losses are added from the first step: each image against one
prompt per class of every attribute that it shows (hard negatives: all classes of the attribute in the same words), and
images against captions in the batch, where captions of equal scenes count as positives. The run continues from its last
checkpoint when it is started again.
"""

import argparse
import concurrent.futures
import functools
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import safetensors.numpy

import checkpoints_conv
from lrjax.data import procedural, tokenizers
from lrjax.models import zoo
from lrjax.models.build import Encoders, init_params, similarities
from lrjax.ops.preprocess import normalize
from lrjax.results.store import write_atomically

ATTRIBUTES = ("shape", "texture", "letter", "scene", "colour")
CAPTIONS_PER_IMAGE, PROMPT_DRAWS, CHUNK, SHIFT = 4, 32, 500, 8
IMAGE_SHAPE = (procedural.IMAGE_SIZE, procedural.IMAGE_SIZE, 3)


def _render_chunk(start: int, *, count: int, seed: int) -> tuple[int, np.ndarray, list]:
    source = procedural.CaptionSource(count, seed=seed)
    items = [source[i] for i in range(start, min(start + CHUNK, count))]
    return start, np.stack([item["image"] for item in items]), [item["scene"] for item in items]


def render(work: Path, *, count: int, seed: int) -> tuple[Path, list[procedural.Scene]]:
    """Renders the training pairs into `work` once.

    Returns:
        The file of pixels, raw uint8 [count, 224, 224, 3], and the scenes.
    """
    images_file, scenes_file = work / f"images-{seed}-{count}.raw", work / f"scenes-{seed}-{count}.json"
    if not scenes_file.exists():
        partial = images_file.with_suffix(".partial")
        images = np.memmap(partial, np.uint8, mode="w+", shape=(count, *IMAGE_SHAPE))
        scenes: list = [None] * count
        with multiprocessing.get_context("spawn").Pool() as pool:
            job = functools.partial(_render_chunk, count=count, seed=seed)
            for start, chunk, chunk_scenes in pool.imap_unordered(job, range(0, count, CHUNK)):
                images[start : start + len(chunk)] = chunk
                scenes[start : start + len(chunk)] = chunk_scenes
                print(f"rendered {start + len(chunk)} / {count}", flush=True)
        images.flush()
        partial.rename(images_file)
        scenes_file.write_text(json.dumps([vars(scene) for scene in scenes]))
    scenes = [procedural.Scene(**fields) for fields in json.loads(scenes_file.read_text())]
    return images_file, scenes


def read_images(file: int, chosen: np.ndarray) -> np.ndarray:
    """Reads images by number with one system call each.

    A memory map would hold the interpreter's lock in every page fault, and read far ahead of random places.
    """
    images = np.empty((len(chosen), *IMAGE_SHAPE), np.uint8)
    for image, number in zip(images, chosen, strict=True):
        os.preadv(file, [image], int(number) * image.nbytes)
    return images


def make_texts(scenes: list, tokenizer: tokenizers.Tokenizer, *, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws captions and prompts.

    Returns:
        Captions int32 [images, CAPTIONS_PER_IMAGE, context], and per attribute int32 [PROMPT_DRAWS, classes, context].
    """
    rng = np.random.default_rng([seed, 1])
    captions = [procedural.caption(scene, rng) for scene in scenes for _ in range(CAPTIONS_PER_IMAGE)]
    prompts = {
        name: np.stack([tokenizer(procedural.attribute_prompts(name, rng)) for _ in range(PROMPT_DRAWS)])
        for name in ATTRIBUTES
    }
    return tokenizer(captions).reshape(len(scenes), CAPTIONS_PER_IMAGE, -1), prompts


def shifted(images: jax.Array, key: jax.Array) -> jax.Array:
    """Moves a batch of images by one random offset of at most SHIFT pixels, edges repeated."""
    top, left = jax.random.randint(key, (2,), 0, 2 * SHIFT + 1)
    padded = jnp.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    return jax.lax.dynamic_slice(padded, (0, top, left, 0), images.shape)


def loss_fn(params: dict, batch: dict, row: zoo.Backbone, contrast: float) -> tuple[jax.Array, dict]:
    """Attribute classification through text plus caption contrast; returns the loss and accuracies."""
    encoders = Encoders(row.spec)
    images = normalize(batch["images"], row.preprocess.mean, row.preprocess.std)
    features = encoders.image(params, images)
    texts = [*batch["prompts"].values(), batch["captions"]]
    embedded = encoders.text(params, jnp.concatenate(texts))
    *classes, captions = jnp.split(embedded, np.cumsum([len(text) for text in texts])[:-1].tolist())
    scale = jnp.exp(jnp.minimum(params["logit_scale"], jnp.log(100.0)))
    total, log = jnp.zeros(()), {}
    for name, weights in zip(batch["prompts"], classes, strict=True):
        labels, logits = batch["labels"][name], similarities(scale * features, weights)
        shown = labels >= 0
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
        count = jnp.maximum(shown.sum(), 1)
        total = total + jnp.sum(losses * shown) / count
        log[name] = jnp.sum((logits.argmax(1) == labels) & shown) / count
    same = batch["scene"][:, None] == batch["scene"][None, :]
    targets = same / same.sum(1, keepdims=True)
    logits = similarities(scale * features, captions)
    caption_loss = optax.softmax_cross_entropy(logits, targets) + optax.softmax_cross_entropy(logits.T, targets)
    log["caption"] = jnp.take_along_axis(same, logits.argmax(1)[:, None], 1).mean()
    return total + contrast * caption_loss.mean() / 2, log


def make_optimizer(rate: float, steps: int) -> optax.GradientTransformation:
    """Muon for the matrices (stacked over depth or not), AdamW for everything else; warm-up and cosine."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, min(200, steps // 10), steps, rate / 100)

    def matrices(params: dict) -> dict:
        def dimensions(path: tuple, leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
            names = [entry.key for entry in path]
            if names[-1] != "kernel" or "blocks" not in names:
                return None
            return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

        return jax.tree_util.tree_map_with_path(dimensions, params)

    muon = optax.contrib.muon(
        schedule, weight_decay=0.02, adam_weight_decay=0.02, muon_weight_dimension_numbers=matrices, consistent_rms=0.2
    )
    return optax.chain(optax.clip_by_global_norm(1.0), muon)


def train(args: argparse.Namespace) -> dict:
    """Runs the training and returns the parameters."""
    row = zoo.get("EVA02-embedded")
    args.work.mkdir(parents=True, exist_ok=True)
    images_file, scenes = render(args.work, count=args.images, seed=args.seed)
    rng = np.random.default_rng([args.seed, 2])
    vocabulary = args.work / "tokenizer.json"
    if not vocabulary.exists():
        texts = [procedural.caption(scene, rng) for scene in scenes[:20000]]
        texts += [text for name in ATTRIBUTES for _ in range(64) for text in procedural.attribute_prompts(name, rng)]
        tokenizers.train_tokenizer(texts, row.spec.text.vocabulary).save(str(vocabulary))
    tokenizer = tokenizers.get_tokenizer(f"file:{vocabulary}", row.spec.text.context)
    captions, prompts = make_texts(scenes, tokenizer, seed=args.seed)
    labels = {
        name: np.array([procedural.attribute_label(scene, name) for scene in scenes], np.int32) for name in ATTRIBUTES
    }
    _, groups = np.unique([json.dumps(vars(scene), sort_keys=True) for scene in scenes], return_inverse=True)

    optimizer = make_optimizer(args.rate, args.steps)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: dict, batch: dict, contrast: jax.Array) -> tuple[dict, dict]:
        key = jax.random.fold_in(jax.random.key(args.seed), state["step"])
        batch = batch | {"images": shifted(batch["images"], key)}
        (loss, log), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state["params"], batch, row, contrast)
        updates, optimizer_state = optimizer.update(gradient, state["optimizer"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": optimizer_state, "step": state["step"] + 1}, log | {"loss": loss}

    params = init_params(row.spec, args.seed)
    state = {"params": params, "optimizer": optimizer.init(params), "step": jnp.zeros((), jnp.int32)}
    manager = ocp.CheckpointManager(
        (args.work / "state").resolve(), options=ocp.CheckpointManagerOptions(max_to_keep=2, save_interval_steps=250)
    )
    if manager.latest_step() is not None:
        state = manager.restore(manager.latest_step(), args=ocp.args.StandardRestore(state))

    pixels = os.open(images_file, os.O_RDONLY)
    os.posix_fadvise(pixels, 0, 0, os.POSIX_FADV_RANDOM)

    def read(index: int) -> dict:
        rng = np.random.default_rng([args.seed, 3, index])
        chosen = rng.choice(len(scenes), args.batch, replace=False)
        return {
            "images": read_images(pixels, chosen),
            "captions": captions[chosen, rng.integers(CAPTIONS_PER_IMAGE, size=args.batch)],
            "prompts": {name: drawn[rng.integers(PROMPT_DRAWS)] for name, drawn in prompts.items()},
            "labels": {name: values[chosen] for name, values in labels.items()},
            "scene": groups[chosen],
        }

    started, first, logs = time.time(), int(state["step"]), []
    reader = concurrent.futures.ThreadPoolExecutor(1)
    following = reader.submit(read, first)
    for index in range(first, args.steps):
        batch, following = following.result(), reader.submit(read, index + 1)
        # Attributes first, then captions.
        state, log = step(state, batch, jnp.float32(min(1.0, index / (args.steps / 3))))
        logs.append(log)
        if (index + 1) % 50 == 0:
            means = {name: float(np.mean([entry[name] for entry in logs])) for name in log}
            rate = args.batch * (index + 1 - first) / (time.time() - started)
            shown = " ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"step {index + 1} {rate:.0f} img/s {shown}", flush=True)
            logs = []
        manager.save(index + 1, args=ocp.args.StandardSave(state))
    manager.save(args.steps, args=ocp.args.StandardSave(state), force=manager.latest_step() != args.steps)
    manager.wait_until_finished()
    return state["params"]


def export(params: dict, vocabulary: Path, out: Path) -> None:
    """Writes the parameters in the open_clip layout, and the vocabulary beside them."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = checkpoints_conv.export(jax.device_get(params), checkpoints_conv.FORMATS["open_clip_eva"].TABLE)
    tensors = {key: np.array(value, order="C") for key, value in tensors.items()}
    write_atomically(out / "model.safetensors", safetensors.numpy.save(tensors))
    write_atomically(out / "tokenizer.json", vocabulary.read_bytes())


def main() -> int:
    """Trains and exports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/embedded"), help="rendered images and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("checkpoints_conv/embedded"), help="where the result goes")
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    export(train(args), args.work / "tokenizer.json", args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
