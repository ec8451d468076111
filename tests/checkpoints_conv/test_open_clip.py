"""The layouts of open_clip: every container, both directions, bit for bit, and each layout taken for no other."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints_conv import FORMATS, convert, dropped, export, open_checkpoint, recognise
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from parity_helpers import tiny_open_clip_spec
from torch_reference import original_eva_keys, tiny_eva, tiny_open_clip

LAYOUTS = {
    "clip": "open_clip_clip",
    "clip_quick": "open_clip_clip",
    "clipa": "open_clip_clip",
    "resnet": "open_clip_clip",
    "siglip": "open_clip_siglip",
    "coca": "open_clip_coca",
}
WRITERS = {
    "model.safetensors": save_file,
    "model.bin": torch.save,
    "model.pt": lambda state, path: torch.save(
        {"epoch": 32, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path
    ),
}


def custom_text(state):
    """Moves the text tower from the root below `text.`, as open_clip does for `CustomTextCLIP`."""
    from open_clip.model import convert_to_custom_text_state_dict

    return convert_to_custom_text_state_dict(state)


def load(path, target, **options):
    with open_checkpoint(path) as reader:
        return convert(reader, FORMATS[recognise(reader.keys())].TABLE, target, **options)


def assert_round_trip(state, layout, family, path, write):
    write(state, path)
    target = abstract_params(tiny_open_clip_spec(family))
    with open_checkpoint(path) as reader:
        assert recognise(reader.keys()) == layout
        left_out = dropped(reader.keys(), FORMATS[layout].TABLE)
        tree = convert(reader, FORMATS[layout].TABLE, target)
    exported = export(tree, FORMATS[layout].TABLE)
    assert exported.keys() == state.keys() - left_out.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].numpy(), strict=True, err_msg=key)
    return left_out


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("family", LAYOUTS)
def test_round_trip_is_bit_identical(family, file, tmp_path):
    state = tiny_open_clip(family).state_dict()
    left_out = assert_round_trip(state, LAYOUTS[family], family, tmp_path / file, WRITERS[file])
    expected = {"resnet": "num_batches_tracked", "coca": "text_decoder"}
    assert all(expected[family] in key for key in left_out)
    assert bool(left_out) == (family in expected)


@pytest.mark.parametrize("family", ["clip", "clipa", "resnet"])
def test_text_tower_below_a_prefix(family, tmp_path):
    state = custom_text(tiny_open_clip(family).state_dict())
    assert "text.positional_embedding" in state
    assert_round_trip(state, "open_clip_custom", family, tmp_path / "model.safetensors", save_file)


@pytest.mark.parametrize("family", ["clip", "coca"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_constant_of_the_sigmoid_loss_is_left_out(family, shape, tmp_path):
    state = tiny_open_clip(family).state_dict() | {"logit_bias": torch.full(shape, -10.0)}
    left_out = assert_round_trip(state, LAYOUTS[family], family, tmp_path / "model.safetensors", save_file)
    assert "sigmoid loss" in left_out["logit_bias"]


@pytest.mark.parametrize("layout", FORMATS)
def test_only_siglip_keeps_the_constant(layout):
    kept = "siglip" in layout
    assert kept or layout == "scenic_clip" or "logit_bias" in dropped(["logit_bias"], FORMATS[layout].TABLE)
    assert not kept or not dropped(["logit_bias"], FORMATS[layout].TABLE)


def test_the_reason_for_leaving_the_decoder_out():
    keys = tiny_open_clip("coca").state_dict()
    reasons = set(dropped(keys, FORMATS["open_clip_coca"].TABLE).values())
    assert reasons == {"the captioning decoder, which zero-shot classification does not use"}


def test_leaves_of_the_resnet_hold_the_tensors_that_their_names_promise(tmp_path):
    state = tiny_open_clip("resnet").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    image = load(tmp_path / "model.safetensors", abstract_params(tiny_open_clip_spec("resnet")))["image"]
    state = {key.removeprefix("visual."): value.numpy() for key, value in state.items()}
    np.testing.assert_array_equal(image["stem2"]["kernel"], state["conv2.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(image["stem2"]["variance"], state["bn2.running_var"])
    first, rest = image["stage3"]["first"], image["stage3"]["rest"]
    shortcut = state["layer3.0.downsample.0.weight"][:, :, 0, 0]
    np.testing.assert_array_equal(first["shortcut"]["kernel"][0, 0], shortcut.T)
    np.testing.assert_array_equal(first["shortcut"]["mean"], state["layer3.0.downsample.1.running_mean"])
    assert rest["conv2"]["kernel"].shape[0] == 3 and "shortcut" not in rest
    np.testing.assert_array_equal(rest["conv2"]["kernel"][2], state["layer3.3.conv2.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(rest["conv3"]["mean"][0], state["layer3.1.bn3.running_mean"])
    np.testing.assert_array_equal(image["position"], state["attnpool.positional_embedding"])
    np.testing.assert_array_equal(image["pool"]["out"]["kernel"], state["attnpool.c_proj.weight"].T)


def test_leaves_of_siglip_hold_the_tensors_that_their_names_promise(tmp_path):
    state = tiny_open_clip("siglip").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    tree = load(tmp_path / "model.safetensors", abstract_params(tiny_open_clip_spec("siglip")))
    pooler = tree["image"]["pooler"]
    state = {key: value.numpy() for key, value in state.items()}
    joined = state["visual.trunk.attn_pool.kv.weight"]
    np.testing.assert_array_equal(pooler["attention"]["k"]["kernel"], joined[:48].T)
    np.testing.assert_array_equal(pooler["attention"]["v"]["kernel"], joined[48:].T)
    np.testing.assert_array_equal(pooler["attention"]["v"]["bias"], state["visual.trunk.attn_pool.kv.bias"][48:])
    np.testing.assert_array_equal(pooler["probe"], state["visual.trunk.attn_pool.latent"][0, 0])
    np.testing.assert_array_equal(tree["text"]["head"]["kernel"], state["text.text_projection.weight"].T)
    np.testing.assert_array_equal(tree["text"]["head"]["bias"], state["text.text_projection.bias"])
    assert tree["logit_bias"] == state["logit_bias"]


def test_leaves_of_coca_hold_the_tensors_that_their_names_promise(tmp_path):
    state = tiny_open_clip("coca").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    tree = load(tmp_path / "model.safetensors", abstract_params(tiny_open_clip_spec("coca")))
    pooler = tree["image"]["pooler"]
    state = {key: value.numpy() for key, value in state.items()}
    assert pooler["attention"]["q"]["kernel"].shape == (24, 24)
    assert pooler["attention"]["k"]["kernel"].shape == (48, 24)
    np.testing.assert_array_equal(pooler["attention"]["v"]["kernel"], state["visual.attn_pool.attn.v_proj_weight"].T)
    np.testing.assert_array_equal(pooler["attention"]["k"]["bias"], state["visual.attn_pool.attn.in_proj_bias"][24:48])
    np.testing.assert_array_equal(pooler["norm_rows"]["scale"], state["visual.attn_pool.ln_k.weight"])
    np.testing.assert_array_equal(tree["text"]["class_token"], state["text.cls_emb"])
    np.testing.assert_array_equal(tree["image"]["head"]["kernel"], state["visual.proj"])


def test_every_layout_is_taken_for_itself_only():
    states = {family: tiny_open_clip(family).state_dict() for family in LAYOUTS}
    expected = [(LAYOUTS[family], state) for family, state in states.items()]
    expected += [("open_clip_custom", custom_text(states[family])) for family in ("clip", "clipa", "resnet")]
    eva = tiny_eva("eva02")[0].state_dict()
    expected += [("open_clip_eva", eva), ("eva_original", original_eva_keys(eva))]
    for layout, state in expected:
        assert recognise(state) == layout
    with pytest.raises(UserError, match="several formats"):
        recognise({**states["siglip"], **eva})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visual.layer3.4.conv1.weight": (64, 256, 1, 1)}, r"5 blocks at 'visual.layer3.\*' but RN-tiny has 4"),
        ({"visual.layer4.1.conv2.weight": None}, r"stage4/rest/conv2/kernel\[0\], looked for 'visual.layer4.1.conv2"),
        (
            {"visual.layer1.1.downsample.0.weight": (64, 64, 1, 1)},
            "'visual.layer1.1.downsample.0.weight' has no target",
        ),
        ({"visual.layer2.0.bn1.running_var": (33,)}, r"has shape \(33,\) but RN-tiny expects \(32,\)"),
        ({"visual.ln_pre.weight": (48,)}, "'visual.ln_pre.weight' has no target in RN-tiny"),
    ],
)
def test_checkpoints_of_other_resnets_are_refused(changes, message, tmp_path):
    state = tiny_open_clip("resnet").state_dict() | {
        key: shape and torch.zeros(shape) for key, shape in changes.items()
    }
    save_file({key: value for key, value in state.items() if value is not None}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "model.safetensors", abstract_params(tiny_open_clip_spec("resnet")), model="RN-tiny")
