"""TorchScript archives are read as torch.jit reads them, and what would run code is refused."""

import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch

from checkpoints_conv import FORMATS, convert, dropped, export, open_checkpoint, recognise
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from parity_helpers import tiny_open_clip_spec
from torch_reference import import_open_clip, tiny_open_clip


class Views(torch.nn.Module):
    """Tensors of several dtypes, one stored whole and seen in part and transposed, beside other attributes."""

    def __init__(self):
        super().__init__()
        base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
        self.register_buffer("part", base[1:3, ::2].t())
        self.register_buffer("whole", base)
        self.register_buffer("narrow", torch.tensor([1.5, -2.0]).bfloat16())
        self.register_buffer("number", torch.tensor(7))
        self.register_buffer("none", torch.zeros(0, 3))
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        self.sizes = [1, 2, 3]
        self.name = "views"

    def forward(self, x):
        return self.layers(x) * self.whole.sum() * len(self.sizes)


def read_all(path):
    with open_checkpoint(path) as reader:
        assert reader.format == "torchscript"
        return {key: (reader.shape(key), reader.read(key)) for key in reader.keys()}  # noqa: SIM118


def assert_equals_jit(path):
    expected = torch.jit.load(path).state_dict()
    found = read_all(path)
    assert found.keys() == expected.keys()
    for key, (shape, value) in found.items():
        tensor = expected[key]
        assert shape == tuple(tensor.shape) == value.shape
        if tensor.dtype == torch.bfloat16:
            assert value.dtype.name == "bfloat16"
            value, tensor = value.astype(np.float32), tensor.float()
        np.testing.assert_array_equal(value, tensor.numpy(), strict=True)
    return found


@pytest.mark.parametrize("compile_module", [torch.jit.script, lambda m: torch.jit.trace(m, torch.ones(1, 2))])
def test_tensors_equal_those_of_torch_jit(tmp_path, compile_module):
    compile_module(Views()).save(tmp_path / "model.pt")
    found = assert_equals_jit(tmp_path / "model.pt")
    assert {"part", "whole", "layers.0.weight"} <= found.keys()


def test_prefix_of_parallel_training_is_removed(tmp_path):
    class Parallel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Linear(2, 3)

        def forward(self, x):
            return self.module(x)

    torch.jit.script(Parallel()).save(tmp_path / "model.pt")
    assert read_all(tmp_path / "model.pt").keys() == {"weight", "bias"}


def openai_model(family):
    """A tiny model as OpenAI's files hold it: half precision but for norms and embeddings, and three sizes."""
    module = tiny_open_clip(family)
    import_open_clip().model.convert_weights_to_fp16(module)
    for name, value in (("input_resolution", 32), ("context_length", 12), ("vocab_size", 96)):
        if hasattr(module, name):
            delattr(module, name)
        module.register_buffer(name, torch.tensor(value))
    return module


@pytest.mark.parametrize("family", ["clip_quick", "resnet"])
def test_openai_archives(family, tmp_path):
    module, path = openai_model(family), tmp_path / "model.pt"
    torch.jit.script(module).save(path)
    assert_equals_jit(path)
    target = abstract_params(tiny_open_clip_spec(family))
    with open_checkpoint(path) as reader:
        assert recognise(reader.keys()) == "open_clip_clip"
        table = FORMATS["open_clip_clip"].TABLE
        left_out = dropped(reader.keys(), table)
        tree = convert(reader, table, target)
    counters = {key for key in left_out if key.endswith("num_batches_tracked")}
    assert left_out.keys() - counters == {"input_resolution", "context_length", "vocab_size", "attn_mask"}
    assert bool(counters) == (family == "resnet")
    exported = export(tree, table)
    state = module.state_dict()
    assert exported.keys() == state.keys() - left_out.keys()
    assert {state[key].dtype for key in exported} == {torch.float16, torch.float32}
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].float().numpy(), strict=True, err_msg=key)


def test_pytorch_is_not_needed(tmp_path, monkeypatch):
    torch.jit.script(torch.nn.Linear(2, 3)).save(tmp_path / "model.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert read_all(tmp_path / "model.pt").keys() == {"weight", "bias"}


def rewrite(path, *, tree=None, without=()):
    """Rewrites an archive with another description of its modules, or without some files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith(tuple(without or " "))}
    if tree is not None:
        files[next(name for name in files if name.endswith("/data.pkl"))] = tree
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def linear(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 3)).save(tmp_path / "model.pt")
    return tmp_path / "model.pt"


def failing(path):
    with pytest.raises(UserError) as caught, open_checkpoint(path):
        pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("function", "named"), [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (np.load, "load")]
)
def test_calls_are_refused_and_not_executed(linear, tmp_path, function, named):
    trace = tmp_path / "executed"
    arguments = (f"touch {trace}",) if function is os.system else (f"open({str(trace)!r}, 'w')",)
    message = failing(rewrite(linear, tree=pickle.dumps({"weight": Call(function, *arguments)}, protocol=2)))
    assert "never executed" in message and named in message
    assert not trace.exists()


@pytest.mark.parametrize("opcode", [b"i", b"c"])
def test_every_opcode_that_looks_a_name_up_is_refused(linear, tmp_path, opcode):
    trace = tmp_path / "executed"
    command = f"S'touch {trace}'\n".encode()
    call = b"(" + command + b"iposix\nsystem\n." if opcode == b"i" else b"cposix\nsystem\n(" + command + b"tR."
    assert "posix.system" in failing(rewrite(linear, tree=call))
    assert not trace.exists()


def describe(size=(3, 2), stride=(2, 1), offset=0, kind=b"FloatStorage", key=b"0"):
    """The pickle of a module with one tensor."""
    numbers = "".join(f"(I{a}\nI{b}\nt" for a, b in (size, stride)).encode()
    storage = b"(Vstorage\nctorch\n" + kind + b"\nV" + key + b"\nVcpu\nI6\ntQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + f"I{offset}\n".encode() + numbers + b"I00\n}tR"
    return b"\x80\x02c__torch__\nM\n)\x81}Vweight\n" + tensor + b"sb."


def test_a_described_tensor_is_read(linear):
    expected = torch.jit.load(linear).weight.detach().numpy()
    np.testing.assert_array_equal(read_all(rewrite(linear, tree=describe()))["weight"][1], expected)


@pytest.mark.parametrize(
    "wrong", [{"size": (4, 2)}, {"stride": (3, 1)}, {"offset": 1}, {"offset": -1}, {"stride": (-2, 1)}, {"key": b"7"}]
)
def test_views_beyond_the_storage_are_damage(linear, wrong):
    assert "damaged" in failing(rewrite(linear, tree=describe(**wrong)))


def test_unknown_storages_are_refused(linear):
    assert "QInt8Storage" in failing(rewrite(linear, tree=describe(kind=b"QInt8Storage")))


@pytest.mark.parametrize("tree", [b"", b"\x80\x02", b"garbage", pickle.dumps([1])], ids=range(4))
def test_damaged_descriptions(linear, tree):
    assert "damaged" in failing(rewrite(linear, tree=tree))


def test_a_module_that_holds_itself_is_damage(linear):
    assert "damaged" in failing(rewrite(linear, tree=b"\x80\x02c__torch__\nM\n)\x81q\x00}Vself\nh\x00sb."))


def test_missing_files(linear):
    assert "damaged" in failing(rewrite(linear, without=["data/0"]))


def test_changed_bytes_are_noticed_when_they_are_read(tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.script(torch.nn.Linear(64, 64)).save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    content[info.header_offset + 4096] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_all(path)


def test_an_archive_without_tensors(tmp_path):
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "model.pt")
    assert "no tensors" in failing(tmp_path / "model.pt")
