"""CLIP of Scenic: written from open_clip models by a writer that knows no table."""

import jax
import numpy as np
import pytest
from safetensors.torch import save_file

import foreign_models
from checkpoints_conv import export, find_table, open_checkpoint, recognise
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from lrjax.weights.checkpoint import load_params
from torch_reference import tiny_open_clip


@pytest.mark.parametrize("family", ["clip_quick", "resnet"])
def test_there_and_back_with_the_same_embeddings(family, tmp_path):
    row = foreign_models.tiny_row(family)
    module = tiny_open_clip(family)
    arrays = foreign_models.scenic_arrays(module, row.spec)
    np.savez(tmp_path / "model.npz", **arrays)
    with open_checkpoint(tmp_path / "model.npz") as reader:
        assert recognise(reader.keys()) == "scenic_clip"
    target = abstract_params(row.spec)
    params = load_params(row, tmp_path / "model.npz", target=target)

    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    save_file(state, tmp_path / "open_clip.safetensors")
    other = load_params(row, tmp_path / "open_clip.safetensors", target=target)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), params, other)

    exported = export(params, find_table("scenic_clip", row.spec))
    assert exported.keys() == arrays.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, arrays[key], strict=True, err_msg=key)

    foreign_models.assert_same_embeddings(module, params, row.spec)


def test_the_pickled_dictionary_is_refused_not_executed(tmp_path):
    row = foreign_models.tiny_row("clip_quick")
    np.save(tmp_path / "vit_b16.npy", np.asarray({"visual.conv1.weight": np.zeros(3)}, dtype=object))
    with pytest.raises(UserError, match=r"pickled Python objects, which are never executed; convert the PyTorch file"):
        load_params(row, tmp_path / "vit_b16.npy", target=abstract_params(row.spec))
