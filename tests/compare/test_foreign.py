"""Answers of other programs: our lines, those of lm-eval, and what is wrong with a file."""

import json

import numpy as np
import pytest

from lrjax.compare.foreign import system_of_files
from lrjax.errors import UserError

LINE = {"dataset": "cars", "id": 3, "label": 1, "guess": 1}
HARNESS = {"doc_id": 0, "doc": {}, "target": "1", "filter": "none", "metrics": ["acc"], "acc": 1.0, "doc_hash": "5f"}


@pytest.fixture
def read(tmp_path):
    """Reads lines, which are objects or texts."""

    def call(*lines, name="answers.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
        return system_of_files("X", [path])

    return call


def values(system):
    """What a system answered: by question, metric, test set and resolution, the values in the order of the file."""
    return {
        (row.question, row.metric, row.test_set, row.resolution): system.answers(row).outcomes.values[0].tolist()
        for row in system.rows.values()
    }


def test_every_way_to_write_an_answer(read):
    system = read(
        LINE,
        {"dataset": "cars", "index": 0, "target": [4, 2], "guess": 2, "note": "passed over"},
        "",
        {"dataset": "cars", "id": 1, "label": 1, "guess": None},
        {"dataset": "cars", "id": 4, "label": 0, "correct": 1},
        {"dataset": "cars", "id": 5, "label": 0, "correct": False},
        {"dataset": "cars", "id": 3, "label": 1, "guess": 0, "resolution": 16},
        {"dataset": "birds", "id": "a.jpg", "label": "wren", "guess": "robin"},
    )
    assert values(system) == {
        ("zeroshot", "acc1", "cars", "hr"): [True, True, False, True, False],
        ("zeroshot", "acc1", "cars", 16): [False],
        ("zeroshot", "acc1", "birds", "hr"): [False],
    }
    cars, _, birds = (system.answers(row).samples for row in system.rows.values())
    assert cars["index"].tolist() == [3, 0, 1, 4, 5]
    assert cars["label"].tolist() == [[1, -1], [2, 4], [1, -1], [0, -1], [0, -1]]
    assert birds["index"].tolist() == ["a.jpg"] and birds["label"].tolist() == [["wren"]]
    assert [row.value for row in system.rows.values()] == [0.6, 0.0, 0.0]
    assert system.headlines == system.rows.keys() and not system.left_out


def test_files_of_the_harness(read):
    lines = [HARNESS, HARNESS | {"doc_id": 1, "acc": 0.0}]
    system = read(*lines, name="samples_arc_easy_2026-01-31T12-00-00.123456.jsonl")
    assert values(system) == {("lm-eval", "acc", "arc_easy", "hr"): [True, False]}
    (row,) = system.rows.values()
    samples = system.answers(row).samples
    assert samples["content"].tolist() == ["5f", "5f"] and samples["label"].tolist() == [['"1"'], ['"1"']]
    assert values(read(*lines, name="samples_a_b.jsonl")).keys() == {("lm-eval", "acc", "a_b", "hr")}


def test_filters_and_metrics_of_the_harness(read):
    line = {name: value for name, value in HARNESS.items() if name != "metrics"}
    more = {"chrf": 0.25, "mcc": [1, 1], "prompt_hash": "3"}
    system = read(
        line | more,
        line | more | {"doc_id": 1, "chrf": 1, "acc": True},
        line | {"filter": "strict-match", "acc": 0},
        line | {"filter": "strict-match", "acc": float("nan"), "em": 0, "doc_id": 1},
        line | {"filter": "strict-match", "em": 0, "doc_id": 2},
        name="samples_gsm8k.jsonl",
    )
    assert values(system) == {
        ("lm-eval", "acc", "gsm8k", "hr"): [True, True],
        ("lm-eval", "chrf", "gsm8k", "hr"): [0.25, 1.0],
    }
    assert system.left_out == (
        "X: mcc of gsm8k is no finite number for every example.",
        "X: acc of gsm8k+strict-match is no finite number for every example.",
        "X: em of gsm8k+strict-match is no finite number for every example.",
    )
    with pytest.raises(UserError, match="X has no metric that is a finite number for every example"):
        read(line | {"acc": "yes"}, name="samples_gsm8k.jsonl")


WRONG = {
    "empty": (["", " "], "is empty; write a line for each example"),
    "no JSON": ([LINE, "{"], "line 2, is not JSON"),
    "no object": (["3"], "line 1, is 3; write an object"),
    "no data set": ([{"id": 1, "label": 1, "guess": 1}], "line 1, has no 'dataset'"),
    "name of a data set": ([LINE | {"dataset": 3}], "has 3 for 'dataset'; give a text"),
    "no id": ([{"dataset": "cars", "label": 1, "guess": 1}], "has no 'id' or 'index'"),
    "two ids": ([LINE | {"index": 3}], "has both 'id' or 'index'"),
    "no answer": ([{"dataset": "cars", "id": 1, "label": 1}], "has no 'guess' or 'correct'"),
    "fraction": ([LINE | {"id": 1.5}], "has the id 1.5; give a whole number from 0, or a text"),
    "truth": ([LINE | {"id": True}], "has the id True"),
    "no label": ([LINE | {"label": -1}], "has the label -1"),
    "labels": ([LINE | {"label": []}], "has the label []"),
    "kinds of labels": ([LINE | {"label": [1, "b"]}], r"has the label [1, 'b']"),
    "kind of guess": ([LINE | {"guess": "1"}], "has the guess '1' and the label 1; give the same kind"),
    "half right": ([{"dataset": "cars", "id": 1, "label": 1, "correct": 0.5}], "has 0.5 for 'correct'"),
    "as text": ([{"dataset": "cars", "id": 1, "label": 1, "correct": "no"}], "has 'no' for 'correct'"),
    "resolution": ([LINE | {"resolution": 0}], "has the resolution 0"),
    "twice": ([LINE, LINE], "line 2, is another line for example 3 of cars; leave one out"),
    "mixed ids": ([LINE, LINE | {"id": "4"}], "has both numbers and texts as ids of cars; give one kind"),
    "mixed labels": ([LINE, LINE | {"id": 4, "label": "b", "guess": None}], "has both numbers and texts as labels"),
    "two lines": ([LINE | {"dataset": "a\nb"}], "field 'dataset' of a result is"),
    "name of the file": ([HARNESS], "lines of lm-eval, but not its name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file(read, name):
    lines, message = WRONG[name]
    with pytest.raises(UserError) as error:
        read(*lines)
    assert message in str(error.value)


def test_what_is_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="is no UTF-8 text"):
        system_of_files("X", [tmp_path / "a.jsonl"])


def test_ids_of_any_size(read):
    assert np.issubdtype(system_index(read(LINE | {"id": 2**62})).dtype, np.integer)
    with pytest.raises(UserError, match="whole number"):
        read(LINE | {"id": 2**63})


def system_index(system):
    (row,) = system.rows.values()
    return system.answers(row).samples["index"]
