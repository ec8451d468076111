import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.results.parts import Parts


def test_parts_come_back_and_belong_to_their_key(tmp_path):
    one, other = Parts(tmp_path / "new", "one"), Parts(tmp_path / "new", "other")
    arrays = {"index": np.arange(3), "score": np.float16([0.5, 1, 2]), "none": np.zeros((0, 4), np.int32)}
    one.add("0-3", arrays)
    other.add("0-3", {"index": np.arange(9)})
    assert one.has("0-3")
    assert not one.has("3-6")
    found = one.get("0-3")
    assert found.keys() == arrays.keys()
    for name, rows in arrays.items():
        np.testing.assert_array_equal(found[name], rows)
        assert found[name].dtype == rows.dtype
    one.clear()
    assert not one.has("0-3")
    assert other.has("0-3")
    one.clear()


def test_damaged_and_missing_parts_are_named(tmp_path):
    shards = Parts(tmp_path, "key")
    shards.add("0-3", {"index": np.arange(100)})
    path = tmp_path / "key-0-3.npz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"key-0-3\.npz is damaged .* delete it"):
        shards.get("0-3")
    with pytest.raises(UserError, match=r"key-3-6\.npz is missing"):
        shards.get("3-6")


def test_pickles_are_not_executed(tmp_path):
    np.savez(tmp_path / "key-0-1.npz", index=np.array([object()]))
    with pytest.raises(UserError, match="is damaged"):
        Parts(tmp_path, "key").get("0-1")
