"""Generating training images: a tiny random PixArt pipeline, interruptions, parts, and every mistake of a user."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from experiments.synthetic import generate
from experiments.synthetic.captions import captions_hash, read_captions
from experiments.synthetic.image_set import SetOnDisk, Settings
from experiments.synthetic.pipeline import generate as generate_batch
from experiments.synthetic.pipeline import noise_seed
from lrjax.data.datasets import open_training_source
from lrjax.errors import UserError
from torch_reference import import_torchvision

CAPTIONS = ("a dog on the beach", "the letter k", "a red car")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (*sum(generate.PROCESSES, ()), "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of captions and a pipeline of random weights."""
    folder = tmp_path_factory.mktemp("synthetic")
    (folder / "captions.txt").write_text("\n".join(CAPTIONS) + "\n")
    import_torchvision()
    import torch
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other make these calls ten times as slow on a busy machine
    torch.manual_seed(0)
    letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    PixArtAlphaPipeline(
        tokenizer=T5Tokenizer(
            vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters], extra_ids=0
        ),
        text_encoder=T5EncoderModel(T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)),
        vae=AutoencoderKL(
            block_out_channels=(2, 2, 2, 2),
            norm_num_groups=1,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        transformer=PixArtTransformer2DModel(
            sample_size=32,  # the smallest that has a list of sizes: images are made at 256 x 256
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            cross_attention_dim=16,
            caption_channels=16,
        ),
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(folder / "pipeline")
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def rows(monkeypatch):
    """The numbers of images that the pipeline was asked for, one per call."""
    calls, original = [], generate.generate

    def counted(pipeline, prompts, seeds, **options):
        calls.append(len(prompts))
        return original(pipeline, prompts, seeds, **options)

    monkeypatch.setattr(generate, "generate", counted)
    return calls


def command(folder, out, *arguments):
    files = [str(folder / "captions.txt"), "--out", str(out), "--pipeline", str(folder / "pipeline")]
    small = ["--images", "2", "--dtype", "float32", "--resolution", "32", "--steps", "2", "--batch-size", "2"]
    return generate.main([*files, *small, *arguments])


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(folder):
    out = folder / "whole"
    assert command(folder, out, "--shard", "0/1") == 0
    return out


def test_the_manifest_tells_what_every_image_is_of(whole):
    rows = [json.loads(line) for line in (whole / "Mul_samples_2_3.jsonl").read_text().splitlines()]
    assert [(row["caption"], row["image"]) for row in rows] == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert rows[4] == {
        "file": "Mul_samples_2_3/2/rohit_caption_1.png",
        "caption": 1,
        "text": "the letter k",
        "seed": 0,
        "image": 1,
    }
    assert len(contents(whole)) == len(rows) + 2
    assert len({contents(whole)[row["file"]] for row in rows}) == len(rows)


def test_a_training_reads_what_was_generated(whole):
    source = open_training_source(whole, count=1, seed=0, images_per_caption=1)
    assert source.labels == [0, 1, 2]
    assert source[1]["image"].size == (32, 32)
    assert open_training_source(whole, count=1, seed=0).ids[3] == "Mul_samples_2_3/2/rohit_caption_1.png"


def test_an_image_is_that_of_the_pipeline_with_its_own_noise(whole, folder):
    import torch
    from diffusers import PixArtAlphaPipeline

    pipeline = PixArtAlphaPipeline.from_pretrained(folder / "pipeline")
    image = pipeline(
        CAPTIONS[1],
        generator=torch.Generator().manual_seed(noise_seed(0, 1, 1)),
        num_inference_steps=2,
        height=32,
        width=32,
    ).images[0]
    stored = np.asarray(Image.open(whole / "Mul_samples_2_3" / "2" / "rohit_caption_1.png"))
    np.testing.assert_allclose(stored.astype(int), np.asarray(image).astype(int), atol=1)  # one row, other rounding


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(whole, folder, tmp_path, monkeypatch, rows, capsys):
    add = SetOnDisk.add

    def interrupted(images, *arguments):
        if len(images.missing()) == 3:  # the second of the two images of a batch
            raise KeyboardInterrupt
        add(images, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SetOnDisk, "add", interrupted)
        assert command(folder, tmp_path) == 130
    assert "run it again" in capsys.readouterr().err
    before = contents(tmp_path)
    assert len(before) == 3 + 1  # the settings, and no manifest
    assert command(folder, tmp_path) == 0
    assert rows == [2, 2, 2, 1]
    assert contents(tmp_path) == contents(whole)
    assert before.items() <= contents(tmp_path).items()
    assert command(folder, tmp_path) == 0
    assert rows == [2, 2, 2, 1]


def test_parts_make_the_same_set_together(whole, folder, tmp_path, monkeypatch, rows, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command(folder, tmp_path) == 0
    assert capsys.readouterr().out == "part 1 of 2 is complete; other parts have yet to make 3 images\n"
    assert not (tmp_path / "Mul_samples_2_3.jsonl").exists()
    assert command(folder, tmp_path, "--shard", "0/2") == 0
    assert rows == [2, 1, 2, 1]
    assert contents(tmp_path) == contents(whole)


def test_overflow_and_missing_pipelines(folder, tmp_path, capsys):
    broken = lambda prompt, **_: types.SimpleNamespace(images=np.full((len(prompt), 4, 4, 3), np.nan, np.float32))  # noqa: E731
    with pytest.raises(UserError, match=r"overflows at caption 'a dog'; give --dtype bfloat16"):
        generate_batch(broken, ["a dog"], [1], batch_size=2, options={})
    (tmp_path / "empty").mkdir()
    assert command(folder, tmp_path / "out", "--pipeline", str(tmp_path / "empty")) == 2
    assert "empty' cannot be loaded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_noise_differs_in_every_number():
    seeds = {noise_seed(seed, caption, image) for seed in range(3) for caption in range(20) for image in range(20)}
    assert len(seeds) == 1200
    assert noise_seed(0, 1, 2) == noise_seed(0, 1, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no caption"),
        (b"a\n\nb\n", "line 2 of .* is empty"),
        (b"a\nb\n a \n", "line 3 of .* repeats line 1, 'a'; remove one, or give --repeated"),
        (b"a\n\xff\n", "cannot be read as UTF-8"),
        ("a\nb\ufffd\n".encode(), "line 2 of .* is damaged"),
        (b"a\tb\n", r"line 1 of .* no plain text: 'a\\tb'"),
    ],
)
def test_bad_captions_name_their_line(tmp_path, content, message):
    (tmp_path / "captions.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_captions(tmp_path / "captions.txt")


def test_captions_are_lines(tmp_path):
    (tmp_path / "captions.txt").write_bytes("\ufeff a dog \r\nein H\u00fcndchen\na dog\n\n".encode())
    assert read_captions(tmp_path / "captions.txt", repeated=True) == ["a dog", "ein H\u00fcndchen", "a dog"]
    with pytest.raises(UserError, match="cannot be read"):
        read_captions(tmp_path / "missing.txt")


def settings(captions, **changes):
    values = {"pipeline": "p", "seed": 0, "resolution": None, "steps": None, "guidance": None, "dtype": "float16"}
    return Settings(**values | {"captions": len(captions), "captions_hash": captions_hash(captions)} | changes)


def test_a_folder_keeps_sets_apart(tmp_path):
    for _ in range(2):
        SetOnDisk(tmp_path, CAPTIONS, 2, settings(CAPTIONS)).add(0, 0, b"")
    SetOnDisk(tmp_path, CAPTIONS, 5, settings(CAPTIONS, seed=1))
    SetOnDisk(tmp_path, CAPTIONS[:2], 2, settings(CAPTIONS[:2]))
    others = ("x", "y", "z")
    for captions, images, changes, message in (
        (CAPTIONS, 2, {"steps": 20}, r"Mul_samples_2_3' were made with steps=None, not 20; give another --out"),
        (others, 2, {}, r"Mul_samples_2_3' were made with captions_hash="),
        (others, 3, {}, r"Mul_samples_2_3' has 3 other captions"),
        (CAPTIONS, 3, {}, r"has images of these captions and seed 0; give another --seed"),
    ):
        with pytest.raises(UserError, match=message):
            SetOnDisk(tmp_path, captions, images, settings(captions, **changes))
    (tmp_path / "Mul_samples_1_1").mkdir()
    with pytest.raises(UserError, match="was made by another program"):
        SetOnDisk(tmp_path, ("x",), 1, settings(("x",)))
    (tmp_path / "Mul_samples_2_3.json").write_text("{}")
    with pytest.raises(UserError, match=r"Mul_samples_2_3\.json' is damaged"):
        SetOnDisk(tmp_path, CAPTIONS, 2, settings(CAPTIONS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "--images is 0; it must be at least 1"),
        (["--guidance", "nan"], "--guidance is nan"),
        (["--shard", "2/2"], "--shard gives part '2/2'; give I/N"),
        (["--shard", "1"], "--shard gives part '1'"),
        (["--batch-size", "many"], "invalid int value"),
    ],
)
def test_bad_options_are_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "captions.txt").write_text("a\n")
    assert command(tmp_path, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_part_by_the_environment(tmp_path, monkeypatch, capsys):
    (tmp_path / "captions.txt").write_text("a\n")
    monkeypatch.setenv("SLURM_PROCID", "4")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert command(tmp_path, tmp_path / "out") == 2
    assert "environment (SLURM_PROCID, SLURM_NTASKS) gives part '4/4'" in capsys.readouterr().err
