"""Corrupted sources: the same picture in every run, another one at every position."""

import json

import numpy as np
import pytest
from PIL import Image

import on_disk
from lrjax.config import Data
from lrjax.data import datasets
from lrjax.data.__main__ import check
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.datasets import get_dataset, get_datasets, open_source
from lrjax.data.loader import batches
from lrjax.data.source import Source
from lrjax.errors import UserError
from lrjax.ops.corruptions import corrupt
from lrjax.ops.preprocess import ViewSpec


class Greys(Source):
    """Grey PIL images in mode L, whose label is their position."""

    fingerprint = "greys"

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"image": Image.new("L", (40, 50), 100), "label": index, "id": f"grey-{index}"}


def test_images_are_corrupted_with_a_seed_of_their_own():
    source = CorruptedSource(Greys(), "impulse_noise", severity=3, seed=9)
    grey = np.full((50, 40, 3), 100, np.uint8)
    for index in range(len(source)):
        example = source[index]
        assert (example["label"], example["id"]) == (index, f"grey-{index}")
        expected = corrupt(grey, "impulse_noise", severity=3, seed=(9, index))
        np.testing.assert_array_equal(example["image"], expected)
    assert not np.array_equal(source[0]["image"], source[1]["image"])


def test_the_loader_reads_it():
    batch = next(iter(batches(CorruptedSource(Greys(), "fog", severity=1), 3, specs=(ViewSpec(32),))))
    assert batch.sizes.tolist() == [[50, 40]] * 3
    assert batch.labels.tolist() == [0, 1, 2]


def test_what_corrupted_data_sets_share_is_opened_once(tmp_path, monkeypatch):
    on_disk.folder(tmp_path)
    own = [tmp_path / name / "own.yaml" for name in "ab"]
    for path in own:  # two data sets of one name
        on_disk.write_images(path.parent / "images")
        on_disk.write(path, json.dumps({"prompts": "eurosat", "path": "folder:images"}))
    names = ["eurosat", "eurosat+fog-3", "eurosat+snow-1", str(own[0]), f"{own[1]}+fog-3", "shapes+fog-3"]
    listed, opened = [], datasets.open_located
    monkeypatch.setattr(datasets, "open_located", lambda *given: listed.append(given) or opened(*given))
    data = Data(names=tuple(names), root=str(tmp_path), count=7, seed=2)
    found = datasets.open_sources([datasets.get_dataset(name, tmp_path) for name in names], data)
    assert len(listed) == 3
    assert [len(source) for source in found.values()] == [20, 20, 20, 20, 20, 7]
    for name, source in zip(names, found.values(), strict=True):
        count = 7 if name.startswith("shapes") else None
        assert source.fingerprint == datasets.open_source(name, tmp_path, count=count, seed=2).fingerprint


def test_the_fingerprint_tells_everything_apart():
    made = [
        CorruptedSource(Greys(), "frost", severity=1),
        CorruptedSource(Greys(), "frost", severity=2),
        CorruptedSource(Greys(), "frost", severity=1, seed=1),
        CorruptedSource(Greys(), "fog", severity=1),
    ]
    assert len({source.fingerprint for source in made}) == len(made)


@pytest.mark.parametrize(("name", "severity"), [("rain", 1), ("fog", 6)])
def test_mistakes_are_named_before_anything_is_read(name, severity):
    with pytest.raises(UserError, match=f"no '{name}' of severity {severity}"):
        CorruptedSource(Greys(), name, severity=severity)


def test_corrupted_data_sets_have_names():
    dataset, source = get_dataset("letters+snow-2"), open_source("letters+snow-2", count=3, seed=4)
    assert (dataset.name, dataset.corruption) == ("letters+snow-2", ("snow", 2))
    assert dataset.classes == get_dataset("letters").classes
    letters = open_source("letters", count=3, seed=4)
    assert len(source) == 3 and source.fingerprint != letters.fingerprint
    np.testing.assert_array_equal(source[2]["image"], corrupt(letters[2]["image"], "snow", severity=2, seed=(4, 2)))
    for name in ("letters+rain-1", "letters+snow-6"):
        with pytest.raises(UserError, match=f"no '{name[8:-2]}' of severity {name[-1]}"):
            get_dataset(name)
    with pytest.raises(UserError, match="unknown data set 'lettres'; did you mean letters"):
        get_dataset("lettres+snow-1")


def test_corrupted_data_sets_lie_where_their_images_are(tmp_path):
    on_disk.write_images(tmp_path / "pictures")
    own = {"prompts": "eurosat", "path": "nowhere"}
    on_disk.write(tmp_path / "own.json", str(own).replace("'", '"'))
    name, sources = f"{tmp_path}/own.json+brightness-1", {"own": f"folder:{tmp_path}/pictures"}
    ((dataset,), data) = get_datasets((name,), sources=sources), Data(names=(name,), sources=sources)
    assert dataset.name == "own+brightness-1"
    assert len(open_source(dataset, sources=sources)) == len(on_disk.NAMES)
    finding = check(dataset, data, full=False)
    assert (finding.images, finding.problems) == (len(on_disk.NAMES), ())
