"""What models are called: published weights as their backbone, others as their file or as the user says."""

import json

import pytest

import tiny
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.weights.naming import default_name, is_release, run_models

BIG = "ViT-B-16:datacomp_xl_s13b_b90k"
REPOSITORY = "CLIP-ViT-B-16-DataComp.XL-s13B-b90K"


def models_of(*entries, **options):
    return run_models(tiny.config("run", tiny.train_options(steps=0), model="", models=entries, **options))


def model_of(row, source, **options):
    (model,) = run_models(tiny.config("run", tiny.train_options(), model=row, source=source, **options))
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def place(folder, path):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(b"weights")


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ("ViT-B-32:openai", ""),
        ("ViT-B-32:openai", "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32:openai", "hf-hub:timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32:openai", "weights/ViT-B-32.pt"),
        ("ViT-B-32:openai@384", "ViT-B-32.pt"),
        ("EVA-CLIP-8B", "BAAI/EVA-CLIP-8B:EVA_CLIP_8B_psz14_s9B.pt"),
        ("EVA-CLIP-8B", "x/EVA_CLIP_8B_psz14_s9B.pt"),
        ("EVA02-embedded", "embedded"),
        (BIG, f"{REPOSITORY}/open_clip_pytorch_model.bin"),
        (BIG, f"hub/models--laion--{REPOSITORY}/snapshots/0a1b/open_clip_model.safetensors"),
    ],
)
def test_published_weights_have_the_name_of_their_backbone(folder, row, source):
    if source.endswith((".pt", ".bin", ".safetensors")):
        place(folder, source)
    model = model_of(row, source)
    assert (model.name, model.release) == (zoo.get(row).name, True)
    assert model.source == source or (source == "" and model.source == model.row.hub_id)


@pytest.mark.parametrize(
    ("row", "source", "name"),
    [
        ("ViT-B-32:openai", "weights/epoch_5.pt", "epoch_5"),
        ("ViT-B-32:openai@384", "epoch_5.pt", "epoch_5@384"),
        ("ViT-B-32:openai", "ViT-B-16.pt", "ViT-B-16"),
        ("ViT-B-32:openai", "mine.v2.safetensors", "mine.v2"),
        ("ViT-B-32:openai", "a=b\tc.pt", "a-b-c"),
        ("ViT-B-32:openai", f"{'x' * 100}.pt", "x" * 80),
        ("ViT-B-32:openai", "me/CLIP-ViT-B-32.v1", "CLIP-ViT-B-32.v1"),
        ("ViT-B-32:openai", "me/many@old", "many@old"),
        ("ViT-B-32:openai", "runs/last.pt:ema", "last:ema"),
        ("ViT-B-32:openai", "hub/models--me--many/snapshots/0a1b/model.safetensors", "many"),
        ("ViT-B-32:openai", "hf-hub:me/many:run.3/best.pt", "best"),
        ("ViT-B-32:openai", "me/many:open_clip_pytorch_model.bin", "many"),
        # every repository has a file of this name
        (BIG, "finetuned/open_clip_pytorch_model.bin", "finetuned"),
        ("EVA02-embedded", "mine/model.safetensors", "mine"),
    ],
)
def test_other_weights_have_the_name_of_their_file(folder, row, source, name):
    if not source.startswith(("hf-hub:", "me/")):
        place(folder, source.partition(":")[0])
    model = model_of(row, source)
    assert (model.name, model.release) == (name, False)


def test_a_converted_directory_has_its_own_name_or_that_of_the_published_file(folder):
    row = zoo.get("ViT-B-32:openai")
    for name, source in (("dir.a", "ViT-B-32.pt"), ("dir.b", "epoch_1.pt"), ("dir.c", "model.safetensors")):
        (folder / name).mkdir()
        (folder / name / "model.json").write_text(json.dumps({"model": row.name, "sha256": "ab", "source": source}))
    (folder / "downloaded").mkdir()
    (folder / "vit_base_patch32_clip_224.openai").mkdir()
    assert is_release(row, "vit_base_patch32_clip_224.openai")
    assert not is_release(row, "downloaded") and default_name(row, "downloaded") == "downloaded"
    assert is_release(row, "dir.a") and model_of(row.name, "dir.a/").name == row.name
    assert not is_release(row, "dir.b") and model_of(row.name, "dir.b/").name == "dir.b"
    assert not is_release(row, "dir.c") and default_name(row, str(folder / "dir.c")) == "dir.c"


def test_entries(folder):
    place(folder, "a=b.pt")
    entries = (
        "RN50:openai",
        "ViT-B-16:openai = hf-hub:x/y",
        "mine= ViT-B-16:openai = hf-hub:x/y",
        "other=RN50:openai=",
    )
    assert [(one.name, one.row.name, one.source, one.release) for one in models_of(*entries)] == [
        ("RN50:openai", "RN50:openai", "timm/resnet50_clip.openai", True),
        ("y", "ViT-B-16:openai", "hf-hub:x/y", False),
        ("mine", "ViT-B-16:openai", "hf-hub:x/y", False),
        ("other", "RN50:openai", "timm/resnet50_clip.openai", True),
    ]
    # a file with "=" in its name
    assert [(one.name, one.source) for one in models_of("EVA02-B-16@256=a=b.pt", "n=EVA02-B-16=a=b.pt")] == [
        ("a-b@256", "a=b.pt"),
        ("n", "a=b.pt"),
    ]


def test_the_protocol_and_the_numerics_of_the_run():
    model = model_of("ViT-L-14-CLIPA:datacomp1b", "", protocol="lr0fm", numerics="as_trained")
    assert (model.row.preprocess.kernel, model.row.preprocess.pass_order) == ("bicubic", "pillow12")
    assert model.row.spec.image.blocks.activation == "gelu_tanh"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("RN50:openai=a/x.pt", "RN50:openai=b/x.pt"), r"config\.models names 'x' twice; .*NAME=BACKBONE=SOURCE"),
        (("m=RN50:openai=a.pt", "m=RN101:openai=b.pt"), "config.models names 'm' twice"),
        (("=RN50:openai=a.pt",), "config.models calls a model ''; give 1 to 80 printable characters"),
        (("a/b=RN50:openai=a.pt",), "config.models calls a model 'a/b'"),
        (("RN101:openai=RN50:openai=a.pt",), "the name 'RN101:openai' is that of another backbone than RN50:openai"),
        (("mine=RN5:openai=a.pt",), "unknown backbone 'RN5:openai'; did you mean RN50:openai"),
    ],
)
def test_names_that_are_refused(folder, entries, message):
    for path in ("a/x.pt", "b/x.pt", "a.pt", "b.pt"):
        place(folder, path)
    with pytest.raises(UserError, match=message):
        models_of(*entries)
