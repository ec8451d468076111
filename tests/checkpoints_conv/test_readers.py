import argparse
import sys

import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import torch

from checkpoints_conv import open_checkpoint
from lrjax.errors import UserError

STATE = {"a": torch.arange(6, dtype=torch.float16).reshape(2, 3), "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}


def check(path, kind):
    with open_checkpoint(path) as reader:
        assert reader.format == kind
        assert sorted(reader.keys()) == ["a", "b"]
        assert reader.shape("a") == (2, 3)
        np.testing.assert_array_equal(reader.read("a"), np.arange(6, dtype=np.float16).reshape(2, 3), strict=True)
        np.testing.assert_array_equal(reader.read("b"), np.asarray([1.5, -2], ml_dtypes.bfloat16), strict=True)


def test_safetensors(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "model.safetensors")
    check(tmp_path / "model.safetensors", "safetensors")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"module": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"state_dict": {"model": {f"module.{key}": value for key, value in state.items()}}},
        lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
    ],
)
def test_torch_containers(tmp_path, suffix, wrap):
    torch.save(wrap(STATE), tmp_path / f"model{suffix}")
    check(tmp_path / f"model{suffix}", "torch")


def test_torch_files_of_the_old_format(tmp_path):
    torch.save(STATE, tmp_path / "model.pt", _use_new_zipfile_serialization=False)
    check(tmp_path / "model.pt", "torch")


def failing(path):
    with pytest.raises(UserError) as caught, open_checkpoint(path):
        pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_directory_and_suffix(tmp_path):
    assert "does not exist" in failing(tmp_path / "model.pt")
    assert "is a directory" in failing(tmp_path)
    (tmp_path / "model.h5").write_bytes(b"x")
    assert "unknown suffix" in failing(tmp_path / "model.h5")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_truncated_files(tmp_path, name, kept):
    path = tmp_path / name
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(STATE, path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert "damaged" in failing(path)


def test_pickled_objects_are_refused_not_executed(tmp_path):
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "model.pt")
    assert "never executed" in failing(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[torch.ones(1)], {}, torch.ones(2)])
def test_files_without_a_dictionary(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    assert "no dictionary of tensors" in failing(tmp_path / "model.pt")


def test_entries_that_are_not_tensors(tmp_path):
    torch.save(STATE | {"step": 3}, tmp_path / "model.pt")
    assert "'step'" in failing(tmp_path / "model.pt")


def test_missing_torch_names_the_extra(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "model.pt")
    safetensors.torch.save_file(STATE, tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install torch" in failing(tmp_path / "model.pt")
    check(tmp_path / "model.safetensors", "safetensors")


def quantised():
    return torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (torch.ones(2, 3, dtype=torch.float8_e4m3fn), "float8_e4m3fn"),
        (torch.ones(2, 3, dtype=torch.float8_e5m2), "float8_e5m2"),
        (torch.ones(2, 3, dtype=torch.int8), "int8"),
        (torch.ones(2, 3, dtype=torch.int64), "int64"),
        (torch.ones(2, 3, dtype=torch.bool), "bool"),
        (torch.ones(2, 3, dtype=torch.complex64), "complex64"),
        (torch.ones(2, 3).to_sparse(), "a sparse tensor"),
        (torch.ones(2, 3).to_sparse_csr(), "a sparse tensor"),
        (quantised(), "quantised numbers"),
        (torch.ones(2, 3, device="meta"), "no values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_are_no_floats_are_refused_when_they_are_read(tmp_path, tensor, found, zipped):
    path = tmp_path / "model.pt"
    torch.save(STATE | {"c": tensor}, path, _use_new_zipfile_serialization=zipped)
    if found.startswith("float8") and not zipped:  # PyTorch itself cannot read them
        assert "not readable by this PyTorch" in failing(path)
        return
    with open_checkpoint(path) as reader:
        assert reader.shape("c") == (2, 3)
        np.testing.assert_array_equal(reader.read("b"), np.asarray([1.5, -2], ml_dtypes.bfloat16), strict=True)
        with pytest.raises(UserError, match=f"'c' of .*model.pt holds {found}, not floats of 16 bits or more"):
            reader.read("c")


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        (torch.float8_e4m3fn, "F8_E4M3"),
        (torch.float8_e5m2, "F8_E5M2"),
        (torch.int8, "I8"),
        (torch.bool, "BOOL"),
        (torch.complex64, "C64"),
    ],
)
def test_the_same_of_safetensors(tmp_path, dtype, found):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(STATE | {"c": torch.ones(2, 3, dtype=dtype)}, path)
    with open_checkpoint(path) as reader:
        assert reader.shape("c") == (2, 3)
        with pytest.raises(UserError, match=f"'c' of .*model.safetensors holds {found}, not floats"):
            reader.read("c")
