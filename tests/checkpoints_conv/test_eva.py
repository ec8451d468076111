import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints_conv import FORMATS, convert, export, open_checkpoint, recognise
from lrjax.errors import UserError
from torch_reference import canonical_target, original_eva_keys, tiny_eva

KINDS = ["eva02", "eva01", "eva_e"]


@pytest.fixture(scope="module", params=KINDS)
def reference(request):
    return tiny_eva(request.param)


def load(path, target, **options):
    with open_checkpoint(path) as reader:
        return convert(reader, FORMATS[recognise(reader.keys())].TABLE, target, **options)


def save(state, path):
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def assert_same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), first, second)


def test_open_clip_round_trip_is_bit_identical(reference, tmp_path):
    module, sizes = reference
    state = module.state_dict()
    tree = load(save(state, tmp_path / "model.safetensors"), canonical_target(sizes), model="tiny")
    exported = export(tree, FORMATS["open_clip_eva"].TABLE)
    assert exported.keys() == state.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].numpy(), strict=True, err_msg=key)
    other, _ = tiny_eva(sizes.kind, seed=1)
    images = torch.randn(2, 3, sizes.image_size, sizes.image_size)
    with torch.no_grad():
        assert not torch.equal(other.encode_image(images), module.encode_image(images))
        other.load_state_dict({key: torch.from_numpy(value) for key, value in exported.items()}, strict=True)
        assert torch.equal(other.encode_image(images), module.encode_image(images))


def test_original_layout_gives_the_same_tree(reference, tmp_path):
    module, sizes = reference
    state = original_eva_keys(module.state_dict())
    target = canonical_target(sizes)
    tree = load(save(state, tmp_path / "original.safetensors"), target, model="tiny")
    assert_same(tree, load(save(module.state_dict(), tmp_path / "timm.safetensors"), target, model="tiny"))
    exported = export(tree, FORMATS["eva_original"].TABLE)
    assert exported.keys() == state.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].numpy(), strict=True, err_msg=key)


def test_leaves_hold_the_tensors_that_their_names_promise(tmp_path):
    module, sizes = tiny_eva("eva02")
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    tree = load(save(module.state_dict(), tmp_path / "model.safetensors"), canonical_target(sizes))
    blocks, trunk = tree["image"]["blocks"], "visual.trunk.blocks.1."
    np.testing.assert_array_equal(blocks["attention"]["k"]["kernel"][1], state[trunk + "attn.k_proj.weight"].T)
    np.testing.assert_array_equal(blocks["attention"]["v"]["bias"][1], state[trunk + "attn.v_proj.bias"])
    np.testing.assert_array_equal(blocks["attention"]["norm"]["scale"][1], state[trunk + "attn.norm.weight"])
    np.testing.assert_array_equal(blocks["mlp"]["gate"]["kernel"][1], state[trunk + "mlp.fc1_g.weight"].T)
    np.testing.assert_array_equal(blocks["mlp"]["up"]["kernel"][1], state[trunk + "mlp.fc1_x.weight"].T)
    np.testing.assert_array_equal(tree["image"]["class_token"], state["visual.trunk.cls_token"][0, 0])
    np.testing.assert_array_equal(tree["image"]["position"], state["visual.trunk.pos_embed"][0])
    width = sizes.text_width
    fused = state["text.transformer.resblocks.1.attn.in_proj_weight"]
    np.testing.assert_array_equal(tree["text"]["blocks"]["attention"]["k"]["kernel"][1], fused[width : 2 * width].T)
    np.testing.assert_array_equal(tree["text"]["head"]["kernel"], state["text.text_projection"])
    assert tree["logit_scale"] == np.float32(4.5)


def test_original_torch_file_in_half_precision_with_wrapper_and_prefix(tmp_path):
    module, sizes = tiny_eva("eva01")
    state = {key: value.half() for key, value in original_eva_keys(module.state_dict()).items()}
    state["text.logit_scale"] = state.pop("logit_scale")
    torch.save({"epoch": 3, "model": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "model.pt")
    tree = load(tmp_path / "model.pt", canonical_target(sizes))
    exported = export(tree, FORMATS["eva_original"].TABLE)
    state["logit_scale"] = state.pop("text.logit_scale")
    assert exported.keys() == state.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].float().numpy(), strict=True, err_msg=key)


def test_bfloat16_safetensors(tmp_path):
    module, sizes = tiny_eva("eva_e")
    state = {key: value.bfloat16() for key, value in module.state_dict().items()}
    path = save(state, tmp_path / "model.safetensors")
    wide = load(path, canonical_target(sizes))
    narrow = load(path, canonical_target(sizes), dtype="bfloat16")
    weight = state["visual.trunk.blocks.2.mlp.fc1.weight"].float().numpy().T
    np.testing.assert_array_equal(wide["image"]["blocks"]["mlp"]["up"]["kernel"][2], weight)
    assert narrow["image"]["blocks"]["mlp"]["up"]["kernel"].dtype == ml_dtypes.bfloat16
    exported = export(narrow, FORMATS["open_clip_eva"].TABLE)
    for key, value in exported.items():
        np.testing.assert_array_equal(value.view(np.int16), state[key].view(torch.int16).numpy(), strict=True)


def test_rms_norm_model_without_qkv_and_head_biases(tmp_path):
    module, sizes = tiny_eva("eva01")
    absent = ("norm1.bias", "norm2.bias", "q_bias", "v_bias", "visual.norm.bias", "visual.head.bias")
    state = original_eva_keys(module.state_dict())
    state = {key: value for key, value in state.items() if not (key.startswith("visual.") and key.endswith(absent))}
    target = canonical_target(sizes)
    image = target["image"]
    for parent in (image["blocks"]["norm1"], image["blocks"]["norm2"], image["norm"], image["head"]):
        del parent["bias"]
    for name in "qv":
        del image["blocks"]["attention"][name]["bias"]
    tree = load(save(state, tmp_path / "model.safetensors"), target)
    assert export(tree, FORMATS["eva_original"].TABLE).keys() == state.keys()


def test_rotary_tables_of_the_original_are_dropped(tmp_path):
    module, sizes = tiny_eva("eva02")
    state = original_eva_keys(module.state_dict())
    for key in ("visual.rope.freqs_cos", "visual.rope.freqs_sin", "visual.blocks.2.attn.rope.freqs_cos"):
        state[key] = torch.ones(16, 24)
    load(save(state, tmp_path / "model.safetensors"), canonical_target(sizes))


def test_wrong_model_is_refused_with_its_name(tmp_path):
    module, sizes = tiny_eva("eva02")
    path = save(module.state_dict(), tmp_path / "model.safetensors")
    _, other = tiny_eva("eva01")
    with pytest.raises(UserError, match=r"'visual.trunk.blocks.0.attn.norm.*no target in EVA01-g-14"):
        load(path, canonical_target(other), model="EVA01-g-14")
    target = canonical_target(sizes)
    target["image"]["position"] = jax.ShapeDtypeStruct((26, sizes.width), np.float32)
    with pytest.raises(
        UserError, match=r"'visual.trunk.pos_embed' has shape \(1, 17, 48\) but EVA02-L-14-336 expects \(1, 26, 48\)"
    ):
        load(path, target, model="EVA02-L-14-336")


def test_formats_are_told_apart():
    keys = list(tiny_eva("eva02")[0].state_dict())
    original = list(original_eva_keys(dict.fromkeys(keys)))
    assert recognise(keys) == "open_clip_eva"
    assert recognise(original) == "eva_original"
    with pytest.raises(UserError) as error:
        recognise([f"transformer.h.{layer}.weight" for layer in range(9)], source="gpt2.bin")
    start = "gpt2.bin is of no known format, with keys such as 'transformer.h.0.weight', "
    assert str(error.value).startswith(start)
    assert str(error.value).count("transformer.h.") == 3
    assert "open_clip_eva" in str(error.value)
    with pytest.raises(UserError, match="several formats"):
        recognise([*keys, *original])
