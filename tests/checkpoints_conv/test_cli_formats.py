"""The command line with the layouts of transformers, big_vision and Scenic, both ways."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import foreign_models
from checkpoints_conv.__main__ import main
from lrjax.models import zoo
from torch_reference import tiny_open_clip


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    for family in ("clip_quick", "siglip"):
        row = foreign_models.tiny_row(family)
        monkeypatch.setitem(zoo.BACKBONES, row.name, row)


def convert(model, source, out):
    return main(["--model", model, "--source", str(source), "--out", str(out)])


def reverse(source, out, *more):
    return main(["--reverse", "--source", str(source), "--out", str(out), *more])


def failing(capsys, status):
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def assert_arrays(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, strict=True, err_msg=key)


def state_of(module):
    return {key: np.asarray(value.numpy(), order="C") for key, value in module.state_dict().items()}


def recorded_format(directory):
    return json.loads((directory / "model.json").read_text())["format"]


def test_clip_through_every_layout(tmp_path, capsys):
    spec = foreign_models.tiny_row("clip_quick").spec
    module = tiny_open_clip("clip_quick")
    state, arrays = state_of(module), foreign_models.scenic_arrays(module, spec)
    np.savez(tmp_path / "scenic.npz", **arrays)
    assert convert("Tiny-ViT-B-16", tmp_path / "scenic.npz", tmp_path / "one") == 0
    assert recorded_format(tmp_path / "one") == "scenic_clip"
    assert reverse(tmp_path / "one", tmp_path / "hf.safetensors", "--format", "hf_clip") == 0
    assert convert("Tiny-ViT-B-16", tmp_path / "hf.safetensors", tmp_path / "two") == 0
    assert recorded_format(tmp_path / "two") == "hf_clip"
    assert reverse(tmp_path / "two", tmp_path / "open_clip.safetensors", "--format", "open_clip") == 0
    assert_arrays(load_file(tmp_path / "open_clip.safetensors"), state)
    assert reverse(tmp_path / "one", tmp_path / "back.npz") == 0
    assert_arrays(np.load(tmp_path / "back.npz"), arrays)
    capsys.readouterr()

    wrong = reverse(tmp_path / "two", tmp_path / "x.safetensors", "--format", "hf_siglip")
    assert "Tiny-ViT-B-16 cannot be written as hf_siglip" in failing(capsys, wrong)
    wrong = reverse(tmp_path / "two", tmp_path / "x.safetensors", "--format", "scenic_clip")
    assert "must end in .npz" in failing(capsys, wrong)
    assert "must end in .safetensors" in failing(capsys, reverse(tmp_path / "two", tmp_path / "x.npz"))
    wrong = convert("Tiny-ViT-B-16@48", tmp_path / "hf.safetensors", tmp_path / "three")
    assert "resampled when it is loaded" in failing(capsys, wrong)
    wrong = convert("Tiny-ViT-B-16-SigLIP", tmp_path / "hf.safetensors", tmp_path / "three")
    assert "Tiny-ViT-B-16-SigLIP" in failing(capsys, wrong)
    assert not (tmp_path / "three").exists()


def test_siglip_through_every_layout(tmp_path):
    spec = foreign_models.tiny_row("siglip").spec
    module = foreign_models.tiny_hf(spec)
    save_file(state_of(module), tmp_path / "hf.safetensors")
    assert convert("Tiny-ViT-B-16-SigLIP", tmp_path / "hf.safetensors", tmp_path / "one") == 0
    assert recorded_format(tmp_path / "one") == "hf_siglip"
    for scanned, layout in ((False, "big_vision_siglip"), (True, "big_vision_siglip_scanned")):
        path = tmp_path / f"{layout}.npz"
        assert reverse(tmp_path / "one", path, "--format", layout) == 0
        assert_arrays(np.load(path), foreign_models.big_vision_arrays(module, spec, scanned=scanned))
        assert convert("Tiny-ViT-B-16-SigLIP", path, tmp_path / layout) == 0
        assert recorded_format(tmp_path / layout) == layout
    assert reverse(tmp_path / layout, tmp_path / "back.safetensors", "--format", "hf_siglip") == 0
    assert_arrays(load_file(tmp_path / "back.safetensors"), state_of(module))


def test_keys_of_two_layouts_are_ambiguous(tmp_path, capsys):
    module, spec = tiny_open_clip("clip_quick"), foreign_models.tiny_row("clip_quick").spec
    arrays = state_of(module) | foreign_models.scenic_arrays(module, spec)
    np.savez(tmp_path / "both.npz", **arrays)
    message = failing(capsys, convert("Tiny-ViT-B-16", tmp_path / "both.npz", tmp_path / "out"))
    assert f"{tmp_path / 'both.npz'} fits several formats (open_clip_clip, scenic_clip)" in message
    np.savez(tmp_path / "none.npz", a=np.zeros(2))
    message = failing(capsys, convert("Tiny-ViT-B-16", tmp_path / "none.npz", tmp_path / "out"))
    assert f"{tmp_path / 'none.npz'} is of no known format, with keys such as 'a'; use" in message
