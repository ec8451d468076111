"""Reading stored tables: bits, missing arrays, several tables of one kind, images in another order."""

import dataclasses

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.ops.zoom import VIEWS
from lrjax.questions.zoom.stored import common_images, load_tables, unpack
from lrjax.results.store import ResultStore
from zoom_study.tables import RIGHT, add, bits, row, samples, store


def test_bits_come_back():
    correct = np.random.default_rng(0).random((7, VIEWS)) < 0.5
    packed = np.packbits(correct, axis=1)
    assert packed.shape == (7, 41)
    np.testing.assert_array_equal(unpack(packed), correct)


def test_tables_are_those_of_the_zoom_evaluator(tmp_path):
    store(tmp_path)
    tables = load_tables([tmp_path])
    assert [(table.model, table.dataset) for table in tables] == list(RIGHT)
    np.testing.assert_array_equal(tables[0].correct, bits(RIGHT["one", "shapes"]))
    assert tables[0].classes == 40 and tables[0].crops is None
    assert tables[0].name == "one"


def test_models_are_brought_into_one_order(tmp_path):
    store(tmp_path)
    first, second = (table for table in load_tables([tmp_path]) if table.dataset == "shapes")
    assert first.index.tolist() != second.index.tolist()
    for found, model in zip(common_images([second, first]), ("two", "one"), strict=True):
        np.testing.assert_array_equal(found[::-1], bits(RIGHT[model, "shapes"]))


def test_other_contents_cannot_be_compared(tmp_path):
    store(tmp_path)
    first, second = (table for table in load_tables([tmp_path]) if table.dataset == "shapes")
    tables = [
        dataclasses.replace(one, images={"fingerprint": content})
        for one, content in ((first, "a"), (second, "a"), (second, "b"))
    ]
    assert len(common_images(tables[:2])) == len(common_images([first, tables[2]])) == 2
    with pytest.raises(UserError, match="one and two were not evaluated on the same images of shapes"):
        common_images(tables)


def test_other_images_cannot_be_compared(tmp_path):
    store(tmp_path)
    add(tmp_path, row("three", "shapes"), samples([[], [], [], []]))
    tables = [table for table in load_tables([tmp_path]) if table.dataset == "shapes"]
    with pytest.raises(UserError, match="one and three were not evaluated on the same images of shapes"):
        common_images(tables)


def test_the_newest_of_two_tables(tmp_path):
    store(tmp_path)
    add(tmp_path, row("one", "shapes", key="again"), samples([[1]] * 5))
    with pytest.raises(UserError, match="two zoom tables of one on shapes"):
        load_tables([tmp_path])
    tables = load_tables([tmp_path], duplicates="newest")
    assert len(tables) == 4
    assert tables[0].correct[:, 1].all()


def test_one_name_for_other_weights(tmp_path):
    for weights, right in (("aaaaaa0", [[1], []]), ("bbbbbb0", [[], [2]])):
        one = row("mine", "shapes", key=weights, n=2)
        one = dataclasses.replace(one, extra={**one.extra, "weights": weights})
        add(tmp_path / weights[0], one, samples(right))
        add(tmp_path / "both", one, samples(right))
    for places in ([tmp_path / "a", tmp_path / "b"], [tmp_path / "both"]):
        first, second = load_tables(places)
        assert (first.name, second.name) == ("mine (aaaaaa)", "mine (bbbbbb)")
        assert first.correct[0, 1] and second.correct[1, 2] and first.correct.sum() == second.correct.sum() == 1


def test_one_table_under_two_names(tmp_path):
    one = row("a", "shapes", key="same", n=1)
    ResultStore(tmp_path).add([one, dataclasses.replace(one, model="b")], {"same": samples([[1]])})
    assert [table.name for table in load_tables([tmp_path])] == ["a", "b"]


def test_guesses_are_read_where_they_are(tmp_path):
    shape = (2, VIEWS)
    more = {"confidence": np.full(shape, 0.5, np.float16), "guess": np.ones(shape, np.int16)}
    more |= {"crops": np.ones((2, 4), np.int16), "centre": np.ones((2, 11), np.int16)}
    add(tmp_path, row("one", "shapes"), samples([[], [1]], **more))
    (table,) = load_tables([tmp_path])
    np.testing.assert_array_equal(table.confidence, more["confidence"])
    np.testing.assert_array_equal(table.guesses, more["guess"])
    assert (table.crops.shape, table.centre.shape, table.aggregated) == ((2, 4), (2, 11), None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "lack any"),
        ({"correct": np.zeros((2, 41), np.uint8), "index": np.arange(2)}, "lack label"),
        (samples([[], []]) | {"correct": np.zeros((2, 324), np.uint8)}, r"uint8 \[2, 324\] instead of"),
        (samples([[], []]) | {"label": np.arange(3)}, "2 images but 3 of label"),
        (samples([[], []]) | {"guess": np.zeros((1, VIEWS), np.int16)}, "1 of guess"),
        (samples([]), "no images"),
    ],
)
def test_incomplete_arrays_are_named(arrays, message, tmp_path):
    add(tmp_path, row("one", "shapes"), arrays)
    with pytest.raises(UserError, match=message):
        load_tables([tmp_path])


def test_results_of_other_evaluators_are_not_enough(tmp_path):
    ResultStore(tmp_path).add([row("one", "shapes", kind="zeroshot")])
    with pytest.raises(UserError, match="no results of the question 'zoom'"):
        load_tables([tmp_path])
