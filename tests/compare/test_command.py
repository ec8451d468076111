"""`python -m lrjax.compare`: two runs whose differences are known by hand, what is left out, and mistakes."""

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from compare.runs import CLASSES, hits, labels, row, stored
from lrjax.compare.command import main
from lrjax.metrics.intervals import difference_interval
from lrjax.metrics.paired import detectable_difference, holm
from lrjax.results.store import ResultStore

CARS, DTD = hits(50, 20, 4, 26), hits(30, 3, 2, 5)


@pytest.fixture
def two(tmp_path):
    """Two runs on two data sets, one of them with a resolution more."""
    first = {("cars", 16): CARS[0], ("cars", "hr"): CARS[0], ("dtd", 16): DTD[0]}
    second = {("cars", 16): CARS[1], ("cars", "hr"): CARS[0], ("dtd", 16): DTD[1], ("dtd", 32): DTD[1]}
    return [stored(tmp_path / "one", first), stored(tmp_path / "two", second, order=None)]


@pytest.fixture
def run(capsys):
    """Runs the command: (its standard output, its standard error)."""

    def call(*arguments):
        assert main([str(one) for one in arguments]) == 0
        return capsys.readouterr()

    return call


@pytest.fixture
def failure(capsys):
    """Runs the command, which must fail with one line."""

    def call(*arguments):
        assert main([str(one) for one in arguments]) == 2
        stdout, stderr = capsys.readouterr()
        assert stdout == "" and stderr.count("\n") == 1
        return stderr

    return call


def lines(text):
    return {(line["Data set"], line["At"]): line for line in csv.DictReader(io.StringIO(text))}


def test_the_numbers_by_hand(two, run):
    found = lines(run(*two, "--format", "csv").out)
    cars = found["cars", "16"]
    assert (cars["Examples"], cars["A"], cars["B"], cars["A - B"]) == ("100", "70.0000", "54.0000", "16.0000")
    assert (cars["Only A right"], cars["Only B right"]) == ("20", "4")
    low, high = difference_interval(*CARS)
    assert (cars["A - B low"], cars["A - B high"]) == (f"{100 * low:.4f}", f"{100 * high:.4f}")
    alone = [stats.binomtest(4, 24).pvalue, 1.0, 1.0]
    assert (cars["p"], cars["p corrected"], cars["Significant"]) == (f"{alone[0]:.2g}", f"{3 * alone[0]:.2g}", "yes")
    np.testing.assert_allclose(holm(alone)[0], 3 * alone[0])
    assert cars["Detectable"] == f"{100 * detectable_difference(0.24, 100):.4f}"
    same = found["cars", "HR"]
    assert (same["A - B"], same["p"], same["Significant"], same["Detectable"]) == ("0.0000", "1", "no", "")


def test_the_mean_of_data_sets_is_that_of_their_differences(two, run):
    found = lines(run(*two, "--format", "csv").out)
    mean = found["mean of 2", "16"]
    assert float(mean["A"]) == pytest.approx((70 + 82.5) / 2) and mean["Examples"] == "140"
    assert float(mean["A - B"]) == pytest.approx((16 + 2.5) / 2)
    # independent data sets: the squares of their errors add
    errors = [np.std(one.astype(float) - other) / np.sqrt(len(one)) for one, other in (CARS, DTD)]
    width = 2 * 1.96 * 100 * np.hypot(*errors) / 2
    assert float(mean["A - B high"]) - float(mean["A - B low"]) == pytest.approx(width, rel=0.06)
    score = (0.16 + 0.025) / np.hypot(*errors)
    assert float(mean["p"]) == pytest.approx(2 * stats.norm.sf(score), abs=0.002)
    assert float(mean["Detectable"]) == pytest.approx(100 * 2.8016 * np.hypot(*errors) / 2, rel=0.05)
    # of cars 16 and 0 points, of dtd 2.5
    assert float(found["mean of 2", "ALL"]["A - B"]) == pytest.approx((8 + 2.5) / 2)
    assert ("mean of 2", "HR") not in found


def test_a_terminal_has_one_table_of_80_columns(two, run):
    out = run(*two).out
    assert max(len(line) for line in out.splitlines() if line.startswith(" ")) <= 80
    first = next(line for line in out.splitlines() if line.startswith(" cars"))
    assert first.split() == ["cars", "16", "70.0", "54.0", "16.0", "[7.0,", "25.7]", "0.0046", "*", "13.6"]
    assert "Not compared" in out and "A has no such result" in out
    assert "1 of 3 differences is significant; 1 result is not compared." in out
    assert "Other metrics that both have, to be chosen with --metric: acc5 (3)." in " ".join(out.split())


def test_what_is_left_out_is_a_line_of_the_data(two, run):
    out, err = run(*two, "--format", "csv")
    line = lines(out)["dtd", "32"]
    assert line["Not compared"] == "A has no such result" and line["A - B"] == line["p"] == ""
    assert "1 result is not compared" in err


def test_images_are_paired_by_their_position_and_not_by_their_order(tmp_path, run):
    one = stored(tmp_path / "one", {("cars", 16): CARS[0]})
    shuffled = np.random.default_rng(0).permutation(100)
    two = stored(tmp_path / "two", {("cars", 16): CARS[1]}, order=shuffled)
    line = lines(run(one, two, "--format", "csv").out)["cars", "16"]
    assert (line["Only A right"], line["Only B right"]) == ("20", "4")


def test_other_metrics_are_chosen(two, run):
    out = run(*two, "--metric", "acc5", "--format", "csv").out
    assert {line["Metric"] for line in lines(out).values()} == {"acc5"}
    both = run(*two, "--metric", "acc5", "--metric", "acc1").out
    assert " acc1 " in both and " acc5 " in both and "1 of 6" not in both  # acc5 differs as acc1 does


def test_files(two, run, tmp_path, failure):
    err = run(*two, "--out", tmp_path / "files").err
    assert "wrote comparison.csv, comparison.md, comparison.tex" in err
    texts = {path.suffix: path.read_text() for path in (tmp_path / "files").glob("comparison.*")}
    assert texts.keys() == {".csv", ".md", ".tex"}
    assert texts[".csv"] == run(*two, "--format", "csv").out
    assert texts[".tex"] == run(*two, "--format", "latex").out
    assert texts[".md"] == run(*two, "--format", "markdown").out
    assert "## Not compared" in texts[".md"] and "cars & 16 & 70.0 & 54.0 & 16.0 {[}7.0, 25.7]" in texts[".tex"]
    run(*two, "--out", tmp_path / "files")  # again into the same folder
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    assert "holds no report" in failure(*two, "--out", tmp_path / "full")


def test_the_same_draws_every_time(two, run):
    assert run(*two, "--format", "csv") == run(*two, "--format", "csv")
    assert run(*two, "--format", "csv") != run(*two, "--format", "csv", "--seed", "1")


def test_models_and_variants_of_a_run(tmp_path, run, failure):
    for changes, right in (
        ({}, CARS[0]), ({"variant": "lr_tk0"}, CARS[1]), ({"model": "a/b:c"}, CARS[1]),
    ):  # fmt: skip
        directory = stored(tmp_path / "run:1", {("cars", 16): right}, **changes)
    line = lines(run(f"{directory}:M/vanilla", f"{directory}:a/b:c", "--format", "csv").out)["cars", "16"]
    assert line["A - B"] == "16.0000"
    line = lines(run(f"{directory}:M/lr_tk0", f"{directory}:a/b:c/vanilla", "--format", "csv").out)["cars", "16"]
    assert line["A - B"] == "0.0000"
    several = failure(f"{directory}:M", f"{directory}:M/lr_tk0")
    assert f"{directory}:M is several systems; name one of M/vanilla, M/lr_tk0, as in {directory}:M/lr_tk0" in several
    unknown = failure(f"{directory}:M/vanila", f"{directory}:M/lr_tk0")
    assert "has no 'M/vanila'; name one of M/vanilla, M/lr_tk0, a/b:c/vanilla" in unknown


OTHERS = {
    "images": ({"extra": {"classes": CLASSES, "images": {"fingerprint": "x"}}}, "not on the same examples"),
    "count": ({"hits": CARS[1][:90]}, "not on the same examples, 100 for A and 90 for B"),
    "damaged": ({"extra": {"skipped": ["7.jpg"]}}, "not on the same examples"),
    "classes": ({"extra": {"classes": 9}}, "7 classes for A, but 9 for B"),
    "options": ({"extra": {"asked": "5f"}}, "another question of this name, or other options of it"),
    "version": ({"question_version": 1}, "version 1 of the question, which has version 2: evaluate again"),
    "name": ({"question": "other"}, "B has no such result"),
    "kind": ({"kind": "zoom"}, "another question of this name"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_pair_is_refused(tmp_path, failure, name):
    changes, why = OTHERS[name]
    one = stored(tmp_path / "one", {("cars", 16): CARS[0]}, extra={"asked": "4e"})
    changes = {"hits": CARS[1], **changes}
    two = stored(tmp_path / "two", {("cars", 16): changes.pop("hits")}, **changes)
    message = failure(one, two)
    assert "can be compared; the first, acc1 on cars at 16: " in message and why in message


def test_a_system_is_not_compared_with_itself(two, failure):
    assert failure(two[0], two[0]) == f"error: A and B are both {two[0]}; name two\n"


def test_other_labels_are_refused(tmp_path, failure):
    one, two = (stored(tmp_path / name, {("cars", 16): CARS[0]}) for name in ("one", "two"))
    store = ResultStore(two)
    key = store.rows[0].key
    samples = store.samples(key)
    store.add(store.rows, {key: samples | {"label": np.where(samples["index"] < 3, 6, samples["label"])}})
    assert "the label of 3 of 100 examples is not the same" in failure(one, two)


def test_results_that_their_arrays_do_not_give_are_refused(tmp_path, failure):
    one, two = (stored(tmp_path / name, {("cars", 16): CARS[0]}) for name in ("one", "two"))
    store = ResultStore(two)
    bare = row("cars", 16, value=0.5, n=100, key=store.rows[0].key)
    store.add([bare], {bare.key: store.samples(bare.key)})
    assert "what is stored by example does not give the 0.5 of M" in failure(one, two)
    (tmp_path / "two" / "samples" / f"{bare.key}.npz").unlink()
    assert "no arrays are stored beside it: evaluate again" in failure(one, two)


def test_questions_that_are_gone_or_keep_nothing(tmp_path, run):
    """They take no other with them."""
    directories = []
    for name in ("one", "two"):
        directory = stored(tmp_path / name, {("cars", 16): CARS[0]})
        for kind in ("gone.py:Gone", "zoom"):
            extra = row("cars", 16, question=kind[:4], kind=kind, metric="other", value=1.0, n=100, key=kind[:4])
            ResultStore(directory).add([extra], {extra.key: {"index": np.arange(100)}})
        directories.append(directory)
    found = list(csv.DictReader(io.StringIO(run(*directories, "--format", "csv").out)))
    assert [(line["Question"], line["Not compared"]) for line in found] == [
        ("zeroshot", ""),
        ("gone", "the file of its question is not found"),
    ]


def test_mistakes(two, tmp_path, failure):
    one = two[0]
    message = failure(f"{tmp_path}/nothing:M", one)
    assert f"there is no '{tmp_path}/nothing'; name a directory with results.jsonl, one model of it as" in message
    assert "there is no ''" in failure("", one)
    assert "neither has the metric 'acc9'; they have acc1, acc5" in failure(*two, "--metric", "acc9")
    assert "--seed is -1" in failure(*two, "--seed", "-1")
    assert "the following arguments are required: B" in failure(one)
    (tmp_path / "empty").mkdir()
    assert "there are no results" in failure(tmp_path / "empty", one)


def test_a_run_and_another_program(tmp_path, run, failure):
    one = stored(tmp_path / "one", {("cars", "hr"): CARS[0], ("cars", 16): CARS[0]})
    answers = tmp_path / "answers.jsonl"
    label = labels(100).tolist()
    guesses = [label[i] if right else (label[i] + 1) % CLASSES for i, right in enumerate(CARS[1])]

    def write(**changes):
        entries = [{"dataset": "cars", "id": i, "label": label[i], "guess": guesses[i]} | changes for i in range(100)]
        answers.write_text("\n".join(map(json.dumps, entries)))

    write()
    line = lines(run(one, answers, "--format", "csv").out)
    assert (line["cars", "HR"]["Only A right"], line["cars", "HR"]["Only B right"]) == ("20", "4")
    assert line["cars", "16"]["Not compared"] == "B has no such result"
    write(resolution=16)
    assert lines(run(one, answers, "--format", "csv").out)["cars", "16"]["A - B"] == "16.0000"
    write(label=0)
    assert "the label of 85 of 100 examples is not the same" in failure(one, answers)
    assert "holds the answers of one system; leave :M out" in failure(one, f"{answers}:M")


def test_two_directories_of_the_harness(tmp_path, run, failure):
    score = {"a": CARS, "b": DTD}

    def write(side, hashed="5f"):
        (tmp_path / f"m{side}").mkdir(exist_ok=True)
        for task, both in score.items():
            entries = [
                {"doc_id": i, "target": i % 3, "doc_hash": f"{hashed}{i}", "metrics": ["acc", "len"]}
                | {"acc": float(right), "len": i + 3.0 * right}
                for i, right in enumerate(both[side])
            ]
            (tmp_path / f"m{side}" / f"samples_{task}_2026-01-31T12-00-00.1.jsonl").write_text(
                "\n".join(map(json.dumps, entries[::-1] if side else entries))
            )

    write(0)
    write(1)
    out = run(tmp_path / "m0", tmp_path / "m1", "--format", "csv").out
    found = {(line["Metric"], line["Data set"]): line for line in csv.DictReader(io.StringIO(out))}
    assert (found["acc", "a"]["Only A right"], found["acc", "a"]["Only B right"]) == ("20", "4")
    assert float(found["acc", "mean of 2"]["A - B"]) == pytest.approx((16 + 2.5) / 2)
    # a mean of other numbers has the error of its differences, by the bootstrap
    length = found["len", "a"]
    error = 100 * 3 * np.std(CARS[0].astype(float) - CARS[1]) / 10
    assert float(length["A - B"]) == pytest.approx(48) and length["Only A right"] == ""
    assert float(length["A - B low"]) == pytest.approx(48 - 1.96 * error, abs=2)
    assert float(length["Detectable"]) == pytest.approx(2.8016 * error, rel=0.03)
    write(1, hashed="6e")
    assert "the content of 100 of 100 examples is not the same" in failure(tmp_path / "m0", tmp_path / "m1")
