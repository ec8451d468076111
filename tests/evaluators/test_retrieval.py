"""Recall of images and captions, by hand and in a whole run."""

import numpy as np
import pytest

from lrjax.data.dataset import Dataset
from lrjax.questions import retrieval
from lrjax.questions.case import Case
from lrjax.questions.retrieval import Retrieval, places
from lrjax.results.store import ResultStore
from run_helpers import Command, write_recipe

PICTURES = Dataset(
    name="pictures", group=(), classes=(), templates=(), expected_count=None, tfds=None, paper_classes=0, captioned=True
)


def asked(images, texts, owner, *, index=None):
    """What the question says of embeddings, by metric, and its samples."""
    index = np.arange(len(images)) if index is None else np.array(index)
    records = {
        "images": {"index": index, "embedding": np.array(images, np.float32)},
        "texts": {"index": np.arange(len(texts)), "label": np.array(owner), "embedding": np.array(texts, np.float32)},
    }
    score = Retrieval().score(Case(dataset=PICTURES, needs={}), records)
    return {one.metric: (one.value, one.n) for one in score.measurements}, score.samples


def similar(table):
    """Embeddings of images and of captions whose products are a table."""
    return np.eye(len(table)), np.array(table).T


# Six images and eight captions, two of the first and of the second image. Similarities by image and caption:
TABLE = [
    # 0   0    1    1    2    3    4    5     the image of the caption
    [0.1, 0.9, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0],  # the second of its two captions is the nearest
    [0.5, 0.6, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0],  # three captions of others before the better of its two
    [0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0],  # four
    [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0],  # equal to five before it
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # equal to all, six of them before it
    [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],  # seven
]
OWNER = [0, 0, 1, 1, 2, 3, 4, 5]
RANKS = [0, 3, 4, 5, 6, 7]
CAPTION_RANKS = [
    4,  # .9 .8 .7 .5 before its .1
    0,  # .9, as of image 3, which is behind it
    4,  # .9 .6 .5, and image 0 of the same .2
    4,  # .9 .5 .4, and image 0 of the same .3
    4,  # .9, and images 0, 1 and 5 of .4 before .3
    0,  # .9
    5,  # .2 .1, and images 0, 1 and 3 of the same 0
    0,  # .1
]


def test_recall_by_hand():
    metrics, samples = asked(*similar(TABLE), OWNER)
    assert samples["rank"].tolist() == RANKS
    assert samples["caption_rank"].tolist() == CAPTION_RANKS
    assert metrics == {
        "image_to_text_recall1": (1 / 6, 6),
        "text_to_image_recall1": (3 / 8, 8),
        "recall1": ((1 / 6 + 3 / 8) / 2, 14),
        "image_to_text_recall5": (3 / 6, 6),
        "text_to_image_recall5": (7 / 8, 8),
        "recall5": ((3 / 6 + 7 / 8) / 2, 14),
    }  # there are no ten images to choose from


def test_what_images_count_for_by_hand():
    metrics, samples = asked(*similar(TABLE), OWNER)
    assert samples["caption_image"].tolist() == OWNER
    outcomes = Retrieval.outcomes(samples)
    assert {name: one.statistic(*one.values) for name, one in outcomes.items() if name in metrics} == {
        name: pytest.approx(value) for name, (value, _) in metrics.items()
    }
    right, there, captions = outcomes["recall5"].values
    assert right.tolist() == [True, True, True, False, False, False]
    assert there.tolist() == [2, 2, 1, 1, 0, 1] and captions.tolist() == [2, 2, 1, 1, 1, 1]
    assert outcomes["image_to_text_recall5"].binary and not outcomes["recall5"].binary
    # drawn images come with all of their captions
    drawn = np.array([0, 0, 2, 4])
    assert outcomes["text_to_image_recall5"].statistic(there[drawn], captions[drawn]) == pytest.approx(5 / 6)


def test_ten_of_twelve_images_with_a_caption_each():
    table = np.zeros((12, 12))
    table[np.arange(12), np.arange(12)] = -np.arange(12)  # the right one is the last of all but for image 0
    metrics, samples = asked(*similar(table), range(12))
    assert samples["rank"].tolist() == samples["caption_rank"].tolist() == [0, *[11] * 11]
    assert metrics["recall10"] == (1 / 12, 24)
    assert metrics.keys() == Retrieval.higher_is_better.keys()


def test_any_caption_counts_and_what_is_nearest_decides():
    images, texts = similar([[0.1, 0.2, 0.9], [0.3, 0.8, 0.7]])
    metrics, _ = asked(images, texts, [0, 1, 0])
    assert metrics["image_to_text_recall1"] == (1.0, 2)
    assert metrics["text_to_image_recall1"] == (2 / 3, 3)  # the first caption is nearer to the second image


def test_the_captions_of_a_damaged_image_are_left_out():
    images, texts = similar(TABLE)
    kept = [2, 0, 1, 4, 5]  # as they come from several processes
    metrics, samples = asked(images[kept], texts, OWNER, index=kept)
    assert samples["index"].tolist() == [0, 1, 2, 4, 5]
    assert samples["caption"].tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert samples["rank"].tolist() == [0, 3, 4, 5, 6]
    assert samples["caption_rank"].tolist() == [3, 0, 3, 3, 3, 4, 0]
    assert metrics["recall5"] == ((3 / 5 + 1) / 2, 12)


@pytest.mark.parametrize("at_once", [1, 8, 24, 10**6])
def test_the_number_of_similarities_in_memory_changes_nothing(monkeypatch, at_once):
    monkeypatch.setattr(retrieval, "_AT_ONCE", at_once)
    images, texts = (one.astype(np.float32) for one in similar(TABLE))
    assert places(images, texts, np.arange(6), np.array(OWNER)).tolist() == RANKS
    assert places(texts, images, np.array(OWNER), np.arange(6)).tolist() == CAPTION_RANKS


@pytest.fixture
def command(capsys):
    return Command(capsys)


def test_a_run_of_its_own_and_what_it_cannot_be_asked_of(tmp_path, command):
    values = {
        "model": "EVA02-embedded",
        "source": "embedded",
        "workdir": str(tmp_path / "run"),
        "data": {"names": ("captioned",), "count": 8},
        "questions": {"retrieval": {"resolutions": (32,)}},
        "evaluation": {"batch_size": 8},
        "report": {"weights": "equal"},
    }
    recipe = write_recipe(tmp_path / "recipe.py", **values)
    status, stdout, stderr = command("--config", recipe)
    assert status == 0, stderr
    assert "Retrieval" in stdout
    rows = ResultStore(tmp_path / "run").rows
    found = {(row.resolution, row.metric): row for row in rows}
    assert {side for side, _ in found} == {32, "hr"}
    assert found["hr", "text_to_image_recall1"].n == 40
    assert found["hr", "recall5"].value >= found["hr", "recall1"].value > 0.5  # by chance 1 of 8
    assert {row.kind for row in rows} == {"retrieval"}
    assert "recall5" in (tmp_path / "run" / "report" / "retrieval.html").read_text()
    for override, refused in {
        "--config.data.names=shapes": "Retrieval asks of captions, and data set 'shapes' has none; take it out",
        "--config.questions.retrieval.resolutions=512": "resolution 512 is larger than the",
    }.items():
        status, _, stderr = command("--config", recipe, override)
        assert status == 2
        assert refused in stderr.splitlines()[-1]
    recipe = write_recipe(tmp_path / "other.py", **values | {"questions": {"zeroshot": {"resolutions": (32,)}}})
    status, _, stderr = command("--config", recipe)
    assert status == 2
    assert "ZeroShot asks of classes, and data set 'captioned' has none; take it out of config.data.names" in stderr
