"""Accuracies of single classes in a report: values by hand, names, and what is not known."""

import csv
import dataclasses

import numpy as np
import pytest

from lrjax.data.datasets import get_dataset, prompts_hash
from lrjax.leaderboard.scores import Results
from lrjax.report.command import main
from lrjax.report.per_class import per_class
from lrjax.results.store import ResultStore
from report.reading import plain, rows_of
from report.test_headline import row

SHAPES = get_dataset("shapes")
LABELS = np.array([0, 0, 0, 1, 1, 2])
GUESSES = {16: [0, 1, 1, 1, 1, 0], "hr": [0, 0, 0, 1, 2, 2]}
EXTRA = {"classes": 12, "prompts": prompts_hash(SHAPES), "images": {"name": "shapes", "root": ""}}


def stored(at):
    guesses = np.array(GUESSES[at])
    return {"index": np.arange(6), "label": LABELS, "top5": np.stack([guesses, guesses + 1], axis=1)}


ROWS = [
    row("vanilla", at, float(np.mean(guesses == LABELS)), dataset="shapes", n=6, extra=EXTRA)
    for at, guesses in GUESSES.items()
]
SAMPLES = {f"M-vanilla-{at}": stored(at) for at in GUESSES}


def test_values_by_hand():
    found = per_class(Results(ROWS, samples=SAMPLES.get))
    assert found.tables["per_class"].header == ("Model", "Variant", "Data set", "Label", "Class", "Images", "16", "HR")
    assert [line[3:] for line in found.tables["per_class"].rows] == [
        (0, SHAPES.classes[0], 3, pytest.approx(100 / 3), 100),
        (1, SHAPES.classes[1], 2, 100, 50),
        (2, SHAPES.classes[2], 1, 0, 100),
    ]
    first, second, third = SHAPES.classes[:3]
    assert [line[3:] for line in found.tables["confusions"].rows] == [
        ("16", first, second, 2),
        ("16", third, first, 1),
        ("HR", second, third, 1),
    ]
    mean = found.page.sections[0].blocks[0]
    assert mean.rows == (("M", "vanilla", "shapes", pytest.approx(400 / 9), pytest.approx(250 / 3)),)
    worst = found.page.sections[1].blocks[0]
    assert [line[0] for line in worst.rows] == [third, first, second]


def test_classes_whose_names_are_not_known_have_numbers():
    other = [dataclasses.replace(one, extra={**EXTRA, "prompts": "other"}) for one in ROWS]
    gone = [dataclasses.replace(one, extra={**EXTRA, "images": {"name": "gone.yaml"}}) for one in ROWS]
    for rows, reason in ((other, "have changed since"), (gone, "have no names here: ")):
        found = per_class(Results(rows, samples=SAMPLES.get))
        assert [line[4] for line in found.tables["per_class"].rows] == ["0", "1", "2"]
        assert reason in found.page.sections[1].notice


def test_without_arrays_there_is_nothing():
    assert per_class(Results(ROWS)) == ({}, None)


def test_a_question_of_the_same_name_and_the_page_of_a_data_set(tmp_path):
    arrays = {"index": np.arange(100), "label": np.arange(100) % 47, "top5": (np.arange(100) % 47)[:, None]}
    rows = [row("vanilla", "hr", 1.0, dataset="dtd", extra={"classes": 47})]
    asked = row("vanilla", "hr", 0.125, dataset="dtd", metric="ece", kind="gone.py:Own", question="classes", key="k")
    ResultStore(tmp_path / "run").add([*rows, asked], {rows[0].key: arrays})
    assert main([str(tmp_path / "run"), "--no-studies", "--no-plots", "--subset"]) == 0
    report = tmp_path / "run" / "report"
    assert "Mean per-class recall" in (report / "classes.html").read_text()
    assert "0.1250" in (report / "question-classes.html").read_text()
    assert "0.1250" in (report / "question-classes.csv").read_text()
    assert 'href="../classes.html#classes-0">Classes</a>' in (report / "datasets" / "dtd.html").read_text()


def test_many_classes_are_in_the_file_and_the_worst_on_the_page(tmp_path):
    labels = np.arange(50).repeat(2)
    arrays = {"index": np.arange(100), "label": labels, "top5": (labels * (np.arange(100) % 2))[:, None]}
    rows = [row("vanilla", "hr", 0.51, dataset="many", extra={"classes": 50})]
    ResultStore(tmp_path / "run").add(rows, {rows[0].key: arrays})
    assert main([str(tmp_path / "run"), "--no-studies", "--no-plots"]) == 0
    with (tmp_path / "run" / "report" / "per_class.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["HR"] for line in lines] == ["100.0000", *["50.0000"] * 49]
    text = (tmp_path / "run" / "report" / "classes.html").read_text()
    assert len(rows_of(text, "Accuracy by class.")) == 40
    assert "the lowest 40 of 50 lines; per_class.csv has all" in plain(text)
    assert 'href="classes.html"' in (tmp_path / "run" / "report" / "index.html").read_text()
