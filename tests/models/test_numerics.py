"""Activation and epsilon: those of open_clip, or those of the training where it had others."""

import dataclasses

import jax
import numpy as np
import pytest
import torch

import foreign_models
from lrjax.errors import UserError
from lrjax.models.build import Encoders, abstract_params
from lrjax.models.zoo import BACKBONES, with_numerics
from parity_helpers import convert_module, make_inputs
from torch_reference import tiny_open_clip


def text_embeddings(spec, params):
    return np.asarray(jax.jit(Encoders(spec).text)(params, make_inputs(spec)[1]))


@pytest.mark.parametrize("row", BACKBONES.values(), ids=BACKBONES.keys())
def test_only_clipa_and_siglip_were_trained_otherwise(row):
    trained = with_numerics(row, "as_trained")
    assert with_numerics(row, "open_clip") is row
    if row.family not in ("CLIPA", "SigLIP"):
        assert trained is row
        return
    assert trained.name == row.name
    for before, after in ((row.spec.image, trained.spec.image), (row.spec.text, trained.spec.text)):
        assert (before.blocks.activation, after.blocks.activation, after.blocks.eps) == ("gelu_erf", "gelu_tanh", 1e-6)
        assert dataclasses.replace(after, blocks=before.blocks) == before
    assert before.blocks.eps == {"CLIPA": 1e-5, "SigLIP": 1e-6}[row.family]


def test_siglip_is_that_of_transformers(tmp_path):
    from transformers import SiglipTextConfig, SiglipVisionConfig

    row = foreign_models.tiny_row("siglip")
    spec = with_numerics(row, "as_trained").spec
    for config, tower in ((SiglipVisionConfig(), spec.image), (SiglipTextConfig(), spec.text)):
        assert config.hidden_act == foreign_models.HIDDEN_ACTS[tower.blocks.activation] == "gelu_pytorch_tanh"
        assert config.layer_norm_eps == tower.blocks.eps
    module = foreign_models.tiny_hf(spec)
    params = convert_module(module, spec, tmp_path / "model.safetensors")
    foreign_models.assert_same_embeddings(module, params, spec)
    assert np.abs(text_embeddings(row.spec, params) - text_embeddings(spec, params)).max() > 1e-5


def test_clipa_is_open_clip_with_tanh_and_the_smaller_epsilon(tmp_path):
    row = foreign_models.tiny_row("clipa")
    spec, module = with_numerics(row, "as_trained").spec, tiny_open_clip("clipa")
    for part in module.modules():
        if isinstance(part, torch.nn.GELU):
            part.approximate = "tanh"
        elif isinstance(part, torch.nn.LayerNorm):
            part.eps = 1e-6
    with torch.no_grad():  # rows so small that the epsilon counts in the first norm
        for name, parameter in module.named_parameters():
            if "embedding" in name or "conv1" in name:
                parameter.mul_(1e-2)
    params = convert_module(module, spec, tmp_path / "model.safetensors")
    foreign_models.assert_same_embeddings(module, params, spec)
    for wrong in ({"activation": "gelu_erf"}, {"eps": 1e-5}):
        text = dataclasses.replace(spec.text, blocks=dataclasses.replace(spec.text.blocks, **wrong))
        other = text_embeddings(dataclasses.replace(spec, text=text), params)
        assert np.abs(other - text_embeddings(spec, params)).max() > 1e-5, wrong
    assert abstract_params(spec) == abstract_params(row.spec)


def test_unknown_numerics():
    with pytest.raises(UserError, match='unknown numerics \'exact\'; use "open_clip" or "as_trained"'):
        with_numerics(BACKBONES["RN50:openai"], "exact")
