"""What holds for every question: each option, and all that makes a number, is part of its key."""

import dataclasses
import json

import numpy as np
import pytest

import tiny
from asking import images_for
from lrjax.data.datasets import open_source
from lrjax.data.sources.base import Part
from lrjax.questions import registry
from lrjax.results.store import ResultStore
from lrjax.runs.asking import Asking, Plan, Subject

OTHER = {
    "retrieval": {"resolutions": (8,)},
    "zeroshot": {"resolutions": (8,)},
    "zoom": {"normalisation": "native", "scales_at_once": 2, "keep": ("guess",), "aggregate": "FILE", "crops": False},
}
"""Another value of every option than its default."""


@pytest.fixture(scope="module")
def subject():
    return {
        "config": tiny.config("run", tiny.train_options()),
        "predictor": tiny.predictor(),
        "weights": "w",
        "tokens": tiny.random_tokens(),
    }


@pytest.fixture
def parts(subject, name):
    """All that makes a number of a question; the images have what it asks of."""
    dataset, source = images_for(name)
    return subject | {"dataset": dataset, "source": source}


def keys(parts, folder, question):
    return {cell.key for cell in cells(parts, folder, question)}


def cells(parts, folder, question):
    tokens = parts["tokens"]
    plan = Plan(
        config=parts["config"],
        questions={"one": question},
        datasets=[(parts["dataset"], parts["source"])],
        places={},
    )
    subject = Subject(
        model=tiny.model(parts["predictor"].row),
        predictor=parts["predictor"].adapted({} if tokens is None else {"tokens": tokens}),
        variant="lr_tk0",
        weights=parts["weights"],
    )
    return Asking(plan, subject, ResultStore(folder)).cells()


def of_row(parts, **changes):
    predictor = tiny.predictor()
    predictor.row = dataclasses.replace(predictor.row, **changes)
    return {"predictor": predictor}


def of_preprocess(parts, **changes):
    return of_row(parts, preprocess=dataclasses.replace(parts["predictor"].row.preprocess, **changes))


def of_data(parts, **changes):
    config = parts["config"]
    return {"config": dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))}


def with_columns(source):
    other = Part(source, range(len(source)))
    other.columns = {"shape": ["round"] * len(source)}
    return other


CHANGES = {
    "weights": lambda parts: {"weights": "v"},
    "kernel": lambda parts: of_preprocess(parts, kernel="bilinear"),
    "mode": lambda parts: of_preprocess(parts, mode="squash"),
    "mean": lambda parts: of_preprocess(parts, mean=(0.5, 0.5, 0.4)),
    "std": lambda parts: of_preprocess(parts, std=(0.5, 0.5, 0.4)),
    "pass_order": lambda parts: of_preprocess(parts, pass_order="pillow12"),
    "no tokens": lambda parts: {"tokens": None},
    "tokens": lambda parts: {"tokens": parts["tokens"] + np.float32(1e-6)},
    "data set": lambda parts: {"dataset": dataclasses.replace(parts["dataset"], name="other")},
    "templates": lambda parts: {"dataset": dataclasses.replace(parts["dataset"], templates=("a {}",))},
    "classes": lambda parts: {"dataset": dataclasses.replace(parts["dataset"], classes=("a", "b"))},
    "images": lambda parts: {"source": open_source(parts["dataset"], count=12, seed=1)},
    "columns": lambda parts: {"source": with_columns(parts["source"])},
    "count": lambda parts: {"source": open_source(parts["dataset"], count=11, seed=0)},
    "precision": lambda parts: {"config": dataclasses.replace(parts["config"], precision="bfloat16")},
    "rgb": lambda parts: of_data(parts, rgb="before"),
    "on_error": lambda parts: of_data(parts, on_error="skip"),
}


@pytest.mark.parametrize("name", registry.QUESTIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_all_that_makes_a_number_is_part_of_its_key(parts, tmp_path, name, change):
    question = registry.find(name)()
    before = keys(parts, tmp_path, question)
    assert keys(parts, tmp_path, question) == before
    assert keys(parts | CHANGES[change](parts), tmp_path, question).isdisjoint(before)


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_what_changes_no_number_is_no_part_of_a_key(parts, tmp_path, name):
    question = registry.find(name)()
    config = dataclasses.replace(parts["config"], workdir="elsewhere", seed=7, devices=2, placement="fsdp")
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, batch_size=3, part_size=9))
    assert keys(parts | {"config": config}, tmp_path, question) == keys(parts, tmp_path, question)


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_every_option_counts(parts, tmp_path, name):
    kind = registry.find(name)
    covers = {"model": "tiny", "variant": "lr_tk0", "views": [[0, 0, 10]]}
    (tmp_path / "covers.json").write_text(json.dumps({"format": 1, "dataset": "shapes", "covers": [covers]}))
    assert OTHER[name].keys() == {field.name for field in dataclasses.fields(kind)}
    before = keys(parts, tmp_path, kind())
    for option, value in OTHER[name].items():
        value = str(tmp_path / "covers.json") if value == "FILE" else value
        found = keys(parts, tmp_path, kind(**{option: value}))
        if option in kind.choosing:  # other cases, of which those that stay are not computed again
            assert found != before
            assert found & before
        else:
            assert found.isdisjoint(before), option


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_another_version_is_computed_again(parts, tmp_path, name, monkeypatch):
    question = registry.find(name)()
    before = keys(parts, tmp_path, question)
    monkeypatch.setattr(type(question), "version", question.version + 1)
    assert keys(parts, tmp_path, question).isdisjoint(before)


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_what_is_asked_of_any_model_has_a_hash(parts, tmp_path, name, monkeypatch):
    kind = registry.find(name)

    def asked(parts, question):
        found = {cell.asked for cell in cells(parts, tmp_path, question)}
        assert len(found) == 1  # conditions and data sets are told apart by themselves
        return found.pop()

    before = asked(parts, kind())
    for change in ("weights", "kernel", "no tokens", "precision", "templates"):
        assert asked(parts | CHANGES[change](parts), kind()) == before
    assert asked(parts | CHANGES["columns"](parts), kind()) != before
    for option, value in OTHER[name].items():
        if value != "FILE":
            assert (asked(parts, kind(**{option: value})) == before) == (option in kind.choosing)
    other = Part(parts["source"], range(len(parts["source"])))
    other.captions = [["another"]] * len(other)
    assert (asked(parts | {"source": other}, kind()) == before) == (kind.asks_of == "classes")
    monkeypatch.setattr(kind, "version", kind.version + 1)
    assert asked(parts, kind()) != before
