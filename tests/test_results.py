"""The result store: what is on disk after success, after a crash in the middle, and after damage."""

import dataclasses
import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from lrjax.data.datasets import get_dataset, open_source
from lrjax.data.regions import cut
from lrjax.errors import UserError
from lrjax.results.row import Row
from lrjax.results.store import ResultStore, content_key, package_versions, read_rows, told_apart, write_atomically


def _row(**changes) -> Row:
    fields = {
        "model": "EVA02-B-16",
        "variant": "vanilla",
        "dataset": "cars",
        "condition": {"resolution": 16},
        "metric": "acc1",
        "value": 0.5,
        "n": 10,
        "key": "a1",
        "config_hash": "c1",
        "question": "zeroshot",
        "kind": "zeroshot",
        "question_version": 1,
        "seed": 0,
        "versions": {"jax": "0.10"},
        "extra": {"classes": 196},
    }
    return Row(**(fields | changes))


def test_rows_come_back_equal(tmp_path):
    rows = [
        _row(),
        _row(
            condition={"resolution": "hr"},
            seed=None,
            value=np.float32(0.25),
            n=np.int64(7),
            extra={"names": ["ä", "|"]},
        ),
    ]
    ResultStore(tmp_path / "new" / "deep").add(rows)
    loaded = ResultStore(tmp_path / "new" / "deep").rows
    assert loaded == rows
    assert type(loaded[1].value) is float and type(loaded[1].n) is int
    lines = (tmp_path / "new" / "deep" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["condition"] for line in lines] == [{"resolution": 16}, {"resolution": "hr"}]


def test_names_of_files_that_are_no_text_come_back(tmp_path):
    row = _row(extra={"skipped": [os.fsdecode(b"a\xff.png"), "\u00e4.png"]})
    ResultStore(tmp_path).add([row])
    assert ResultStore(tmp_path).rows == [row]
    assert os.fsencode(ResultStore(tmp_path).rows[0].extra["skipped"][0]) == b"a\xff.png"


def test_find_and_replace_by_key(tmp_path):
    store = ResultStore(tmp_path)
    assert store.rows == [] and store.find("a1") == []
    store.add([_row(), _row(condition={"resolution": 32})])
    store.add([_row(key="b2", dataset="pets")])
    store.add([_row(value=0.75)])
    assert [row.value for row in store.find("a1")] == [0.75]
    assert [row.key for row in store.rows] == ["b2", "a1"]  # the newest is last
    assert ResultStore(tmp_path).rows == store.rows


def test_writing_the_same_again_gives_the_same_bytes(tmp_path):
    store = ResultStore(tmp_path)
    samples = {"correct": np.array([True, False]), "score/r016": np.arange(3, dtype=np.float32)}
    store.add([_row()], {"a1": samples})
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    store.add([_row()], {"a1": samples})
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(before) == ["a1.npz", "results.jsonl"]


def test_samples_come_back(tmp_path):
    samples = {"correct": np.array([True, False]), "score/r016": np.arange(3, dtype=np.float32)}
    store = ResultStore(tmp_path)
    store.add([_row()], {"a1": samples})
    loaded = ResultStore(tmp_path).samples("a1")
    assert loaded is not None and sorted(loaded) == sorted(samples)
    for name, values in samples.items():
        np.testing.assert_array_equal(loaded[name], values)
        assert loaded[name].dtype == values.dtype
    assert store.samples("b2") is None
    store.add([_row(value=0.1)])
    assert store.samples("a1") is not None


def test_two_stores_do_not_lose_each_others_rows(tmp_path):
    first, second = ResultStore(tmp_path), ResultStore(tmp_path)
    first.add([_row()])
    second.add([_row(key="b2")])
    assert {row.key for row in second.rows} == {"a1", "b2"}


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch, broken):
    store = ResultStore(tmp_path)
    store.add([_row()])
    before = store.path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(OSError, match="disk full"):
            store.add([_row(value=0.9)])
    assert store.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]  # no temporary file is left
    assert store.rows == [_row()]


def test_samples_are_on_disk_before_the_rows(tmp_path, monkeypatch):
    written, replace = [], os.replace

    def record(source, target):
        written.append(os.path.basename(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    ResultStore(tmp_path).add([_row()], {"a1": {"correct": np.ones(2, bool)}})
    assert written == ["a1.npz", "results.jsonl"]


def test_write_atomically_replaces_whole_files(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "long ä" * 100)
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"


GOOD = json.dumps(dataclasses.asdict(_row()) | {"schema": 2})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD[:40], "not JSON"),
        ("text", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"schema": 2, "model": "x"}', "missing condition, config_hash"),
        (GOOD[:-1] + ', "colour": 1}', "unknown colour"),
        (GOOD.replace("0.5", '"0.5"'), "'value'.*finite number"),
        (GOOD.replace("0.5", "NaN"), "'value'.*finite number"),
        (GOOD.replace('"n": 10', '"n": 0'), "'n'"),
        (GOOD.replace('"key": "a1"', '"key": "../a1"'), "'key'"),
        (GOOD.replace('"resolution": 16', '"resolution": true'), "'condition'"),
        (GOOD.replace('"resolution": 16', '"resolution": 0'), "resolution of a result is 0"),
        (GOOD.replace('"cars"', "null"), "'dataset'"),
        (GOOD.replace("0.5", "1" + "0" * 400), "'value'.*finite number"),
        (GOOD.replace('"n": 10', '"n": 1' + "0" * 400), "'n'"),
        (GOOD.replace("cars", r"c\u001b[2J"), r"'dataset' .* 'c\\x1b\[2J', but must be a text in one line"),
        (GOOD.replace("cars", r"c\nars"), "'dataset'"),
        (GOOD.replace("vanilla", r"\ud800"), "'variant'"),
        (GOOD.replace("196", '"196"'), r"extra\['classes'\] of a result is '196', but must be a count"),
        (GOOD.replace("196", '1, "parameters": -1'), r"extra\['parameters'\]"),
        (GOOD.replace("196", '1, "skipped": 3'), r"extra\['skipped'\] of a result is 3"),
        (GOOD.replace("196", '1, "images": []'), r"extra\['images'\]"),
        (GOOD.replace("196", "[" * 900 + "]" * 900), "not JSON .it refers to itself, or is nested"),
        ("[" * 10**5, "not JSON .it refers to itself, or is nested"),
    ],
)
def test_damage_is_an_error_that_names_file_line_and_remedy(tmp_path, line, reason):
    (tmp_path / "results.jsonl").write_text(GOOD + "\n" + line + "\n")
    with pytest.raises(UserError, match=rf"results\.jsonl is damaged in line 2: .*{reason}.*delete this line"):
        ResultStore(tmp_path)


def test_schema_version(tmp_path):
    ResultStore(tmp_path).add([_row()])
    path = tmp_path / "results.jsonl"
    assert json.loads(path.read_text())["schema"] == 2
    path.write_text(json.dumps({"schema": 3, "of": "later"}) + "\n")
    with pytest.raises(UserError, match=r"results\.jsonl, line 1, has schema version 3, but lrjax .* reads 1 and 2"):
        ResultStore(tmp_path)
    assert "later" in path.read_text()


@pytest.mark.parametrize("schema", [{}, {"schema": 1}])
@pytest.mark.parametrize(
    ("name", "dataset", "condition", "test_set"),
    [
        ("cars", "cars", {}, "cars"),
        ("cars+fog-3", "cars", {"corruption": "fog", "severity": 3}, "cars+fog-3"),
        ("cars+zoom_blur-1", "cars", {"corruption": "zoom_blur", "severity": 1}, "cars+zoom_blur-1"),
        ("shapes_foreground", "shapes", {"region": "foreground"}, "shapes+foreground"),
        ("imagenet_a", "imagenet_a", {}, "imagenet_a"),
    ],
)
def test_results_of_the_first_schema_are_read(tmp_path, schema, name, dataset, condition, test_set):
    fields = dataclasses.asdict(_row())
    for key in ("question", "kind", "question_version", "condition"):
        del fields[key]
    first = {"dataset": name, "resolution": 16, "evaluator": "zoom", "evaluator_version": 2}
    (tmp_path / "results.jsonl").write_text(json.dumps(schema | fields | first) + "\n")
    (row,) = ResultStore(tmp_path).rows
    condition = condition | {"resolution": 16}
    assert row == _row(dataset=dataset, condition=condition, question="zoom", kind="zoom", question_version=2)
    assert (row.test_set, row.resolution) == (test_set, 16)


@pytest.mark.parametrize("name", ["shapes", "shapes+fog-3"])
@pytest.mark.parametrize("region", ["", "foreground"])
def test_a_row_calls_its_test_set_as_the_data_set_is_called(name, region):
    dataset, source = get_dataset(name), open_source(name, count=2)
    if region:
        dataset, _ = cut(dataset, source, region)
    row = _row(dataset=dataset.base, condition={**dataset.condition, "resolution": 16})
    assert row.test_set == dataset.name == "+".join(filter(None, (name, region)))


def test_numbers_of_two_questions_do_not_collide(tmp_path):
    rows = [_row(), _row(question="again"), _row(condition={"resolution": 16, "corruption": "fog", "severity": 1})]
    ResultStore(tmp_path).add(rows)
    assert len({row.identity for row in ResultStore(tmp_path).rows}) == 3


def test_bytes_that_are_no_text_are_damage(tmp_path):
    (tmp_path / "results.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="line 1"):
        ResultStore(tmp_path)


def test_add_does_not_overwrite_a_file_damaged_meanwhile(tmp_path):
    store = ResultStore(tmp_path)
    store.add([_row()])
    store.path.write_text("half a li")
    with pytest.raises(UserError, match="line 1"):
        store.add([_row(key="b2")])
    assert store.path.read_text() == "half a li"


def test_damaged_samples_and_a_file_for_a_directory(tmp_path):
    store = ResultStore(tmp_path / "run")
    store.add([_row()], {"a1": {"correct": np.ones(100)}})
    path = tmp_path / "run" / "samples" / "a1.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"a1\.npz is damaged"):
        store.samples("a1")
    with pytest.raises(UserError, match="is a file"):
        ResultStore(path)


def test_misuse_writes_nothing(tmp_path):
    store = ResultStore(tmp_path)
    for rows, samples, reason in [
        ([], None, "no rows"),
        ([_row()], {"b2": {"x": np.ones(1)}}, "samples of b2 have no rows"),
        ([_row(), _row(value=0.1)], None, "two rows"),
        ([_row()], {"a1": {"x": np.array([object()])}}, "dtype object"),
        ([_row()], {"a1": {"x": np.asarray(jnp.ones(1, jnp.bfloat16))}}, "dtype bfloat16"),
    ]:
        with pytest.raises(ValueError, match=reason):
            store.add(rows, samples)
    with pytest.raises(TypeError):
        store.add([_row(extra={"model": object()})])
    assert list(tmp_path.iterdir()) == []


def test_content_key_is_stable_and_sees_everything():
    key = content_key(model="B", sizes=(16, 32), weights=np.arange(4, dtype=np.float32), options={"b": 1, "a": None})
    assert key == content_key(
        options={"a": None, "b": 1}, weights=jnp.arange(4, dtype=jnp.float32), sizes=[16, 32], model="B"
    )
    assert len(key) == 32
    base = np.arange(4, dtype=np.float32)
    keys = [
        content_key(x=part)
        for part in (
            base,
            base.reshape(2, 2),
            base.astype(np.int32),
            base.view(np.int32),
            base + 1,
            base[:0],
            base[0:1],
            base[0],
            [0.0, 1.0, 2.0, 3.0],
            [3.0, 2.0],
            [2.0, 3.0],
            {"a": 1},
            {"b": 1},
            "a",
            1,
            True,
            None,
        )
    ]
    assert len(set(keys)) == len(keys)
    assert content_key(x=np.int64(3)) == content_key(x=3)
    assert content_key(x=base[::2]) == content_key(x=base[::2].copy())
    assert content_key() != content_key(x=None)


def test_content_key_is_equal_in_another_process():
    code = (
        "from lrjax.results.store import content_key; import numpy; "
        "print(content_key(a='ä', b=[1, 2.5], c=numpy.eye(2)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == content_key(a="ä", b=[1, 2.5], c=np.eye(2))


def test_content_key_refuses_what_has_no_stable_content():
    for part in (object(), {1: 2}, {1, 2}, np.array([object()])):
        with pytest.raises(TypeError):
            content_key(x=part)
    with pytest.raises(ValueError, match="JSON compliant"):
        content_key(x=float("nan"))


def test_package_versions():
    versions = package_versions()
    assert list(versions) == ["python", "lrjax", "jax", "flax", "optax", "numpy", "pillow"]
    assert versions["numpy"] == np.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def _of(model="mine", weights="", variant="vanilla", **extra):
    return _row(model=model, variant=variant, extra={"weights": weights, **extra})


A, B = "3fa2c1" + "0" * 58, "9b00aa" + "0" * 58


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        # one model: nothing is added
        ([_of(weights=A, backbone="x"), _of(weights=A, backbone="x", variant="lr_tk0")], ["mine", "mine"]),
        ([_row(), _row(variant="lr_tk0")], ["EVA02-B-16", "EVA02-B-16"]),
        # other weights, other backbones, both
        ([_of(weights=A, backbone="x"), _of(weights=B, backbone="x")], ["mine (3fa2c1)", "mine (9b00aa)"]),
        ([_of(weights=A, backbone="x"), _of(weights=A, backbone="x@48")], ["mine (x)", "mine (x@48)"]),
        ([_of(weights=A, backbone="x"), _of(weights=B, backbone="y")], ["mine (3fa2c1, x)", "mine (9b00aa, y)"]),
        # only the name that is ambiguous
        (
            [_of(weights=A), _of("other", B), _of(weights=B), _of(weights=A)],
            ["mine (3fa2c1)", "other", "mine (9b00aa)", "mine (3fa2c1)"],
        ),
        # as many digits as it takes
        ([_of(weights="abcdef1"), _of(weights="abcdef2")], ["mine (abcdef1)", "mine (abcdef2)"]),
        ([_of(weights=A), _row(model="mine")], ["mine (3fa2c1)", "mine (unknown weights)"]),
        # earlier rows: the backbone is the name, and the hash of a variant counts in what was trained
        ([_of(weights=A), _of(weights="0123", variant="lr_tk0")], ["mine", "mine"]),
        ([_of("x", A), _of("x", A, backbone="x"), _of("x", "0123", "lr_tk0")], ["x", "x", "x"]),
        (
            [_of(weights=A), _of(weights=B), _of(weights=A, variant="lr_tk0")],
            ["mine (3fa2c1)", "mine (9b00aa)", "mine (3fa2c1)"],
        ),
    ],
)
def test_models_of_one_name_are_told_apart(tmp_path, rows, names):
    found = told_apart(rows)
    assert found == [dataclasses.replace(row, model=name) for row, name in zip(rows, names, strict=True)]
    for number, row in enumerate(rows):  # over several directories
        ResultStore(tmp_path / str(number)).add([row])
    assert read_rows([tmp_path / str(number) for number in range(len(rows))]) == found


def test_of_several_results_for_one_number_in_a_directory_the_newest_counts(tmp_path, caplog):
    caplog.set_level("INFO")
    ResultStore(tmp_path / "a").add([_row(value=0.1)])
    ResultStore(tmp_path / "a").add([_row(key="b2", value=0.2), _row(key="b2", dataset="pets")])
    assert [row.value for row in read_rows([tmp_path / "a"])] == [0.2, 0.5]
    assert "1 results of earlier runs have newer ones" in caplog.text
    ResultStore(tmp_path / "b").add([_row(key="c3", value=0.3)])
    assert len(read_rows([tmp_path / "a", tmp_path / "b"])) == 3  # whoever compares them decides
