"""The files of a whole run through the command line: tokens, card, curves and the best evaluation."""

import jax
import numpy as np
import pytest
from PIL import Image

import tiny
from lrjax import api
from lrjax.models import zoo
from lrjax.results.store import ResultStore
from lrjax.train.history import COLUMNS, SCORE_COLUMNS, read_table
from lrjax.weights.checkpoint import checkpoint_hash
from lrjax.weights.token_file import read_adaptation
from run_helpers import Command, tiny_row, write_checkpoint, write_recipe

pytestmark = pytest.mark.usefixtures("light_compilation")


@pytest.mark.slow
def test_a_run_leaves_what_it_promises(tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setitem(zoo.BACKBONES, "tiny", tiny_row())
    checkpoint, run = write_checkpoint(tiny_row(), tmp_path / "checkpoint"), tmp_path / "run"
    images = tiny.write_training_images(tmp_path / "images")
    options = {"root": str(images), "image_size": 40, "buckets": ((8, 16),), "batch_size": 4}
    recipe = write_recipe(
        tmp_path / "recipe.py",
        model="tiny",
        source=str(checkpoint),
        name="mine",
        workdir=str(run),
        devices=1,
        data={"names": ("shapes",), "count": 6, "workers": 0},
        questions={"zeroshot": {"resolutions": (8,)}},
        evaluation={"batch_size": 4},
        train={"steps": 4, "prompts": 2, "evaluate_every": 2, "save_every": 3, "tensorboard": True, **options},
        report={"plots": True, "weights": "equal"},
    )
    status, _, stderr = Command(capsys)("--config", recipe)
    assert status == 0, stderr

    adaptation, facts = read_adaptation(run / "tokens.safetensors", tiny_row())
    assert {name: leaf.shape for name, leaf in adaptation.items()} == {
        "tokens": (tiny.DEPTH + 1, 16, tiny.WIDTH),
        "prompts": (2, tiny.WIDTH),
    }
    assert (facts["step"], facts["seed"], facts["recipe"]["prompts"]) == (4, 0, 2)
    rows = read_table(run / "training.csv", COLUMNS)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(
        [1e-3 * 0.2 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)], rel=1e-5
    )
    with Image.open(run / "training.png") as picture:
        assert picture.format == "PNG"
    assert any((run / "tensorboard").glob("events*"))

    # 1 of 6 is right whatever is trained: of equal scores the first is the best.
    assert read_table(run / "scores.csv", SCORE_COLUMNS) == [
        {"step": "2", "score": "0.16666667"},
        {"step": "4", "score": "0.16666667"},
    ]
    best, facts = read_adaptation(run / "best.safetensors", tiny_row())
    assert facts["step"] == 2
    assert not np.array_equal(best["prompts"], adaptation["prompts"])
    assert {(row.model, row.variant) for row in ResultStore(run).rows} == {("mine", "vanilla"), ("mine", "lr_tk0")}
    assert {row.extra["weights"] for row in ResultStore(run).rows} == {checkpoint_hash(checkpoint)}
    parameters = {row.variant: row.extra["parameters"] for row in ResultStore(run).rows}
    assert parameters["lr_tk0"] - parameters["vanilla"] == sum(leaf.size for leaf in adaptation.values())

    card = (run / "tokens.md").read_text()
    assert card.startswith("# prompts and tokens for mine\n")
    assert f"beside the image tower of mine, a tiny from `{checkpoint}`, distilled" in card
    assert "16.67 % after step 2, is `best.safetensors`" in card
    assert "| Model | Data set | Images | Chance | 8" in card
    assert "16.7 → 16.7" in card
    assert "| prompts | 2 |" in card
    assert f'lrjax.load("tiny", "{checkpoint}", lr_tokens="tokens.safetensors")' in card

    pictures = [tiny.picture(seed, 40, 36) for seed in range(2)]
    model = api.load("tiny", checkpoint, lr_tokens=run / "tokens.safetensors", devices=1)
    vanilla = api.load("tiny", checkpoint, devices=1)
    embedded = api.encode_image(model, pictures)
    np.testing.assert_array_equal(embedded, api.encode_image(vanilla.adapted(jax.device_put(adaptation)), pictures))
    assert not np.array_equal(embedded, api.encode_image(vanilla, pictures))
