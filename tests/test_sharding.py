"""Mesh, layout of batches and placement of parameters on eight devices."""

import sys
import threading

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import tiny
from lrjax import sharding
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.models.spec import ResNetSpec
from lrjax.sharding import FSDP, PLACEMENTS, REPLICATE, make_mesh, put_batch, tree_shardings


def test_mesh_has_the_devices_asked_for():
    assert make_mesh(3).shape == {"data": 3}
    assert make_mesh(None).size == len(jax.devices()) == 8


@pytest.mark.parametrize("devices", [0, -1, 9])
def test_impossible_numbers_of_devices(devices):
    more = ", or XLA_FLAGS=--xla_force_host_platform_device_count=9 " if devices == 9 else "$"
    with pytest.raises(UserError, match=rf"{devices} devices asked for but 8 exist .*1 to 8{more}"):
        make_mesh(devices)


def test_batch_rows_are_dealt_in_order():
    rows = np.arange(16).reshape(16, 1)
    placed = put_batch({"a": rows, "b": (rows[:, 0],)}, make_mesh(4))
    np.testing.assert_array_equal(placed["a"], rows)
    np.testing.assert_array_equal(placed["b"][0], rows[:, 0])
    shards = sorted(placed["a"].addressable_shards, key=lambda shard: shard.device.id)
    assert [np.asarray(shard.data)[:, 0].tolist() for shard in shards] == np.arange(16).reshape(4, 4).tolist()


def test_first_matching_rule_counts_and_must_match_the_whole_path():
    rules = ((r"a/.*", PartitionSpec("data")), (r"kernel", PartitionSpec(None, "data")), (r".*", PartitionSpec()))
    leaf = np.zeros((8, 8))
    found = tree_shardings({"a": {"kernel": leaf}, "b": {"kernel": leaf}, "kernel": leaf}, make_mesh(8), rules)
    assert found["a"]["kernel"].spec == PartitionSpec("data")
    assert found["b"]["kernel"].spec == PartitionSpec()
    assert found["kernel"].spec == PartitionSpec(None, "data")


def test_no_rule_is_an_error():
    with pytest.raises(KeyError, match="b/kernel"):
        tree_shardings({"b": {"kernel": np.zeros(8)}}, make_mesh(8), ((r"a/.*", PartitionSpec()),))


def test_parameters_that_do_not_divide_are_named():
    with pytest.raises(UserError, match=r"blocks/.*does not divide over 3 devices.*replicate"):
        tree_shardings(tiny.params(), make_mesh(3), FSDP)
    tree_shardings(tiny.params(), make_mesh(3), REPLICATE)


@pytest.mark.parametrize("placement", ["replicate", "fsdp"])
def test_placement_keeps_the_values(placement):
    placed = tiny.place_tree(tiny.params(), make_mesh(8), PLACEMENTS[placement])
    jax.tree.map(np.testing.assert_array_equal, placed, tiny.params())


def test_fsdp_shards_the_matrices_of_blocks_and_the_token_table():
    placed = tiny.place_tree(tiny.params(), make_mesh(8), FSDP)
    width, depth = tiny.WIDTH, tiny.DEPTH
    image, text = placed["image"]["blocks"], placed["text"]
    shapes = {
        (depth, width // 8, width): [image["attention"][name]["kernel"] for name in ("q", "k", "v", "out")],
        (depth, width // 8, 40): [image["mlp"]["gate"]["kernel"], image["mlp"]["up"]["kernel"]],
        (depth, 40, width // 8): [image["mlp"]["down"]["kernel"]],
        (tiny.VOCABULARY, 16 // 8): [text["token_embed"]["embedding"]],
        (depth, width): [image["norm1"]["scale"], image["attention"]["q"]["bias"]],
    }
    for shape, leaves in shapes.items():
        for leaf in leaves:
            assert {shard.data.shape for shard in leaf.addressable_shards} == {shape}


@pytest.mark.parametrize("row", zoo.BACKBONES.values(), ids=lambda row: row.name)
def test_fsdp_spreads_every_row_over_eight_devices(row):
    params, mesh = abstract_params(row.spec), make_mesh(8)
    if isinstance(row.spec.image, ResNetSpec):
        assert 4 * sum(leaf.size for leaf in jax.tree.leaves(params["image"])) < 1.7e9
        params = params["text"]
        shardings = tree_shardings({"text": params}, mesh, FSDP)["text"]
    else:
        shardings = tree_shardings(params, mesh, FSDP)
    leaves = list(zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True))
    whole = [leaf.size for leaf, sharding in leaves if sharding.is_fully_replicated]
    assert sum(whole) < 0.02 * sum(leaf.size for leaf, _ in leaves)
    assert max(whole) < 1.5e6  # the image positions of 18B


def test_every_process_needs_its_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match=r"4 devices asked for but 2 processes hold 8 .*config\.devices to None"):
        make_mesh(4)
    assert make_mesh(None).size == 8


class Left(Exception):
    pass


@pytest.mark.parametrize("others", ["end too", "go on"])
def test_a_process_that_fails_does_not_wait_for_the_others(monkeypatch, capsys, others):
    def leave(status):
        raise Left(status)

    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    forever = threading.Event()
    monkeypatch.setattr(jax.distributed, "shutdown", forever.wait if others == "go on" else lambda: None)
    monkeypatch.setattr(sharding, "PATIENCE", 0.01)
    monkeypatch.setattr(sharding.os, "_exit", leave)

    def fail():
        raise ValueError("connection reset")

    for command, status in ((lambda: 2, 2), (lambda: sys.exit(143), 143), (fail, 1)):
        with pytest.raises(Left) as left:
            sharding.run_jointly(command)
        assert left.value.args == (status,)
    stderr = capsys.readouterr().err
    assert "ValueError: connection reset" in stderr and "process 0 of 1 failed; if another one" in stderr
    assert sharding.run_jointly(lambda: 0) == 0
    forever.set()


def test_failures_of_a_single_process_are_left_alone():
    with pytest.raises(ZeroDivisionError):
        sharding.run_jointly(lambda: 1 // 0)
    assert sharding.run_jointly(lambda: 2) == 2


def test_rows_of_this_process():
    assert sharding.own_rows(make_mesh(4), 12).tolist() == list(range(12))
