"""Checkpoints in several files, and directories that are laid out as on the hub."""

import json
import shutil

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lrjax.errors import UserError
from lrjax.weights.checkpoint import checkpoint_hash, load_params


def write_shards(state, folder, suffix=".safetensors"):
    """Writes three files and their index, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, files = {".safetensors": "model", ".bin": "pytorch_model"}[suffix], {}
    for number in range(3):
        name = f"{stem}-{number + 1:05d}-of-00003{suffix}"
        part = {key: state[key].clone() for key in list(state)[number::3]}
        (save_file if suffix == ".safetensors" else torch.save)(part, folder / name)
        files |= dict.fromkeys(part, name)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    return index


def load(eva02, source):
    return load_params(eva02.row, source, target=eva02.target)


def assert_same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), first, second)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_shards_give_the_tree_of_one_file(eva02, source, tmp_path, suffix, prefix):
    index = write_shards({prefix + key: value for key, value in eva02.state.items()}, tmp_path / "shards", suffix)
    assert_same(load(eva02, index), load(eva02, source))
    assert_same(load(eva02, index.parent), load(eva02, source))


def test_the_hash_covers_every_file(eva02, tmp_path):
    index = write_shards(eva02.state, tmp_path / "shards")
    first = checkpoint_hash(index)
    assert first == checkpoint_hash(index.parent)
    key = next(iter(eva02.state))
    write_shards(eva02.state | {key: eva02.state[key] + 1}, tmp_path / "shards")
    assert checkpoint_hash(index) != first


def test_what_is_missing_of_shards_is_named(eva02, tmp_path):
    index = write_shards(eva02.state, tmp_path / "shards")
    content = json.loads(index.read_text())
    lost = index.with_name("model-00002-of-00003.safetensors")
    save_file({"other": torch.ones(1)}, lost)
    with pytest.raises(UserError, match=r"model-00002-of-00003.safetensors lacks "):
        load(eva02, index)
    lost.unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00003.safetensors does not exist"):
        load(eva02, index)
    with pytest.raises(UserError, match=r"model-00002-of-00003.safetensors cannot be read"):
        checkpoint_hash(index)
    outside = {"weight_map": dict.fromkeys(content["weight_map"], "../source.safetensors")}
    for text in ("{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', json.dumps(outside), "[" * 100_000):
        index.write_text(text)
        with pytest.raises(UserError, match="is damaged or no index of a checkpoint"):
            load(eva02, index)


@pytest.mark.parametrize(
    "name",
    ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin"],
)
def test_a_directory_of_the_hub(eva02, source, tmp_path, name):
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "0a1b"
    blob = tmp_path / "models--org--tiny" / "blobs" / "ff"
    blob.parent.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    shutil.copy(source, blob) if name.endswith(".safetensors") else torch.save(eva02.state, blob)
    (snapshot / name).symlink_to(blob)
    assert_same(load(eva02, snapshot), load(eva02, source))
    assert checkpoint_hash(snapshot) == checkpoint_hash(blob)


def test_a_directory_without_a_checkpoint(eva02, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "epoch_3.pt").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"is not a converted checkpoint and holds none of open_clip_model.safetensors, "
    ):
        load(eva02, tmp_path / "weights")
