import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from checkpoints_conv.rules import TRANSFORMS, Drop, Rule, convert, dropped, export, fits, leaf_sizes
from lrjax.errors import UserError

TABLE = (
    Rule("blocks.{i}.qkv.weight", ("blocks/q", "blocks/k", "blocks/v"), "split_linear", unless="norm"),
    *(Rule(f"blocks.{{i}}.{name}.weight", (f"blocks/{name}",), "linear") for name in "qkv"),
    Rule("norm.weight", ("norm",)),
    Rule("scale", ("scale",), "scalar"),
    Rule("old.scale", ("scale",), "scalar"),
    Drop("blocks.{i}.table", "computed"),
)
DEPTH, WIDTH = 3, 4


class DictReader:
    """A reader that makes a fresh array per read and knows how many of them are alive."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.alive = weakref.WeakSet()
        self.most_alive = 0

    def keys(self):
        return list(self.tensors)

    def shape(self, key):
        return self.tensors[key].shape

    def read(self, key):
        array = _Counted(self.tensors[key].shape, self.tensors[key].dtype)
        array[...] = self.tensors[key]
        array.token = _Token()
        self.alive.add(array.token)
        self.most_alive = max(self.most_alive, len(self.alive))
        return array


class _Counted(np.ndarray):
    """Owns its memory, so every view of it keeps it and its token alive."""


class _Token:
    pass


def make_target(*, norm=False):
    leaf = lambda *shape: np.empty(shape, np.float32)  # noqa: E731
    tree = {"blocks": {name: leaf(DEPTH, WIDTH, WIDTH) for name in "qkv"}, "scale": leaf()}
    return tree | ({"norm": leaf(WIDTH)} if norm else {})


def make_source(dtype=np.float32):
    generator = np.random.default_rng(0)
    source = {f"blocks.{i}.qkv.weight": generator.normal(size=(3 * WIDTH, WIDTH)).astype(dtype) for i in range(DEPTH)}
    return source | {"scale": np.asarray(2.5, dtype), "blocks.1.table": np.zeros(7)}


def test_split_linear_puts_each_third_transposed_into_its_slice():
    source = {"blocks.0.qkv.weight": np.arange(6, dtype=np.float32).reshape(6, 1) @ np.asarray([[1, 10]], np.float32)}
    table = (Rule("blocks.{i}.qkv.weight", ("q", "k", "v"), "split_linear"),)
    tree = convert(DictReader(source), table, {name: np.empty((1, 2, 2), np.float32) for name in "qkv"})
    np.testing.assert_array_equal(tree["q"], [[[0, 1], [0, 10]]])
    np.testing.assert_array_equal(tree["k"], [[[2, 3], [20, 30]]])
    np.testing.assert_array_equal(tree["v"], [[[4, 5], [40, 50]]])


def test_conv_kernel_is_height_width_in_out():
    source = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    tree = convert(DictReader({"w": source}), (Rule("w", ("w",), "conv"),), {"w": np.empty((4, 5, 3, 2), np.float32)})
    assert tree["w"][1, 2, 0, 1] == source[1, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "leaves"),
    [
        ("identity", [(2, 3)]),
        ("linear", [(2, 3)]),
        ("split_linear", [(5, 3), (5, 3), (5, 3)]),
        ("split_vector", [(4,), (4,), (4,)]),
        ("conv", [(2, 2, 3, 5)]),
        ("squeeze_lead", [(7,)]),
        ("squeeze_lead", [(6, 7)]),
        ("scalar", [()]),
    ],
)
def test_transforms_are_undone_by_their_inverse(name, leaves):
    arrays = [np.random.default_rng(n).normal(size=shape) for n, shape in enumerate(leaves)]
    source = TRANSFORMS[name].join(arrays)
    assert source.shape == TRANSFORMS[name].shapes(leaves)[0]
    for found, array in zip(TRANSFORMS[name].split(source, len(leaves)), arrays, strict=True):
        np.testing.assert_array_equal(found.reshape(array.shape), array)


def test_export_is_the_exact_inverse():
    source = make_source()
    exported = export(convert(DictReader(source), TABLE, make_target()), TABLE)
    del source["blocks.1.table"]
    assert exported.keys() == source.keys()
    for key, value in source.items():
        np.testing.assert_array_equal(exported[key], value, strict=True)
        assert exported[key].flags.c_contiguous


def test_unless_chooses_the_other_rows_on_export():
    tree = make_target(norm=True)
    keys = export(tree, TABLE).keys()
    assert "blocks.2.k.weight" in keys
    assert "blocks.2.qkv.weight" not in keys
    assert "old.scale" not in keys


def test_separate_and_fused_sources_are_both_read():
    fused = make_source()
    separate = {key: value for key, value in fused.items() if "qkv" not in key}
    for i in range(DEPTH):
        for name, part in zip("qkv", np.split(fused[f"blocks.{i}.qkv.weight"], 3), strict=True):
            separate[f"blocks.{i}.{name}.weight"] = part
    first, second = (convert(DictReader(source), TABLE, make_target()) for source in (fused, separate))
    for name in "qkv":
        np.testing.assert_array_equal(first["blocks"][name], second["blocks"][name])


def test_one_source_tensor_is_alive_at_a_time():
    reader = DictReader(make_source(np.float16))
    gc.disable()  # released by reference counts alone
    try:
        convert(reader, TABLE, make_target())
        assert reader.most_alive == 1
        assert len(reader.alive) == 0
    finally:
        gc.enable()


def test_dropped_keys_are_never_read():
    class Refusing(DictReader):
        def read(self, key):
            assert "table" not in key
            return super().read(key)

    convert(Refusing(make_source()), TABLE, make_target())
    assert dropped(["blocks.1.table", "scale"], TABLE) == {"blocks.1.table": "computed"}


@pytest.mark.parametrize("source_dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_widened_without_change(source_dtype):
    source = make_source(source_dtype)
    tree = convert(DictReader(source), TABLE, make_target())
    assert tree["blocks"]["q"].dtype == np.float32
    np.testing.assert_array_equal(tree["blocks"]["q"][2], source["blocks.2.qkv.weight"][:WIDTH].T.astype(np.float32))


def test_bfloat16_on_request():
    tree = convert(DictReader(make_source()), TABLE, make_target(), dtype="bfloat16")
    assert tree["scale"].dtype == tree["blocks"]["v"].dtype == ml_dtypes.bfloat16
    with pytest.raises(UserError, match="int8"):
        convert(DictReader(make_source()), TABLE, make_target(), dtype="int8")


def test_scalar_accepts_one_element():
    source = make_source() | {"scale": np.asarray([2.5], np.float32)}
    tree = convert(DictReader(source), TABLE, make_target())
    assert tree["scale"].shape == ()
    assert tree["scale"] == 2.5


def failing(source, target=None, table=TABLE):
    with pytest.raises(UserError) as caught:
        convert(DictReader(source), table, target or make_target(), model="Tiny-4")
    return str(caught.value)


def test_unknown_keys_are_named_and_counted():
    message = failing(make_source() | {f"blocksX{i}.q.weight": np.zeros(1) for i in range(7)})
    assert "'blocksX0.q.weight'" in message and "(7)" in message and "Tiny-4" in message
    assert "'blocksX4.q.weight'" in message and "'blocksX5.q.weight'" not in message


@pytest.mark.parametrize(
    "key", ["blocks.0.qkv.weights", "xblocks.0.qkv.weight", "blocks.00.qkv.weight", "blocks.0xqkv.weight"]
)
def test_templates_are_anchored_and_escaped(key):
    assert f"checkpoint key {key!r} has no target in Tiny-4" in failing(make_source() | {key: np.zeros((12, 4))})


def test_a_row_without_its_leaf_in_the_tree_does_not_count():
    assert "'norm.weight' has no target" in failing(make_source() | {"norm.weight": np.zeros(WIDTH)})


def test_missing_leaf_and_missing_slice_are_named():
    source = make_source()
    del source["scale"], source["blocks.1.qkv.weight"]
    message = failing(source)
    assert "4 parameters of Tiny-4" in message
    assert "blocks/k[1], looked for 'blocks.1.qkv.weight'" in message
    message = failing(source | {"norm.weight": np.zeros(WIDTH)}, make_target(norm=True))
    assert "blocks/k[1], looked for 'blocks.1.k.weight'" in message
    message = failing(make_source(), make_target() | {"other": np.empty(3)})
    assert "1 parameter of Tiny-4" in message and "other" in message


def test_a_leaf_filled_twice_is_refused():
    message = failing(make_source() | {"old.scale": np.zeros(())})
    assert "'scale' and 'old.scale' both fill scale of Tiny-4" in message
    message = failing(make_source() | {"blocks.1.v.weight": np.zeros((WIDTH, WIDTH))})
    assert "'blocks.1.qkv.weight' and 'blocks.1.v.weight' both fill blocks/v" in message


def test_shape_mismatch_names_key_found_and_expected():
    message = failing(make_source() | {"blocks.1.qkv.weight": np.zeros((3 * WIDTH, 5))})
    assert "'blocks.1.qkv.weight' has shape (12, 5) but Tiny-4 expects (12, 4)" in message


def test_integers_are_not_taken_for_parameters():
    message = failing(make_source() | {"blocks.1.qkv.weight": np.zeros((3 * WIDTH, WIDTH), np.int8)})
    assert "'blocks.1.qkv.weight' holds int8" in message


def test_depth_mismatch_both_ways():
    source = make_source()
    extra = source | {"blocks.3.qkv.weight": source["blocks.0.qkv.weight"]}
    assert "checkpoint has 4 blocks at 'blocks.*' but Tiny-4 has 3" in failing(extra)
    del source["blocks.2.qkv.weight"]
    assert "checkpoint has 2 blocks at 'blocks.*' but Tiny-4 has 3" in failing(source)


STAGE = (
    Rule("stage.0.weight", ("first",)),
    Rule("stage.{i+1}.weight", ("rest",)),
    Rule("stage.{i+1}.other", ("missing",)),
    Drop("stage.*.counter", "counted"),
)


def make_stage(blocks):
    return {f"stage.{i}.weight": np.full(2, i, np.float32) for i in range(blocks)}


def test_templates_with_an_offset_fill_the_blocks_after_the_first():
    target = {"first": np.empty(2, np.float32), "rest": np.empty((3, 2), np.float32)}
    tree = convert(DictReader(make_stage(4) | {"stage.10.x.counter": np.zeros(1)}), STAGE, target)
    np.testing.assert_array_equal(tree["first"], [0, 0])
    np.testing.assert_array_equal(tree["rest"], [[1, 1], [2, 2], [3, 3]])
    exported = export(tree, STAGE)
    assert list(exported) == ["stage.0.weight", "stage.1.weight", "stage.2.weight", "stage.3.weight"]
    for key, value in make_stage(4).items():
        np.testing.assert_array_equal(exported[key], value, strict=True)


def test_messages_about_blocks_after_the_first_name_the_numbers_of_the_checkpoint():
    target = {"first": np.empty(2), "rest": np.empty((3, 2))}
    assert "checkpoint has 5 blocks at 'stage.*' but Tiny-4 has 4" in failing(make_stage(5), target, STAGE)
    assert "checkpoint has 3 blocks at 'stage.*' but Tiny-4 has 4" in failing(make_stage(3), target, STAGE)
    source = make_stage(4)
    del source["stage.2.weight"]
    assert "rest[1], looked for 'stage.2.weight'" in failing(source, target, STAGE)
    for key in ("stage.1.other", "stage.04.weight"):
        assert f"{key!r} has no target" in failing(make_stage(4) | {key: np.zeros(2)}, target, STAGE)


def test_fits_tells_what_convert_would_do():
    reader = DictReader(make_source())
    assert fits(reader, TABLE, make_target())
    assert not fits(reader, TABLE, make_target(norm=True))
    assert leaf_sizes(DictReader(make_source() | {"norm.weight": np.zeros(5)}), TABLE) == {"scale": 1, "norm": 5}


def test_nothing_is_read_before_the_checks():
    class Unreadable(DictReader):
        def read(self, key):
            raise AssertionError("read before the checks")

    with pytest.raises(UserError):
        convert(Unreadable(make_source() | {"blocks.1.qkv.weight": np.zeros((1, 1))}), TABLE, make_target())


def test_export_refuses_a_leaf_without_a_name():
    with pytest.raises(UserError, match="'other'"):
        export(make_target() | {"other": np.zeros(2)}, TABLE)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, 1e300])
@pytest.mark.parametrize("key", ["blocks.1.qkv.weight", "scale"])
def test_numbers_that_nothing_can_be_computed_with_are_refused(dtype, value, key):
    source = make_source(dtype)
    with np.errstate(over="ignore"):
        source[key].reshape(-1)[-1] = value
    with pytest.raises(UserError, match=f"checkpoint key '{key}' holds NaN, infinite or huge numbers"):
        convert(DictReader(source), TABLE, make_target())


def test_large_numbers_and_empty_tensors_are_computed_with():
    large, empty = np.full(3 * 2**20, 1e18, np.float32), np.zeros((0, 3), np.float32)
    tree = convert(
        DictReader({"a": large, "b": empty}), (Rule("a", ("a",)), Rule("b", ("b",))), {"a": large, "b": empty}
    )
    np.testing.assert_array_equal(tree["a"], large)


def test_the_last_of_many_numbers_is_looked_at():
    large = np.zeros(3 * 2**20 + 1, np.float32)
    large[-1] = np.nan
    with pytest.raises(UserError, match="'a' holds NaN"):
        convert(DictReader({"a": large}), (Rule("a", ("a",)),), {"a": large})


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.bool_, np.complex64, ml_dtypes.float8_e4m3fn, "V1", "S2"])
def test_arrays_that_are_no_floats_are_refused(dtype):
    source = {"a": np.zeros(3, dtype)}
    with pytest.raises(UserError, match=r"checkpoint key 'a' holds .*, not floats of 16 bits or more"):
        convert(DictReader(source), (Rule("a", ("a",)),), {"a": np.zeros(3, np.float32)})
