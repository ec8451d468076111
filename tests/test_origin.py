"""Which backbone a bare name means: never one activation for granted."""

import pytest
import safetensors.numpy
import torch

import lrjax
import tiny
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.weights.origin import row_for

GELU, QUICK = "ViT-B-32:laion2b_s34b_b79k", "ViT-B-32:openai"
WEIGHTS = {"a": torch.ones(2)}


def archive(path, *scalars):
    """A TorchScript archive, with sizes of the model among its tensors as OpenAI's have them."""
    module = torch.nn.Linear(2, 2)
    for name in scalars:
        module.register_buffer(name, torch.tensor(1))
    torch.jit.trace(module, torch.ones(1, 2)).save(path)
    return path


def write(path, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file({name: value.numpy() for name, value in WEIGHTS.items()}, path, metadata)
    return path


def test_a_bare_name_with_two_activations_is_refused_and_the_tags_are_named(tmp_path):
    torch.save(WEIGHTS, tmp_path / "mine.pt")
    for source in (tmp_path / "mine.pt", write(tmp_path / "mine.safetensors", {"format": "pt"}), ""):
        with pytest.raises(UserError, match="ViT-B-32 has several checkpoints") as error:
            lrjax.load("ViT-B-32", source)
        assert GELU in str(error.value)
        assert QUICK in str(error.value)


@pytest.mark.parametrize("name", ["ViT-L-14-336", "RN50", "RN50x64", "ViT-L-14-336@224"])
def test_a_bare_name_whose_only_row_has_another_activation_than_open_clips_is_refused(name, tmp_path):
    torch.save(WEIGHTS, tmp_path / "mine.pt")
    with pytest.raises(UserError, match=f"{name} has exact GELU in open_clip but quick GELU in "):
        row_for(name, tmp_path / "mine.pt")
    assert row_for(name, "").tag == "openai"  # its hub id says so


@pytest.mark.parametrize("name", ["EVA02-B-16", "ViT-B-16-SigLIP", "ViT-B-32-256", "coca_ViT-B-32", "EVA02-B-16@448"])
def test_a_bare_name_with_one_activation_is_taken(name, tmp_path):
    assert row_for(name, tmp_path / "mine.pt").name.startswith(name.partition("@")[0])


def test_a_full_name_is_taken_as_it_is(tmp_path):
    torch.save(WEIGHTS, tmp_path / "ViT-B-32.pt")
    assert row_for(GELU, tmp_path / "ViT-B-32.pt").name == GELU
    assert row_for(f"{QUICK}@384", tmp_path / "ViT-B-32.pt").name == f"{QUICK}@384"


def test_the_source_tells(tmp_path):
    scalars = ("input_resolution", "context_length", "vocab_size")
    snapshot = "models--timm--vit_base_patch32_clip_224.openai/snapshots/0a1b"
    tiny.save_params({"a": WEIGHTS["a"].numpy()}, tmp_path / "converted", metadata={"model": GELU, "sha256": "0"})
    torch.save(WEIGHTS, tmp_path / "vit_b_32-laion2b_e16-af8dbd0c.pth")
    for source, meant in (
        (archive(tmp_path / "any.pt", *scalars), QUICK),
        (write(tmp_path / "exported.safetensors", {"format": "pt", "model": GELU}), GELU),
        (tmp_path / "vit_b_32-laion2b_e16-af8dbd0c.pth", "ViT-B-32:laion2b_e16"),
        (write(tmp_path / snapshot / "open_clip_model.safetensors"), QUICK),
        (tmp_path / "converted", GELU),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", GELU),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K:open_clip_pytorch_model.bin", GELU),
        ("timm/vit_base_patch32_clip_224.laion2b_e16@main", "ViT-B-32:laion2b_e16"),
    ):
        assert row_for("ViT-B-32", source).name == meant
        assert row_for("ViT-B-32@384", source).name == f"{meant}@384"
    assert row_for("ViT-L-14-336", archive(tmp_path / "336.pt", *scalars)).name == "ViT-L-14-336:openai"


def test_an_archive_or_a_name_of_another_maker_tells_nothing(tmp_path):
    torch.save(WEIGHTS, tmp_path / "open_clip_pytorch_model.bin")
    torch.save(WEIGHTS, tmp_path / "ViT-B-32.pt")  # OpenAI's file is an archive
    for source in (archive(tmp_path / "own.pt"), tmp_path / "open_clip_pytorch_model.bin", tmp_path / "ViT-B-32.pt"):
        with pytest.raises(UserError, match="several checkpoints"):
            row_for("ViT-B-32", source)


def test_a_source_of_another_backbone_is_refused(tmp_path):
    tiny.save_params({"a": WEIGHTS["a"].numpy()}, tmp_path / "converted", metadata={"model": QUICK, "sha256": "0"})
    for source in ("timm/vit_base_patch32_clip_224.openai", tmp_path / "converted"):
        with pytest.raises(UserError, match=f"holds {QUICK}, not {GELU}; name that model"):
            row_for(GELU, source)
    with pytest.raises(UserError, match="holds EVA02-embedded, not ViT-B-32"):
        row_for("ViT-B-32", "embedded")


def test_every_hub_id_tells_its_row():
    for row in zoo.BACKBONES.values():
        if row.hub_id:
            assert row_for(row.architecture, row.hub_id) is row
