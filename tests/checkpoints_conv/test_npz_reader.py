import ml_dtypes
import numpy as np
import pytest

from checkpoints_conv import open_checkpoint
from lrjax.errors import UserError

ARRAYS = {
    "params/a/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "params/t": np.asarray(2.5, np.float32),
    "params/b": np.arange(6, dtype=np.float16).reshape(2, 3, order="F"),
    "params/c": np.asarray([1.5, -2], ml_dtypes.bfloat16),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["model.npz", "model.npy"])
def test_arrays(tmp_path, save, name):
    save(tmp_path / "model.npz", **ARRAYS)
    (tmp_path / "model.npz").rename(tmp_path / name)
    with open_checkpoint(tmp_path / name) as reader:
        assert reader.format == "npz"
        assert reader.keys() == list(ARRAYS)
        for key, value in ARRAYS.items():
            assert reader.shape(key) == value.shape
            np.testing.assert_array_equal(reader.read(key), value, strict=True)


def test_only_the_array_asked_for_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "model.npz", **ARRAYS)
    read, shapes = np.lib.format.read_array, []

    def counting(*args, **options):
        assert options == {"allow_pickle": False}
        shapes.append(read(*args, **options).shape)
        return np.zeros(1)

    monkeypatch.setattr(np.lib.format, "read_array", counting)
    with open_checkpoint(tmp_path / "model.npz") as reader:
        found = [reader.shape(key) for key in ARRAYS]
        assert found == [value.shape for value in ARRAYS.values()]
        assert shapes == []
        reader.read("params/b")
    assert shapes == [(2, 3)]


def failing(path, key=None):
    with pytest.raises(UserError) as caught, open_checkpoint(path) as reader:
        reader.read(key)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_truncated_files(tmp_path, save, kept):
    path = tmp_path / "model.npz"
    save(path, **ARRAYS)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert "damaged" in failing(path)


def test_changed_bytes_are_noticed(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **ARRAYS)
    content = path.read_bytes()
    values = ARRAYS["params/a/kernel"].tobytes()
    path.write_bytes(content.replace(values, values[:-1] + b"\x01"))
    assert "'params/a/kernel'" in failing(path, "params/a/kernel")
    path.write_bytes(content.replace(b"\x93NUMPY", b"\x93NUMPX", 1))
    assert "damaged or no array" in failing(path)
    path.write_bytes(content.replace(b"(2, 3, 4)", b"(2, 3, 9)", 1))
    assert "damaged" in failing(path, "params/a/kernel")


def test_pickled_objects_are_refused_not_executed(tmp_path):
    np.savez(tmp_path / "model.npz", good=np.zeros(2), bad=np.asarray([{"a": 1}], dtype=object))
    assert "'bad'" in (message := failing(tmp_path / "model.npz")) and "never executed" in message
    np.save(tmp_path / "model.npy", np.asarray({"a": np.zeros(2)}, dtype=object))
    assert "never executed" in failing(tmp_path / "model.npy")


def test_files_that_are_no_archives(tmp_path):
    np.save(tmp_path / "model.npy", np.zeros(3))
    assert "holds one array" in failing(tmp_path / "model.npy")
    np.savez(tmp_path / "model.npz")
    assert "holds no arrays" in failing(tmp_path / "model.npz")
    (tmp_path / "model.npz").write_text("hello, this is no archive")
    assert "damaged" in failing(tmp_path / "model.npz")
