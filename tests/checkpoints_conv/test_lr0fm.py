"""LR tokens in the layout of the official LR0.FM code: its modules load them, and what they save comes back."""

import shutil

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import lrjax
from checkpoints_conv import FORMATS, convert, export, find_table, open_checkpoint
from checkpoints_conv.__main__ import main
from checkpoints_conv.lr0fm import export_tokens
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.models.lr_tokens import token_shape
from lrjax.weights.checkpoint import locate, restore_params
from lrjax.weights.token_file import read_adaptation, write_adaptation

MODEL = "EVA02-embedded"
SHAPE = token_shape(zoo.get(MODEL).spec.image)


class Original(torch.nn.Module):
    """The parameters of the official code beside others of the model, by the attributes that hold them there."""

    def __init__(self, layout):
        super().__init__()
        count, rows, width = SHAPE
        block = (rows, 1, width) if layout == "lr0fm_metaclip" else (1, rows, width)
        self.visual = torch.nn.Module()
        self.visual.spatial_tokens = torch.nn.Parameter(torch.randn(1, rows, width))
        self.visual.transformer = torch.nn.Module()
        holder = self.visual if layout == "lr0fm_eva" else self.visual.transformer
        tables = [torch.nn.Parameter(torch.randn(block)) for _ in range(count - 1)]
        holder.blocks_spatial_tokens = torch.nn.ParameterList(tables)
        self.visual.norm = torch.nn.LayerNorm(width)
        self.logit_scale_lr = torch.nn.Parameter(torch.zeros(()))

    def tables(self):
        holder = self.visual if hasattr(self.visual, "blocks_spatial_tokens") else self.visual.transformer
        tables = [self.visual.spatial_tokens, *holder.blocks_spatial_tokens]
        return np.stack([table.detach().numpy().reshape(SHAPE[1:]) for table in tables])


def run(source, out, *more):
    return main(["--tokens", "--source", str(source), "--out", str(out), *more])


def tokens_file(path, model=MODEL, **more):
    tokens = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write_adaptation(path, {"tokens": tokens} | more, model=model, facts={})
    return tokens


def failing(capsys, status):
    assert status == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("layout", ["lr0fm_eva", "lr0fm_open_clip", "lr0fm_metaclip"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_there_and_back_bit_by_bit(tmp_path, capsys, layout, suffix):
    tokens, original = tokens_file(tmp_path / "tokens.safetensors"), tmp_path / f"original{suffix}"
    assert run(tmp_path / "tokens.safetensors", original, "--reverse", "--format", layout) == 0
    assert run(original, tmp_path / "back.safetensors", "--model", MODEL) == 0
    assert f"({layout}, 0 other keys left out)" in capsys.readouterr().out
    found, facts = read_adaptation(tmp_path / "back.safetensors", zoo.get(MODEL))
    np.testing.assert_array_equal(found["tokens"], tokens, strict=True)
    assert facts == {"model": MODEL, "source": original.name, "format": layout}
    if suffix == ".pt":
        module = Original(layout)
        left = module.load_state_dict(torch.load(original, weights_only=True), strict=False)
        assert left.unexpected_keys == []
        assert set(left.missing_keys) == {"visual.norm.weight", "visual.norm.bias", "logit_scale_lr"}
        np.testing.assert_array_equal(module.tables(), tokens)


def test_a_checkpoint_of_the_whole_model(tmp_path, capsys):
    module = Original("lr0fm_metaclip")
    state = {f"module.{name}": value for name, value in module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    assert run(tmp_path / "epoch_3.pt", tmp_path / "tokens.safetensors", "--model", MODEL) == 0
    said = capsys.readouterr().out
    assert "(lr0fm_metaclip, 3 other keys left out)" in said
    assert "where the weights were trained as well, convert both" in said
    found = read_adaptation(tmp_path / "tokens.safetensors", zoo.get(MODEL))[0]["tokens"]
    np.testing.assert_array_equal(found, module.tables())


def fine_tuned(layout="eva_original"):
    """A state dict as the official training saves it: all weights changed, the tokens, its own scales and its head."""
    row = zoo.get(MODEL)
    with open_checkpoint(locate("embedded")) as reader:
        tree = convert(reader, FORMATS["open_clip_eva"].TABLE, abstract_params(row.spec))
    tree = jax.tree.map(lambda leaf: leaf * np.float32(1.25), tree)
    state = {key: torch.from_numpy(value.copy()) for key, value in export(tree, find_table(layout, row.spec)).items()}
    tables = {key: value for key, value in Original("lr0fm_eva").state_dict().items() if "tokens" in key}
    scales = {name: torch.zeros(()) for name in ("logit_scale_lr", "logit_scale_bridge", "visual.logit_scale_hr_lr")}
    return tree, state, tables, scales | {"lr_head.weight": torch.ones(7, 3), "lr_head.bias": torch.ones(7)}


def test_a_fine_tuned_model_is_converted_whole(tmp_path, capsys):
    tree, state, tables, training = fine_tuned()
    whole = {f"module.{name}": value for name, value in (state | tables | training).items()}
    torch.save({"epoch": 3, "state_dict": whole, "optimizer": {"state": {}}}, tmp_path / "epoch_3.pt")
    shutil.copy(locate("embedded").with_name("tokenizer.json"), tmp_path)
    source, out = str(tmp_path / "epoch_3.pt"), tmp_path / "converted"
    with pytest.raises(UserError, match=f"holds LR tokens .*checkpoints_conv --model {MODEL} --source {source} --out"):
        lrjax.load(MODEL, source)
    assert main(["--model", MODEL, "--source", source, "--out", str(out)]) == 0
    assert f"{len(tables) + len(training)} keys dropped" in capsys.readouterr().out
    jax.tree.map(np.testing.assert_array_equal, restore_params(out), tree)
    model = lrjax.load(MODEL, out, lr_tokens=out / "tokens.safetensors")
    np.testing.assert_array_equal(model.adaptation["tokens"], np.stack([*tables.values()]).reshape(SHAPE))


@pytest.mark.parametrize("start", range(SHAPE[0] - 1))
@pytest.mark.parametrize("numbered", ["from 0", "by block"])
@pytest.mark.parametrize("layout", ["lr0fm_eva", "lr0fm_metaclip"])
def test_tables_of_the_last_blocks_alone(tmp_path, capsys, start, numbered, layout):
    tokens = tokens_file(tmp_path / "tokens.safetensors")
    state = export_tokens(tokens, layout)
    del state["visual.spatial_tokens"]
    names = list(state)[: len(state) - start] if numbered == "from 0" else list(state)[start:]
    save_file(dict(zip(names, list(state.values())[start:], strict=True)), tmp_path / "late.safetensors")
    assert run(tmp_path / "late.safetensors", tmp_path / "back.safetensors", "--model", MODEL) == 0
    assert f"none after patchify and before block {start}, 0 other keys" in capsys.readouterr().out
    found = read_adaptation(tmp_path / "back.safetensors", zoo.get(MODEL))[0]["tokens"]
    np.testing.assert_array_equal(found[start + 1 :], tokens[start + 1 :])
    assert not found[: start + 1].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_tables_that_nothing_can_be_computed_with_are_refused(tmp_path, capsys, value):
    state = export_tokens(tokens_file(tmp_path / "tokens.safetensors"), "lr0fm_eva")
    state["visual.blocks_spatial_tokens.2"][0, 1, 2] = value
    save_file(state, tmp_path / "broken.safetensors")
    error = failing(capsys, run(tmp_path / "broken.safetensors", tmp_path / "back.safetensors", "--model", MODEL))
    assert "'visual.blocks_spatial_tokens.2' of " in error and "holds NaN, infinite or huge numbers" in error
    assert not (tmp_path / "back.safetensors").exists()


def test_the_family_chooses_the_layout(tmp_path, capsys):
    tokens_file(tmp_path / "eva.safetensors")
    assert run(tmp_path / "eva.safetensors", tmp_path / "eva.pt", "--reverse") == 0
    assert "(lr0fm_eva, " in capsys.readouterr().out
    assert "exists; name a new file or add --force" in failing(
        capsys, run(tmp_path / "eva.safetensors", tmp_path / "eva.pt", "--reverse")
    )
    assert run(tmp_path / "eva.safetensors", tmp_path / "eva.pt", "--reverse", "--force") == 0
    tokens_file(tmp_path / "siglip.safetensors", "ViT-B-16-SigLIP:webli")
    error = failing(capsys, run(tmp_path / "siglip.safetensors", tmp_path / "siglip.pt", "--reverse"))
    assert "no tokens for the family of ViT-B-16-SigLIP:webli; add --format, one of lr0fm_eva" in error


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    count, rows, width = SHAPE
    tokens_file(tmp_path / "more.safetensors", prompts=np.zeros((2, width), np.float32))
    error = failing(capsys, run(tmp_path / "more.safetensors", tmp_path / "more.pt", "--reverse"))
    assert "holds prompts, but the LR0.FM code has tokens only" in error

    names = ["visual.spatial_tokens", *(f"visual.blocks_spatial_tokens.{index}" for index in range(count - 1))]
    whole = {name: np.zeros((1, rows, width), np.float32) for name in names}
    for state, words in (
        ({"visual.norm": np.zeros(3, np.float32)}, "holds no LR tokens of the LR0.FM code"),
        ({names[0]: whole[names[0]]} | {name: whole[name] for name in names[2:]}, "holds 1 tables after patchify"),
        ({name: whole[name] for name in (names[1], *names[3:])}, "holds 0 tables after patchify"),
        (whole | {names[0]: np.zeros((rows, 1, width), np.float32)}, f"shape [{rows}, 1, {width}], but {MODEL}"),
        (
            {name: whole[name] for name in names[:-1]},
            f"of the blocks 0 to {count - 3} ({count - 2}), but {MODEL} needs",
        ),
        (
            whole | {names[2]: np.zeros((1, rows + 1, width), np.float32)},
            f"shape [1, {rows + 1}, {width}], but {MODEL}",
        ),
        (whole | {names[2]: np.zeros((rows, 1, width), np.float32)}, f"shape [{rows}, 1, {width}], but {MODEL}"),
    ):
        save_file(state, tmp_path / "wrong.safetensors")
        error = failing(capsys, run(tmp_path / "wrong.safetensors", tmp_path / "tokens.safetensors", "--model", MODEL))
        assert words in error
    assert not (tmp_path / "tokens.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tokens", "--reverse", "--format", "hf_clip"], "--format hf_clip is not for --tokens"),
        (["--reverse", "--format", "lr0fm_eva"], "--format lr0fm_eva is for --tokens"),
        (["--tokens", "--model", MODEL, "--dtype", "bfloat16"], "--dtype is not for --tokens"),
    ],
)
def test_options_that_do_not_belong_together(tmp_path, capsys, arguments, words):
    assert main([*arguments, "--source", "a.safetensors", "--out", str(tmp_path / "b.safetensors")]) == 2
    assert words in capsys.readouterr().err


def test_wrong_names_of_files(tmp_path, capsys):
    tokens_file(tmp_path / "tokens.safetensors")
    for arguments, words in (
        (["out.npz", "--reverse"], "must end in .safetensors or .pt"),
        (["out.pt", "--model", MODEL], "must end in .safetensors"),
        (["out.safetensors", "--model", "RN50:openai"], "is a ResNet"),
    ):
        out, *more = arguments
        assert words in failing(capsys, run(tmp_path / "tokens.safetensors", tmp_path / out, *more))
