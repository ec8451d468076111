"""CLIP and SigLIP of transformers: there and back, and the same embeddings."""

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

import foreign_models
from checkpoints_conv import FORMATS, export, open_checkpoint, recognise
from lrjax.errors import UserError
from lrjax.models.build import Encoders, abstract_params
from lrjax.weights.checkpoint import load_params
from parity_helpers import make_inputs

CASES = {"hf_clip": "clip_quick", "hf_siglip": "siglip"}


def load(row, path):
    return load_params(row, path, target=abstract_params(row.spec))


def save(module, path):
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("layout", CASES)
def test_round_trip_is_bit_identical(layout, tmp_path):
    row = foreign_models.tiny_row(CASES[layout])
    module = foreign_models.tiny_hf(row.spec)
    path = save(module, tmp_path / "model.safetensors")
    with open_checkpoint(path) as reader:
        assert recognise(reader.keys()) == layout
    exported = export(load(row, path), FORMATS[layout].TABLE)
    state = module.state_dict()
    assert exported.keys() == state.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].numpy(), strict=True, err_msg=key)
    # the class itself reads the file that comes back
    module.config.save_pretrained(tmp_path / "back")
    save_arrays(exported, tmp_path / "back" / "model.safetensors", metadata={"format": "pt"})
    back, report = type(module).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values())
    inputs = make_inputs(row.spec)
    for found, expected in zip(foreign_models.embed(back, *inputs), foreign_models.embed(module, *inputs), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("layout", "activation"),
    [("hf_clip", "quick_gelu"), ("hf_clip", "gelu_erf"), ("hf_siglip", "gelu_tanh"), ("hf_siglip", "gelu_erf")],
)
def test_embeddings(layout, activation, tmp_path):
    row = foreign_models.tiny_row(CASES[layout], activation=activation)
    module = foreign_models.tiny_hf(row.spec)
    params = load(row, save(module, tmp_path / "model.safetensors"))
    foreign_models.assert_same_embeddings(module, params, row.spec)


def test_the_gelu_is_all_that_differs_between_siglip_here_and_in_transformers(tmp_path):
    exact = foreign_models.tiny_row(CASES["hf_siglip"])
    tanh = foreign_models.tiny_row(CASES["hf_siglip"], activation="gelu_tanh")
    assert exact.spec.image.blocks.activation == exact.spec.text.blocks.activation == "gelu_erf"
    module = foreign_models.tiny_hf(tanh.spec)
    params = load(exact, save(module, tmp_path / "model.safetensors"))
    images, tokens = make_inputs(exact.spec)
    expected, _ = foreign_models.embed(module, images, tokens)
    with_exact, with_tanh = (
        np.abs(jax.jit(Encoders(row.spec).image)(params, images) - expected).max() for row in (exact, tanh)
    )
    assert with_tanh < 2e-6
    assert with_exact > 2e-5


@pytest.mark.parametrize("layout", CASES)
def test_older_torch_files_with_position_ids(layout, tmp_path):
    row = foreign_models.tiny_row(CASES[layout])
    module = foreign_models.tiny_hf(row.spec)
    state = module.state_dict()
    for tower, count in (("vision_model", 16), ("text_model", 12)):
        state[f"{tower}.embeddings.position_ids"] = torch.arange(count)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    params = load(row, tmp_path / "pytorch_model.bin")
    weight = state["text_model.encoder.layers.1.mlp.fc1.weight"].numpy()
    np.testing.assert_array_equal(params["text"]["blocks"]["mlp"]["up"]["kernel"][1], weight.T)


def test_leaves_hold_the_tensors_that_their_names_promise(tmp_path):
    row = foreign_models.tiny_row(CASES["hf_siglip"])
    module = foreign_models.tiny_hf(row.spec)
    params = load(row, save(module, tmp_path / "model.safetensors"))
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    fused = state["vision_model.head.attention.in_proj_weight"]
    pooler = params["image"]["pooler"]
    np.testing.assert_array_equal(pooler["attention"]["k"]["kernel"], fused[48:96].T)
    np.testing.assert_array_equal(pooler["probe"], state["vision_model.head.probe"][0, 0])
    np.testing.assert_array_equal(params["text"]["head"]["bias"], state["text_model.head.bias"])
    assert params["logit_bias"] == state["logit_bias"][0]
    assert params["logit_bias"].shape == ()


def test_keys_of_two_models_are_ambiguous():
    keys = {
        layout: list(foreign_models.tiny_hf(foreign_models.tiny_row(family).spec).state_dict())
        for layout, family in CASES.items()
    }
    with pytest.raises(UserError, match=r"several formats \(hf_clip, hf_siglip\)"):
        recognise([*keys["hf_clip"], *keys["hf_siglip"]])
    with pytest.raises(UserError, match="no known format"):
        recognise([key for key in keys["hf_clip"] if key.startswith("vision_model")])
