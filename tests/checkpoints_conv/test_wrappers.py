"""What training code puts around weights is removed in every kind of file; where there are several, one is chosen."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints_conv import open_checkpoint, recognise
from checkpoints_conv.wrappers import WEIGHTS
from lrjax.errors import UserError
from lrjax.weights.checkpoint import checkpoint_hash, load_params

STATE = {
    "visual.conv1.weight": torch.ones(2, 3),
    "token_embedding.weight": torch.ones(4),
    "text_projection": torch.ones(1),
}
PREFIXES = (
    "module.",
    "model.",
    "clip.",
    "_orig_mod.",
    "_forward_module.",
    "_fsdp_wrapped_module.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.module._fsdp_wrapped_module._orig_mod.clip.",
)


def save(state, path):
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{key: value.numpy() for key, value in state.items()})
    else:
        torch.save(state, path)
    return path


def read_all(source):
    with open_checkpoint(source) as reader:
        return {key: reader.read(key) for key in reader.keys()}  # noqa: SIM118


def assert_is(source, state):
    found = read_all(source)
    assert list(found) == list(state)
    for key, value in state.items():
        np.testing.assert_array_equal(found[key], value.numpy(), strict=True)


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".safetensors", ".npz"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_all_keys(tmp_path, suffix, prefix):
    path = save({prefix + key: value for key, value in STATE.items()}, tmp_path / f"model{suffix}")
    found = read_all(path)
    assert found.keys() == STATE.keys()
    np.testing.assert_array_equal(found["visual.conv1.weight"], np.ones((2, 3)))
    with open_checkpoint(path) as reader:
        assert reader.shape("visual.conv1.weight") == (2, 3)
        assert recognise(reader.keys()) == "open_clip_clip"


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_of_inner_modules(tmp_path, wrapper):
    names = (f"visual.{wrapper}.conv1.weight", f"{wrapper}.token_embedding._orig_mod.weight", "text_projection")
    assert read_all(save(dict(zip(names, STATE.values(), strict=True)), tmp_path / "model.pt")).keys() == STATE.keys()


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name != "clip"])
def test_every_container(tmp_path, name):
    content = {name: {f"module.{key}": value for key, value in STATE.items()}, "epoch": 3, "optimizer": {"state": {}}}
    assert_is(save(content, tmp_path / "model.pt"), STATE)


def test_a_lightning_checkpoint(tmp_path):
    content = {
        "state_dict": {f"model.{key}": value for key, value in STATE.items()},
        "epoch": 1,
        "pytorch-lightning_version": "2.5",
        "callbacks": {"checkpoint": {"best": torch.ones(1)}},
        "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}],
        "hyper_parameters": {"model": {"name": "ViT-B-32"}},
    }
    assert_is(save(content, tmp_path / "last.ckpt"), STATE)


@pytest.mark.parametrize(("first", "second"), [("model", "model_ema"), ("state_dict", "state_dict_ema")])
@pytest.mark.parametrize("outer", [False, True])
def test_of_two_sets_of_weights_one_is_chosen(tmp_path, first, second, outer):
    average = {key: 2 * value for key, value in STATE.items()}
    content = {first: STATE, second: {f"module.{key}": value for key, value in average.items()}, "epoch": 1}
    path = save({"state_dict": content} if outer else content, tmp_path / "model.pt")
    with pytest.raises(UserError, match=f"the weights {first} and {second}; choose .*model.pt:{first} or .*:{second}$"):
        read_all(path)
    assert_is(f"{path}:{second}", average)
    if not (outer and first == "state_dict"):
        assert_is(f"{path}:{first}", STATE)
    with pytest.raises(UserError, match=r"holds the weights|holds no weights called 'other'"):
        read_all(f"{path}:other")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_of_two_prefixes_one_is_chosen(tmp_path, suffix):
    state = {f"model.{key}": value for key, value in STATE.items()}
    state |= {f"model_ema.module.{key}": 2 * value for key, value in STATE.items()}
    path = save(state, tmp_path / f"model{suffix}")
    with pytest.raises(UserError, match="holds the weights model and model_ema; choose"):
        read_all(path)
    found = read_all(f"{path}:model_ema")
    assert found.keys() == STATE.keys()
    np.testing.assert_array_equal(found["visual.conv1.weight"], 2 * np.ones((2, 3)))
    np.testing.assert_array_equal(read_all(f"{path}:model")["visual.conv1.weight"], np.ones((2, 3)))
    with pytest.raises(UserError, match="holds no weights called 'other'; its first keys are model"):
        read_all(f"{path}:other")


def test_other_keys_beside_those_of_a_wrapped_model(tmp_path):
    state = {f"model.{key}": value for key, value in STATE.items()} | {"head.weight": torch.ones(1)}
    path = save(state, tmp_path / "model.safetensors")
    with pytest.raises(
        UserError, match=r"holds the weights model beside 'head.weight'; choose .*model.safetensors:model$"
    ):
        read_all(path)
    assert read_all(f"{path}:model").keys() == STATE.keys()


def test_two_tensors_of_one_name(tmp_path):
    state = {"visual._orig_mod.proj": torch.ones(1), "visual.proj": torch.ones(1)}
    with pytest.raises(UserError, match="several tensors of one name"):
        read_all(save(state, tmp_path / "model.pt"))


def test_a_chosen_entry_is_loaded_and_has_a_hash_of_its_own(eva02, tmp_path):
    average = {key: 2 * value for key, value in eva02.state.items()}
    path = save({"model": eva02.state, "model_ema": average}, tmp_path / "model.pt")
    first, second = (load_params(eva02.row, f"{path}:{name}", target=eva02.target) for name in ("model", "model_ema"))
    np.testing.assert_array_equal(2 * first["image"]["class_token"], second["image"]["class_token"])
    hashes = {checkpoint_hash(path), checkpoint_hash(f"{path}:model"), checkpoint_hash(f"{path}:model_ema")}
    assert len(hashes) == 3
    with pytest.raises(UserError, match=r"missing.pt:model' does not exist"):
        load_params(eva02.row, "weights/missing.pt:model", target=eva02.target)
