import hashlib
import json
import shutil
from types import SimpleNamespace

import jax
import ml_dtypes
import numpy as np
import pytest

import tiny
from checkpoints_conv import FORMATS, convert, open_checkpoint
from lrjax.errors import UserError
from lrjax.sharding import FSDP, REPLICATE, make_mesh, tree_shardings
from lrjax.weights.checkpoint import checkpoint_hash, load_params, read_metadata, restore_params

METADATA = {"model": "Tiny-EVA02", "sha256": "ab" * 32}


@pytest.fixture
def tree(eva02, source):
    with open_checkpoint(source) as reader:
        return convert(reader, FORMATS["open_clip_eva"].TABLE, eva02.target)


@pytest.fixture
def converted(tree, tmp_path):
    tiny.save_params(tree, tmp_path / "converted", metadata=METADATA)
    return tmp_path / "converted"


def assert_same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), first, second)


def test_file_and_directory_give_the_same_numpy_tree(eva02, source, converted, tree):
    from_file = load_params(eva02.row, source, target=eva02.target)
    from_directory = load_params(eva02.row, str(converted), target=eva02.target)
    assert_same(from_file, tree)
    assert_same(from_directory, tree)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(from_directory))
    assert_same(restore_params(converted), tree)


def test_dtype_is_chosen_at_load(eva02, source, converted):
    for origin in (source, converted):
        tree = load_params(eva02.row, origin, target=eva02.target, dtype="bfloat16")
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {np.dtype(ml_dtypes.bfloat16)}


def test_the_name_must_be_the_recorded_one(eva02, converted):
    other = SimpleNamespace(name="EVA02-L-14", weights="EVA02-L-14", spec=None, resized=False)
    with pytest.raises(UserError, match="holds Tiny-EVA02, not EVA02-L-14"):
        load_params(other, converted, target=eva02.target)


def test_shape_and_structure_are_compared_with_the_target(eva02, converted):
    wider = jax.tree.map(lambda leaf: leaf, eva02.target)
    wider["image"]["class_token"] = jax.ShapeDtypeStruct((50,), np.float32)
    with pytest.raises(UserError, match=r"image/class_token .*\(48,\) but \(50,\) is expected"):
        load_params(eva02.row, converted, target=wider)
    more = eva02.target | {"logit_bias": jax.ShapeDtypeStruct((), np.float32)}
    with pytest.raises(UserError, match=r"logit_bias .*shape nothing"):
        load_params(eva02.row, converted, target=more)


def test_damaged_directories(eva02, converted, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a converted checkpoint"):
        load_params(eva02.row, tmp_path / "empty", target=eva02.target)
    (converted / "params" / "_METADATA").unlink()
    with pytest.raises(UserError, match="damaged"):
        load_params(eva02.row, converted, target=eva02.target)
    shutil.rmtree(converted / "params")
    with pytest.raises(UserError, match="damaged"):
        load_params(eva02.row, converted, target=eva02.target)
    (converted / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model.json is missing or damaged"):
        load_params(eva02.row, converted, target=eva02.target)
    (converted / "model.json").write_text("{}")
    with pytest.raises(UserError, match="lacks the model name"):
        load_params(eva02.row, converted, target=eva02.target)


@pytest.mark.parametrize("file", ["_METADATA", "logit_scale/.zarray", "image.blocks.mlp.up.kernel/.zarray"])
@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", "3", "[" * 100_000, "\xff"])
def test_half_copied_and_foreign_metadata(eva02, converted, file, content):
    (converted / "params" / file).write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"converted checkpoint .*converted is damaged or incomplete; convert it again"):
        load_params(eva02.row, converted, target=eva02.target)


@pytest.mark.parametrize("file", ["logit_scale/0", "image.blocks.mlp.up.kernel/1.0.0"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_half_copied_chunks(eva02, converted, file, share):
    path = converted / "params" / file
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="is damaged or incomplete"):
        load_params(eva02.row, converted, target=eva02.target)


@pytest.mark.parametrize("text", ['{"model": 3, "sha256": "0"}', '{"model": "Tiny-EVA02", "sha256": null}', "[1]"])
def test_metadata_of_another_kind(eva02, converted, text):
    (converted / "model.json").write_text(text)
    with pytest.raises(UserError, match="lacks the model name or the hash"):
        load_params(eva02.row, converted, target=eva02.target)


@pytest.mark.parametrize("placed", [False, True])
def test_lost_chunks_are_noticed(eva02, converted, placed):
    shardings = tree_shardings(eva02.target, make_mesh(8), FSDP) if placed else None
    (converted / "params" / "image.blocks.mlp.up.kernel" / "1.0.0").unlink()
    with pytest.raises(UserError, match="damaged"):
        load_params(eva02.row, converted, target=eva02.target, shardings=shardings)


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_converted_numbers_that_nothing_can_be_computed_with_are_refused(eva02, tree, tmp_path, placed, value):
    shardings = tree_shardings(eva02.target, make_mesh(8), FSDP) if placed else None
    tree["image"]["blocks"]["mlp"]["up"]["kernel"][-1, 2, 3] = value
    tiny.save_params(tree, tmp_path / "converted", metadata=METADATA)
    with pytest.raises(UserError, match=r"parameter image/blocks/mlp/up/kernel of .*converted holds NaN, infinite or"):
        load_params(eva02.row, tmp_path / "converted", target=eva02.target, shardings=shardings)


@pytest.mark.parametrize("rules", [REPLICATE, FSDP], ids=["replicate", "fsdp"])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_parameters_arrive_on_the_mesh(eva02, source, converted, rules, dtype):
    shardings = tree_shardings(eva02.target, make_mesh(8), rules)
    expected = load_params(eva02.row, source, target=eva02.target, dtype=dtype)
    for origin in (source, converted):
        tree = load_params(eva02.row, origin, target=eva02.target, dtype=dtype, shardings=shardings)
        assert jax.tree.map(lambda leaf: leaf.sharding, tree) == shardings
        assert_same(jax.tree.map(np.asarray, tree), expected)


def test_hash_of_file_and_directory(source, converted):
    assert checkpoint_hash(source) == hashlib.sha256(source.read_bytes()).hexdigest()
    assert checkpoint_hash(converted) == METADATA["sha256"]
    hashes = {METADATA["sha256"]}
    for dtype in ("float32", "bfloat16", "float16"):  # rounded weights are other weights
        (converted / "model.json").write_text(json.dumps(METADATA | {"dtype": dtype}))
        hashes.add(checkpoint_hash(converted))
    assert len(hashes) == 3


def test_save_replaces_only_converted_directories(tree, converted, tmp_path):
    with pytest.raises(UserError, match="not empty"):
        tiny.save_params(tree, converted, metadata=METADATA)
    tiny.save_params(tree, converted, metadata=METADATA | {"note": 1}, overwrite=True)
    assert read_metadata(converted)["note"] == 1
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="no converted checkpoint"):
        tiny.save_params(tree, tmp_path / "precious", metadata=METADATA, overwrite=True)
    with pytest.raises(UserError, match="is a file"):
        tiny.save_params(tree, tmp_path / "precious" / "thesis.tex", metadata=METADATA, overwrite=True)
    assert not list(tmp_path.glob(".*"))


def test_a_failed_save_leaves_the_earlier_result(tree, converted, tmp_path):
    with pytest.raises(TypeError):
        tiny.save_params(tree, converted, metadata=METADATA | {"bad": object()}, overwrite=True)
    assert_same(restore_params(converted), tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["converted", "source.safetensors"]


@pytest.fixture
def hub(monkeypatch):
    """Replace the download by a table of (repository, file) -> path or exception, and record what is asked for."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    answers, asked = {}, []

    def download(repository, filename, *, local_files_only, revision):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        filename = f"{filename}@{revision}" if revision else filename
        asked.append((repository, filename))
        answer = answers.get((repository, filename), huggingface_hub.errors.EntryNotFoundError("no such file"))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr("lrjax.data.hub.is_reachable", lambda: True)
    return answers, asked


@pytest.mark.parametrize("prefix", ["hf-hub:", ""])
def test_hub_ids(eva02, source, hub, prefix):
    answers, asked = hub
    answers["timm/tiny.merged", "open_clip_model.safetensors"] = source
    answers["timm/tiny.merged", "weights/other.pt"] = source
    load_params(eva02.row, f"{prefix}timm/tiny.merged", target=eva02.target)
    load_params(eva02.row, f"{prefix}timm/tiny.merged:weights/other.pt", target=eva02.target)
    assert asked == [("timm/tiny.merged", "open_clip_model.safetensors"), ("timm/tiny.merged", "weights/other.pt")]
    assert checkpoint_hash(f"{prefix}timm/tiny.merged") == checkpoint_hash(source)


@pytest.mark.parametrize("prefix", ["hf-hub:", ""])
def test_revisions(eva02, source, hub, prefix):
    answers, asked = hub
    answers["timm/tiny", "open_clip_model.safetensors@v1.0"] = answers["timm/tiny", "other.pt@refs/pr/2"] = source
    load_params(eva02.row, f"{prefix}timm/tiny@v1.0", target=eva02.target)
    load_params(eva02.row, f"{prefix}timm/tiny@refs/pr/2:other.pt", target=eva02.target)
    assert asked == [("timm/tiny", "open_clip_model.safetensors@v1.0"), ("timm/tiny", "other.pt@refs/pr/2")]
    with pytest.raises(UserError, match="of hf-hub:timm/tiny@gone is neither"):
        load_params(eva02.row, "timm/tiny@gone", target=eva02.target)


def test_files_of_transformers_are_taken_where_there_are_none_of_open_clip(eva02, source, hub):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    answers, asked = hub
    for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        answers["org/tiny", name] = huggingface_hub.errors.EntryNotFoundError("no such file")
    answers["org/tiny", "model.safetensors"] = source
    load_params(eva02.row, "org/tiny", target=eva02.target)
    assert asked[-1] == ("org/tiny", "model.safetensors")
    assert len(asked) == 3


def test_unknown_hub_ids(eva02, hub):
    message = r"open_clip_model.safetensors or .* of hf-hub:timm/tiny is neither cached nor .* \(EntryNotFoundError\)"
    with pytest.raises(UserError, match=message):
        load_params(eva02.row, "hf-hub:timm/tiny", target=eva02.target)


@pytest.mark.parametrize("name", ["weights/missing.safetensors", "./weights/b16", "/no/such/file.pt", "missing"])
def test_missing_local_files_are_not_sought_on_the_hub(eva02, hub, name):
    with pytest.raises(UserError, match="does not exist"):
        load_params(eva02.row, name, target=eva02.target)
    assert hub[1] == []
