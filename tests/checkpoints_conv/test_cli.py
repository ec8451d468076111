import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from checkpoints_conv.__main__ import main
from torch_reference import original_eva_keys

pytestmark = pytest.mark.usefixtures("tiny_zoo")


def convert(source, out, *more):
    return main(["--model", "Tiny-EVA02", "--source", str(source), "--out", str(out), *more])


def reverse(source, out, *more):
    return main(["--reverse", "--source", str(source), "--out", str(out), *more])


def failing(capsys, status):
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def assert_state(path, state):
    found = load_file(path)
    assert found.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(found[key], value.numpy(), strict=True, err_msg=key)


def test_there_and_back(eva02, source, tmp_path):
    assert convert(source, tmp_path / "new" / "model") == 0
    metadata = json.loads((tmp_path / "new" / "model" / "model.json").read_text())
    assert (
        metadata.items()
        >= {
            "model": "Tiny-EVA02",
            "source": "source.safetensors",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "format": "open_clip_eva",
            "container": "safetensors",
            "dtype": "float32",
            "dropped": {},
        }.items()
    )
    assert metadata["lrjax"]
    assert reverse(tmp_path / "new" / "model", tmp_path / "back.safetensors") == 0
    assert_state(tmp_path / "back.safetensors", eva02.state)
    assert reverse(tmp_path / "new" / "model", tmp_path / "original.safetensors", "--format", "eva_original") == 0
    assert_state(tmp_path / "original.safetensors", original_eva_keys(eva02.state))


def test_original_torch_file_in_bfloat16(eva02, tmp_path):
    torch.save({"model": original_eva_keys(eva02.state)}, tmp_path / "original.pt")
    assert convert(tmp_path / "original.pt", tmp_path / "model", "--dtype", "bfloat16") == 0
    assert (
        reverse(tmp_path / "model", tmp_path / "back.safetensors", "--format", "open_clip", "--model", "Tiny-EVA02")
        == 0
    )
    found = load_file(tmp_path / "back.safetensors")
    for key, value in eva02.state.items():
        np.testing.assert_array_equal(found[key].view(np.int16), value.bfloat16().view(torch.int16).numpy())


def test_results_are_replaced_only_on_request(source, tmp_path, capsys):
    out, file = tmp_path / "model", tmp_path / "back.safetensors"
    out.mkdir()
    assert convert(source, out) == 0
    assert "--force" in failing(capsys, convert(source, out))
    assert convert(source, out, "--force", "--dtype", "bfloat16") == 0
    assert json.loads((out / "model.json").read_text())["dtype"] == "bfloat16"
    assert reverse(out, file) == 0
    assert "--force" in failing(capsys, reverse(out, file))
    assert reverse(out, file, "--force") == 0


def test_mistakes_are_one_line_and_leave_nothing(eva02, source, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "model"
    assert "does not exist" in failing(capsys, convert(tmp_path / "missing.pt", out))
    status = main(["--model", "EVA03", "--source", str(source), "--out", str(out)])
    assert "unknown backbone 'EVA03'" in failing(capsys, status)
    assert "not a directory" in failing(capsys, reverse(source, tmp_path / "x.safetensors"))
    assert "not a converted checkpoint" in failing(capsys, reverse(tmp_path, tmp_path / "x.safetensors"))
    assert sorted(tmp_path.iterdir()) == before
    source.write_bytes(source.read_bytes()[:-10])
    assert "damaged" in failing(capsys, convert(source, out))
    torch.save(eva02.state | {"visual.extra": torch.zeros(2)}, tmp_path / "more.pt")
    assert "'visual.extra' has no target in Tiny-EVA02" in failing(capsys, convert(tmp_path / "more.pt", out))
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "more.pt"])


def test_reverse_checks_model_and_suffix(source, tmp_path, capsys):
    assert convert(source, tmp_path / "model") == 0
    capsys.readouterr()
    status = reverse(tmp_path / "model", tmp_path / "back.safetensors", "--model", "EVA02-L-14")
    assert "holds Tiny-EVA02, not EVA02-L-14" in failing(capsys, status)
    for name in ("back.pt", "back.npz", "back"):
        message = failing(capsys, reverse(tmp_path / "model", tmp_path / name))
        assert f"output {tmp_path / name} must end in .safetensors, the suffix of open_clip_eva files" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["--source", "a.pt", "--out", "b"],
        ["--model", "x", "--source", "a.pt", "--out", "b", "--format", "open_clip"],
        ["--reverse", "--source", "a", "--out", "b.safetensors", "--dtype", "float32"],
    ],
)
def test_flags_that_do_not_go_together(arguments, capsys):
    assert main(arguments) == 2
    assert "error: --" in capsys.readouterr().err
