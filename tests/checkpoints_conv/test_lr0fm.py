"""LR tokens in the layout of the official LR0.FM code: its modules load them, and what they save comes back."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from checkpoints_conv.__main__ import main
from lrjax.models import zoo
from lrjax.models.lr_tokens import token_shape
from lrjax.token_file import read_adaptation, write_adaptation

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
    state["module.visual.transformer.spatial_tokens"] = state.pop("module.visual.spatial_tokens")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    assert run(tmp_path / "epoch_3.pt", tmp_path / "tokens.safetensors", "--model", MODEL) == 0
    assert "(lr0fm_metaclip, 3 other keys left out)" in capsys.readouterr().out
    found = read_adaptation(tmp_path / "tokens.safetensors", zoo.get(MODEL))[0]["tokens"]
    np.testing.assert_array_equal(found, module.tables())


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
        ({name: whole[name] for name in names[1:]}, "holds 0 tables after patchify"),
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
