"""Trained tokens as a file: what comes back and what is refused."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tiny
from lrjax import api
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.adaptation import last_blocks
from lrjax.models.lr_tokens import token_shape
from lrjax.weights.token_file import read_adaptation, write_adaptation


def adaptation():
    rng = np.random.default_rng(0)
    prompts = rng.normal(size=(3, tiny.WIDTH)).astype(np.float32)
    return {"tokens": tiny.random_tokens(), "prompts": prompts, "blocks": last_blocks(tiny.params(), 1)}


def test_an_adaptation_comes_back(tmp_path):
    path = tmp_path / "tokens.safetensors"
    write_adaptation(path, adaptation(), model=tiny.row().name, facts={"step": 7, "recipe": {"steps": 7}})
    found, facts = read_adaptation(path, tiny.row())
    jax.tree.map(np.testing.assert_array_equal, found, adaptation())
    assert facts == {"model": tiny.row().name, "step": 7, "recipe": {"steps": 7}}
    content = path.read_bytes()
    write_adaptation(path, adaptation(), model=tiny.row().name, facts={"recipe": {"steps": 7}, "step": 7})
    assert path.read_bytes() == content
    assert sorted(load_file(path))[-2:] == ["prompts", "tokens"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_numbers_that_nothing_can_be_computed_with_are_refused(tmp_path, value):
    tokens = tiny.random_tokens()
    tokens[1, 2, 3] = value
    write_adaptation(tmp_path / "tokens.safetensors", {"tokens": tokens}, model=tiny.row().name, facts={})
    with pytest.raises(UserError, match=r"tokens of .*tokens.safetensors holds NaN, infinite or huge numbers"):
        read_adaptation(tmp_path / "tokens.safetensors")
    with pytest.raises(UserError, match="the LR tokens hold NaN, infinite or huge numbers"):
        api.encode_image(tiny.predictor(), [tiny.picture(0, 40, 40)], lr_tokens=tokens)


@pytest.mark.parametrize("text", ["{", "[1]", '{"step": 1}', '{"model": 3}', "[" * 100_000])
def test_damaged_metadata(tmp_path, text):
    save_file({"tokens": tiny.random_tokens()}, tmp_path / "tokens.safetensors", {"lrjax": text})
    with pytest.raises(UserError, match=r"the metadata of .*tokens.safetensors (is damaged|names no model)"):
        read_adaptation(tmp_path / "tokens.safetensors")


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        (
            "EVA02-B-16",
            "EVA02-L-14",
            r"trained for EVA02-B-16: its tokens has the shape \[13, 196, 768\], but EVA02-L-14",
        ),
        ("ViT-L-14:openai", "ViT-L-14:laion2b_s32b_b82k", r"trained for ViT-L-14:openai, not for ViT-L-14:laion2b"),
        (
            "ViT-B-16:openai",
            "RN50:openai",
            r"trained for ViT-B-16:openai, not for RN50:openai, which has no patch rows",
        ),
    ],
)
def test_tokens_of_another_backbone_are_refused(tmp_path, name, size, words):
    path = tmp_path / "tokens.safetensors"
    tokens = np.zeros(token_shape(zoo.get(name).spec.image), np.float32)
    write_adaptation(path, {"tokens": tokens}, model=name, facts={})
    with pytest.raises(UserError, match=words):
        read_adaptation(path, zoo.get(size))
    with pytest.raises(UserError, match=words):
        api.load(size, lr_tokens=path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "tokens.safetensors"
    with pytest.raises(UserError, match=r"cannot be read .*name a tokens\.safetensors"):
        read_adaptation(path)
    save_file({"tokens": np.zeros(3, np.float32)}, path)
    with pytest.raises(UserError, match="holds no trained tokens"):
        read_adaptation(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="cannot be read"):
        read_adaptation(path)
    save_file({"a": np.zeros(3), "a/b": np.zeros(3)}, path, {"lrjax": json.dumps({"model": "x"})})
    with pytest.raises(UserError, match="tensors named like groups of tensors"):
        read_adaptation(path)
    save_file({"head": np.zeros(3, np.float32)}, path, {"lrjax": json.dumps({"model": tiny.row().name})})
    with pytest.raises(UserError, match=r"its head has the shape \[3\], but tiny needs None"):
        read_adaptation(path, tiny.row())
