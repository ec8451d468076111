"""Conversion slice by slice: what is written, that it is whole or absent, and how much memory it takes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import torch

import foreign_models
from checkpoints_conv import FORMATS, convert, export, exported_shapes, find_table, open_checkpoint, read_slices
from checkpoints_conv.__main__ import main
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.sharding import FSDP, make_mesh, tree_shardings
from lrjax.weights.checkpoint import read_metadata, restore_params, save_slices
from lrjax.weights.streaming import chunk_shape, write_checkpoint
from torch_reference import original_eva_keys

METADATA = {"model": "Tiny", "sha256": "ab" * 32}
ROOT = Path(__file__).parents[2]


def assert_same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), first, second)


def plainly_restored(directory, target=None):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore((directory / "params").absolute(), target)


def random_tree(spec):
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32), abstract_params(spec))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_format_gives_the_bits_of_the_conversion_in_memory(tmp_path, layout, dtype):
    family = {"open_clip_coca": "coca", "hf_clip": "clip"}.get(layout, "siglip" if "siglip" in layout else "resnet")
    spec = foreign_models.tiny_row(family).spec
    if "eva" in layout:
        row = zoo.get("EVA02-embedded")
        blocks, text = replace(row.spec.image.blocks, width=32, hidden=40, depth=2), row.spec.text
        spec = replace(row.spec, image=replace(row.spec.image, blocks=blocks), text=replace(text, vocabulary=16))
    table = find_table(layout, spec)
    source = tmp_path / "source.npz"
    np.savez(source, **export(random_tree(spec), table))
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, {"bfloat16": ml_dtypes.bfloat16}.get(dtype, np.float32)),
        abstract_params(spec),
    )
    with open_checkpoint(source) as reader:
        expected = convert(reader, table, target)
        save_slices(read_slices(reader, table, target), tmp_path / "out", target=target, metadata=METADATA)
    assert_same(restore_params(tmp_path / "out"), expected)
    assert_same(plainly_restored(tmp_path / "out"), expected)


def test_large_slices_are_split_where_fsdp_splits_them(tmp_path):
    assert chunk_shape("image/blocks/mlp/up/kernel", (48, 5120, 25600), 4) == (1, 640, 25600)
    assert chunk_shape("image/blocks/mlp/down/kernel", (48, 25600, 5120), 2) == (1, 25600, 640)
    assert chunk_shape("text/token_embed/embedding", (49408, 1280), 4) == (49408, 160)
    assert chunk_shape("image/stage3/rest/conv2/kernel", (35, 3, 3, 512, 512), 4) == (1, 3, 3, 512, 512)
    assert chunk_shape("image/blocks/attention/q/kernel", (12, 768, 768), 4) == (1, 768, 768)
    assert chunk_shape("image/norm/scale", (5120,), 4) == (5120,)
    assert chunk_shape("logit_scale", (), 4) == ()

    generator = np.random.default_rng(0)
    kernel, scale = generator.normal(size=(2, 1024, 2048)).astype(np.float32), np.float32(1.5)
    tree = {"image": {"blocks": {"mlp": {"up": {"kernel": kernel}}}}, "logit_scale": scale}
    slices = [("image/blocks/mlp/up/kernel", 1, kernel[1].T.copy().T), ("logit_scale", None, np.asarray([scale]))]
    slices.append(("image/blocks/mlp/up/kernel", 0, kernel[0]))
    write_checkpoint(tmp_path / "params", slices, target=tree)
    files = sorted(file.name for file in (tmp_path / "params" / "image.blocks.mlp.up.kernel").glob("[0-9]*"))
    assert files == [f"{block}.{part}.0" for block in range(2) for part in range(8)]
    found = plainly_restored(tmp_path)
    assert_same(found["image"], tree["image"])
    assert found["logit_scale"] == scale

    shardings = tree_shardings(tree, make_mesh(8), FSDP)
    target = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree, shardings
    )
    placed = plainly_restored(tmp_path, target)["image"]["blocks"]["mlp"]["up"]["kernel"]
    assert placed.sharding == shardings["image"]["blocks"]["mlp"]["up"]["kernel"]
    np.testing.assert_array_equal(placed, kernel)


@pytest.mark.parametrize("devices", [3, 5, 8])
def test_parts_need_not_be_whole_chunks(tmp_path, devices):
    table = np.random.default_rng(0).normal(size=(15000, 240)).astype(np.float32)
    tree = {"text": {"token_embed": {"embedding": table}}}
    write_checkpoint(tmp_path / "params", [("text/token_embed/embedding", None, table)], target=tree)
    shardings = tree_shardings(tree, make_mesh(devices), FSDP)
    placed = restore_params(tmp_path, target=tree, shardings=shardings)["text"]["token_embed"]["embedding"]
    assert placed.addressable_shards[0].data.shape == (15000, 240 // devices)
    np.testing.assert_array_equal(placed, table)


def test_a_failure_in_the_middle_leaves_nothing_or_the_earlier_result(eva02, source, tmp_path):
    table = FORMATS["open_clip_eva"].TABLE
    before = sorted(tmp_path.iterdir())

    def failing(reader):
        for number, part in enumerate(read_slices(reader, table, eva02.target)):
            if number == 20:
                raise UserError("broken in the middle")
            yield part

    for _ in range(2):
        with open_checkpoint(source) as reader, pytest.raises(UserError, match="in the middle"):
            save_slices(failing(reader), tmp_path / "out", target=eva02.target, metadata=METADATA, overwrite=True)
        assert sorted(tmp_path.iterdir()) == before
        with open_checkpoint(source) as reader:
            slices = read_slices(reader, table, eva02.target)
            save_slices(slices, tmp_path / "out", target=eva02.target, metadata=METADATA, overwrite=True)
        before = sorted(tmp_path.iterdir())


def run(script, *arguments, folder):
    script = textwrap.dedent(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_killed_conversion_leaves_a_hidden_directory_that_disturbs_nothing(tmp_path):
    killed = """
        import os, signal, sys
        from checkpoints_conv.__main__ import main
        from lrjax.weights import streaming
        write, count = streaming._write_chunks, 0
        def counting(*arguments, **options):
            global count
            count += 1
            if count == 25:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments, **options)
        streaming._write_chunks = counting
        main(["--model", "EVA02-embedded", "--source", sys.argv[1], "--out", "out"])
    """
    source = ROOT / "checkpoints_conv" / "embedded" / "model.safetensors"
    done = run(killed, str(source), folder=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.") and left.name.endswith(".partial")
    with pytest.raises(UserError, match="not a converted checkpoint"):
        read_metadata(left)
    assert main(["--model", "EVA02-embedded", "--source", str(source), "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "out"]
    with open_checkpoint(source) as reader:
        spec = zoo.get("EVA02-embedded").spec
        expected = convert(reader, FORMATS["open_clip_eva"].TABLE, abstract_params(spec))
    assert_same(restore_params(tmp_path / "out"), expected)


WIDE = """
    import dataclasses, json, math, pathlib, sys
    from checkpoints_conv.__main__ import main
    from lrjax.models import zoo
    full = zoo.get("EVA-CLIP-18B")
    blocks = dataclasses.replace(full.spec.image.blocks, width=1024, hidden=5120, heads=8, depth=8)
    text = dataclasses.replace(full.spec.text.blocks, width=256, hidden=1024, heads=4, depth=2)
    spec = dataclasses.replace(
        full.spec,
        image=dataclasses.replace(full.spec.image, blocks=blocks),
        text=dataclasses.replace(full.spec.text, blocks=text),
    )
    zoo.BACKBONES["Wide"] = dataclasses.replace(full, architecture="Wide", tag="", spec=spec)
    def peak():
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the resident set is read from /proc")
@pytest.mark.parametrize("container", ["safetensors", "pt"])
def test_memory_does_not_grow_with_the_checkpoint(tmp_path, container):
    source = tmp_path / f"source.{container}"
    namespace = {}
    exec(textwrap.dedent(WIDE), namespace)
    zoo.BACKBONES.pop("Wide")
    shapes = exported_shapes(abstract_params(namespace["spec"]), FORMATS["eva_original"].TABLE)
    state = {key: np.full(shape, 0.5, np.float32) for key, shape in shapes.items()}
    if container == "pt":
        torch.save({key: torch.from_numpy(value) for key, value in state.items()}, source)
    else:
        safetensors.numpy.save_file(state, source)
    total, largest = sum(value.nbytes for value in state.values()), max(value.nbytes for value in state.values())
    assert total > 5e8 and largest < 6e7

    # The same process converts the shipped checkpoint of 7 MB first, for what the libraries take.
    measured = (
        WIDE
        + """
    if sys.argv[1].endswith("pt"):
        import torch
    assert main(["--model", "EVA02-embedded", "--source", sys.argv[2], "--out", "small"]) == 0
    before = peak()
    assert main(["--model", "Wide", "--source", sys.argv[1], "--out", "out"]) == 0
    print(json.dumps([before, peak()]))
    """
    )
    small = ROOT / "checkpoints_conv" / "embedded" / "model.safetensors"
    done = run(measured, str(source), str(small), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    before, peak = json.loads(done.stdout.splitlines()[-1])
    print(f"peak RSS {peak / 1e6:.0f} MB, {before / 1e6:.0f} MB of it libraries; largest tensor {largest / 1e6:.0f} MB")
    assert peak - before < 2 * largest + 5e7
    assert not list(tmp_path.glob(".*"))


def test_torch_files_are_mapped_anew(eva02, tmp_path):
    state = original_eva_keys(eva02.state)
    torch.save(state, tmp_path / "source.pt")
    with open_checkpoint(tmp_path / "source.pt") as reader:
        for _ in range(2):
            for key, value in state.items():
                assert reader.shape(key) == tuple(value.shape)
                np.testing.assert_array_equal(reader.read(key), value.numpy(), strict=True)
