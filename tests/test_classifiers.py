"""Text classifiers are made once per content, and again where their file is damaged."""

import dataclasses
import logging

import numpy as np
import pytest

import tiny
from lrjax.data.datasets import get_dataset
from lrjax.data.prompts import class_prompts
from lrjax.data.tokenizers import get_tokenizer
from lrjax.questions.classifiers import classifier_key, text_classifier

SHAPES = get_dataset("shapes")
SETTINGS = {"weights": "w", "precision": "float32"}


@pytest.fixture(scope="module")
def predictor():
    return tiny.predictor()


@pytest.fixture
def made(predictor, monkeypatch):
    """The number of prompts of every classifier that the text tower made."""
    found, original = [], predictor.classifier
    monkeypatch.setattr(predictor, "classifier", lambda prompts: (found.append(len(prompts)), original(prompts))[1])
    return found


def test_made_once(tmp_path, predictor, made):
    expected = predictor.classifier(class_prompts(SHAPES.classes, SHAPES.templates))
    made.clear()
    for _ in range(2):
        found = text_classifier(predictor, SHAPES, tmp_path, **SETTINGS)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32
    assert made == [len(SHAPES.classes)]
    text_classifier(predictor, get_dataset("colours"), tmp_path, **SETTINGS)
    assert len(made) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "other"])
def test_a_damaged_file_is_told_and_made_again(tmp_path, predictor, made, caplog, damage):
    whole = text_classifier(predictor, SHAPES, tmp_path, **SETTINGS)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "other":
        np.savez(path, classifier=np.zeros((2, 3), np.float32))
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"empty": b"", "cut": content[:-30], "bit": content}[damage])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(text_classifier(predictor, SHAPES, tmp_path, **SETTINGS), whole)
    assert len(made) == 2
    assert f"text classifier {path} is damaged" in caplog.text
    text_classifier(predictor, SHAPES, tmp_path, **SETTINGS)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("classes", "told"), [(("A", "b", "a"), "'A' and 'a'"), (("b", "A", "A"), None), (("A", "B"), None)]
)
def test_classes_that_are_one_text_are_told(tmp_path, caplog, classes, told):
    predictor = tiny.predictor()
    predictor.tokenizer = get_tokenizer("clip", context=77)
    width = predictor.row.spec.text.embedding
    predictor.classifier = lambda prompts: np.ones((len(prompts), width), np.float32)
    for _ in range(2):  # also where the classifier is there already
        caplog.clear()
        text_classifier(predictor, dataclasses.replace(SHAPES, classes=classes), tmp_path, **SETTINGS)
        assert [told in one.message for one in caplog.records] == ([True] if told else [])


def test_the_key_sees_every_part(predictor):
    keys = {classifier_key(predictor, SHAPES, **SETTINGS)}
    for change in ({"weights": "v"}, {"precision": "bfloat16"}):
        keys.add(classifier_key(predictor, SHAPES, **(SETTINGS | change)))
    keys.add(classifier_key(predictor, dataclasses.replace(SHAPES, templates=("a {}",)), **SETTINGS))
    keys.add(classifier_key(predictor, dataclasses.replace(SHAPES, classes=SHAPES.classes[::-1]), **SETTINGS))
    other = tiny.predictor()
    other.tokenizer.fingerprint = "another vocabulary"
    keys.add(classifier_key(other, SHAPES, **SETTINGS))
    other = tiny.predictor()
    text = dataclasses.replace(other.row.spec.text, context=11)
    other.row = dataclasses.replace(other.row, spec=dataclasses.replace(other.row.spec, text=text))
    keys.add(classifier_key(other, SHAPES, **SETTINGS))
    assert len(keys) == 7
