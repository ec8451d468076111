"""The report of own runs: numbers against hand-computed and published ones, files, and what goes wrong."""

import csv
import dataclasses
import io
import itertools
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from lrjax.data.published import DATASETS, RESOLUTIONS
from lrjax.display.tables import print_tables
from lrjax.errors import UserError
from lrjax.leaderboard.board import published_leaderboard
from lrjax.leaderboard.bootstrap import Replicates, read_accuracies
from lrjax.leaderboard.scores import Results
from lrjax.metrics.robustness import PAPER_CLASS_COUNTS, PAPER_WEIGHTS
from lrjax.report import write
from lrjax.report.run_charts import run_charts
from lrjax.report.run_tables import comparison_table, dataset_table, robustness_table, run_tables
from lrjax.results.row import Row

BOARD = published_leaderboard()


def write_report(rows, directory, **options):
    return write.write_report(rows, directory, board=BOARD, replicates=read_accuracies(rows), **options)


def _row(variant: str, dataset: str, resolution: int | str, value: float, **changes) -> Row:
    fields = {
        "model": "M",
        "variant": variant,
        "dataset": dataset,
        "condition": {"resolution": resolution},
        "metric": "acc1",
        "value": value,
        "n": 100,
        "key": f"{variant}-{dataset}",
        "config_hash": "c1",
        "question": "zeroshot",
        "kind": "zeroshot",
        "question_version": 3,
        "seed": None,
        "versions": {"jax": "0.10"},
        "extra": {
            "parameters": 2_500_000 if variant == "vanilla" else 2_600_000,
            "classes": 4 if dataset == "b" else 2,
        },
    }
    return Row(**(fields | changes))


# E of vanilla: 0.8 - 0.5 = 0.3 and 0.5 - 0.25 = 0.25, so the discounts 1 - exp(-18) and 1 - exp(-12.5) are almost 1
ROWS = [
    _row("lr_tk0", "a", 16, 0.6),
    _row("lr_tk0", "b", 16, 0.3),
    _row("lr_tk0", "a", "hr", 0.76),
    _row("lr_tk0", "b", "hr", 0.5),
    _row("vanilla", "a", 16, 0.4),
    _row("vanilla", "b", 16, 0.1),
    _row("vanilla", "a", "hr", 0.8),
    _row("vanilla", "b", "hr", 0.5),
]


def test_a_data_set_without_robustness_is_left_out_and_told():
    rows = [*ROWS[:-1], _row("vanilla", "b", "hr", 0.0)]
    table = robustness_table(Results(rows))
    np.testing.assert_allclose([row[3:6] for row in table.rows], [[50, 50, 25], [75, 75, 45]], atol=1e-4)
    assert "SAR of M is over 1 of 2 data sets: on b its HR accuracy is not above chance" in table.caption
    assert "WAR of M is over 1 of 2 data sets: on b its HR accuracy is 0" in table.caption
    weighted = robustness_table(Results(rows, weights={"a": 1.0, "b": 3.0}))
    np.testing.assert_allclose(weighted.rows[0][3:6], [50, 50, 25], atol=1e-4)
    assert robustness_table(Results(rows, weights={"a": 0.0, "b": 3.0})).rows[0][4] is None
    whole = robustness_table(Results(ROWS))
    assert "SAR of M" not in whole.caption and "WAR of M" not in whole.caption


# of 100 images with two classes 59 are within the interval of chance, 60 are above; 0 and 30 are below
@pytest.mark.parametrize(
    ("high", "sar"), [(0.0, None), (0.3, None), (0.5, None), (0.59, None), (0.6, 150.0), (0.9, 100.0)]
)
def test_sar_of_a_model_that_guesses_is_a_dash(high, sar, tmp_path):
    rows = [_row("vanilla", "a", 16, 0.9), _row("vanilla", "a", "hr", high)]
    table = robustness_table(Results(rows))
    assert table.rows[0][3] == (None if sar is None else pytest.approx(sar))
    assert table.rows[0][6] == (None if sar is None else pytest.approx(100))
    assert ("SAR of M is undefined: on a its HR accuracy is not above chance" in table.caption) == (sar is None)
    write_report(rows, tmp_path, plots=False)
    assert json.loads((tmp_path / "summary.json").read_text())["models"][0]["resolutions"]["16"]["sar"] == (
        None if sar is None else pytest.approx(sar / 100)
    )
    line = next(csv.DictReader(io.StringIO((tmp_path / "table2.csv").read_text())))
    assert (line["SAR-16"], line["ACC-16"]) == ("" if sar is None else f"{sar:.4f}", "90.0000")


def test_a_data_set_of_one_class_takes_no_table_with_it(tmp_path):
    one = [_row("vanilla", "c", at, 1.0, extra={"classes": 1}) for at in (16, "hr")]
    table = robustness_table(Results([*ROWS[4:], *one]))
    np.testing.assert_allclose(table.rows[0][3:6], [35, 35, (40 + 10 + 100) / 3], atol=1e-3)
    assert "SAR of M is over 2 of 3 data sets: on c" in table.caption
    assert "WAR of M is over 2 of 3 data sets: on c its HR accuracy is 0 or it has one class" in table.caption
    write_report([*ROWS[4:], *one], tmp_path / "out")
    alone = robustness_table(Results(one))
    assert alone.rows[0][3:] == (None, None, 100.0) * 2
    assert "SAR of M is undefined" in alone.caption and "WAR of M is undefined" in alone.caption


def test_robustness_table_by_hand():
    table = robustness_table(Results(ROWS))
    assert table.header == (
        "Model",
        "Variant",
        "Parameters",
        "SAR-16",
        "WAR-16",
        "ACC-16",
        "SAR-HR",
        "WAR-HR",
        "ACC-HR",
    )
    assert [row[:3] for row in table.rows] == [("M", "vanilla", 2_500_000), ("M", "lr_tk0", 2_600_000)]
    # vanilla: gamma 0.5 and 0.2; lr_tk0 against the vanilla reference: 0.75 and 0.6, and 0.95 and 1 at hr
    np.testing.assert_allclose(table.rows[0][3:], [35, 35, 25, 100, 100, 65], atol=1e-3)
    np.testing.assert_allclose(table.rows[1][3:], [67.5, 67.5, 45, 97.5, 97.5, 63], atol=1e-3)
    assert "equally" in table.caption and "not the weights of the paper" in table.caption


def test_weights_by_hand():
    table = robustness_table(Results(ROWS, weights={"a": 3.0, "b": 1.0}))
    np.testing.assert_allclose(table.rows[1][3:6], [67.5, (3 * 75 + 60) / 4, 45], atol=1e-3)
    assert "a 3, b 1" in table.caption and "equally" not in table.caption
    with pytest.raises(UserError, match=r"no weight for b.*renormalise"):
        robustness_table(Results(ROWS, weights={"a": 3.0}))
    table = robustness_table(Results(ROWS, weights={"a": 3.0}, missing="renormalise"))
    np.testing.assert_allclose(table.rows[1][4], 75, atol=1e-3)
    assert "renormalised without b" in table.caption


def test_chosen_data_sets_only():
    table = robustness_table(Results(ROWS, datasets=["a"]))
    np.testing.assert_allclose(table.rows[1][3:6], [75, 75, 60], atol=1e-3)
    assert "over 1 data set (a)" in table.caption
    with pytest.raises(UserError, match="'c' has no results"):
        robustness_table(Results(ROWS, datasets=["a", "c"]))


INCOMPLETE = [
    dataclasses.replace(row, n=20, extra={**row.extra, "expected": 5400}) if row.dataset == "b" else row for row in ROWS
]


def test_what_is_incomplete_is_marked_in_every_table_and_file(tmp_path):
    footnote = "‡: not all images of the data set (M: 20 of 5,400 of b)."
    tables = run_tables(read_accuracies(INCOMPLETE))
    for name, found in {
        "table2": ["‡ 1 of 2 data sets"] * 2,
        "per_dataset": [None, None, *["‡ 20 of 5,400"] * 2],
    }.items():
        assert tables[name].header[-1] == "Incomplete"
        assert [line[-1] for line in tables[name].rows] == found
    assert [line[2] for line in tables["comparison"].rows] == [100, "‡ 20 of 5,400"]
    write_report(INCOMPLETE, tmp_path)
    for name in ("table2", "per_dataset"):
        assert "‡" in (tmp_path / f"{name}.csv").read_text()
        assert "‡" in (tmp_path / f"{name}.tex").read_text()
        assert footnote in (tmp_path / f"{name}.md").read_text()
    assert (tmp_path / "report.md").read_text().count(footnote) == 2  # both of its tables
    assert all(footnote in table.caption for table in tables.values())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [model["incomplete"] for model in summary["models"]] == [{"b": {"images": 20, "expected": 5400}}] * 2
    assert run_charts(Replicates(Results(INCOMPLETE)))["accuracy"].title.endswith(
        " (‡ not all images of 1 of 2 data sets)"
    )
    assert "‡" not in run_charts(Replicates(Results(ROWS)))["accuracy"].title
    for table in run_tables(read_accuracies(ROWS)).values():
        assert "Incomplete" not in table.header and "‡" not in table.caption


def test_class_counts_can_be_given():
    # at chance Gamma vanishes, and gamma is undefined
    near_chance = [_row("vanilla", "a", n, v, extra={"classes": 2}) for n, v in ((16, 0.25), ("hr", 0.5))]
    assert robustness_table(Results(near_chance)).rows[0][3:5] == (None, pytest.approx(0))
    table = robustness_table(Results(near_chance, classes={"a": 4}))
    np.testing.assert_allclose(table.rows[0][4], 50 * (1 - np.exp(-200 * 0.25**2)), rtol=1e-12)
    with pytest.raises(UserError, match="no class count is given for data set 'a'"):
        robustness_table(Results(near_chance, classes={"b": 4}))


def test_published_baseline():
    accuracies = BOARD.top1[BOARD.find("EVA-02-CLIP-B/16")]
    rows = [
        _row("vanilla", dataset, resolution, accuracies[i, j], extra={"expected": 100})
        for i, dataset in enumerate(DATASETS)
        for j, resolution in enumerate(RESOLUTIONS)
    ]
    table = robustness_table(Results(rows, weights=PAPER_WEIGHTS, classes=PAPER_CLASS_COUNTS))
    shown = [cell.strip() for cell in table.markdown().splitlines()[2].split("|")[4:-1]]
    expected = "38.0 30.7 28.1 74.4 64.8 53.5 92.4 85.8 65.2 98.4 96.1 68.8 100.0 100.0 69.6"  # Table 2 of the paper
    assert shown == expected.split()
    assert table.rows[0][2] is None  # no parameter count
    assert "weights of the paper" in table.caption and "equally" not in table.caption


def test_data_set_tables_by_hand():
    assert dataset_table(Results(ROWS)).rows[:2] == (
        ("M", "vanilla", "a", 2, 100, 50.0, 40.0, 80.0),
        ("M", "lr_tk0", "a", 2, 100, 50.0, 60.0, 76.0),
    )
    table = comparison_table(Results(ROWS))
    assert table.header == ("Model", "Data set", "Images", "Chance", "16", "HR")
    assert table.rows == (
        ("M", "a", 100, 50.0, "40.0 → 60.0", "80.0 → 76.0"),
        ("M", "b", 100, 25.0, "10.0 → 30.0", "50.0 → 50.0"),
    )
    assert "vanilla → lr_tk0" in table.caption


def test_a_resolution_that_one_variant_lacks_is_a_dash():
    rows = [*ROWS, _row("vanilla", "a", 32, 0.5), _row("vanilla", "b", 32, 0.5)]
    table = robustness_table(Results(rows))
    column = table.header.index("SAR-32")
    assert table.rows[0][column] is not None
    assert table.rows[1][column : column + 3] == (None, None, None)
    assert "| – |" in table.markdown()  # noqa: RUF001
    assert comparison_table(Results(rows)).rows[0][5] == "50.0 → –"  # noqa: RUF001


def images_of(rows, variant, *, fingerprint="same", skipped=()):
    """The rows with what they tell of their images, other than the rest for a variant."""
    found = []
    for row in rows:
        changed = row.variant == variant
        images = {"fingerprint": fingerprint if changed else "same"}
        extra = {**row.extra, "images": images, "skipped": list(skipped) if changed else []}
        found.append(dataclasses.replace(row, extra=extra))
    return found


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no results"),
        ([_row("vanilla", "a", 16, 0.5, metric="ece")], "no result has the metric 'acc1' \\(found ece\\)"),
        (ROWS[:4], "model 'M' has no 'vanilla' results"),
        (ROWS[:-1], "no acc1 of M vanilla on b at hr"),
        ([*ROWS, _row("vanilla", "a", 32, 0.5)], "no acc1 of M vanilla on b at 32"),
        ([*ROWS, _row("vanilla", "a", 32, 0.5, n=99)], "same images.*100.*99"),
        (
            images_of(ROWS, "lr_tk0", fingerprint="other"),
            "same images: 100 for lr_tk0 at 16, but 100 others for vanilla",
        ),
        (images_of(ROWS, "lr_tk0", skipped=["1.jpg"]), "same images: 100 for lr_tk0 at 16, but 100 others for vanilla"),
        ([_row("vanilla", "a", 16, 0.5, extra={})], "class count"),
        ([*ROWS[:-1], _row("vanilla", "b", "hr", 50.0)], "'b' is 50.*fractions"),
        ([*ROWS, _row("vanilla", "a", 16, 0.9, config_hash="c2")], "two results for M vanilla on a at 16.*c1 and c2"),
    ],
)
def test_results_that_cannot_be_compared(rows, reason):
    with pytest.raises(UserError, match=reason):
        robustness_table(Results(rows))


def test_the_newest_of_several_results_on_request():
    table = robustness_table(Results([*ROWS, _row("vanilla", "a", 16, 0.8)], duplicates="newest"))
    np.testing.assert_allclose(table.rows[0][3], (100 + 20) / 2)
    assert "1 older results" in table.caption


@pytest.mark.parametrize("width", [60, 80, 200])
def test_printed_tables_lose_nothing_on_narrow_terminals(width):
    stream = io.StringIO()
    print_tables([robustness_table(Results(ROWS)), comparison_table(Results(ROWS))], Console(file=stream, width=width))
    text = stream.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    for part in ("SAR-16", "WAR-16", "ACC-HR", "vanilla", "2.60M", "67.5", "97.5", "10.0 → 30.0", "lr_tk0"):
        assert part in text
    assert "…" not in text


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_written_files(tmp_path):
    many = [*ROWS, *(_row(r.variant, r.dataset, r.resolution, r.value, model="N/1 |x") for r in ROWS)]
    files = write_report(many, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".report.json",
        "accuracy.png",
        "by_dataset.png",
        "datasets",
        "datasets_M.png",
        "datasets_N-1-x.png",
        "index.html",
        "leaderboard.csv",
        "leaderboard.html",
        "leaderboard.md",
        "leaderboard.tex",
        "method.html",
        "models",
        "per_dataset.csv",
        "per_dataset.md",
        "per_dataset.tex",
        "report.md",
        "summary.json",
        "table2.csv",
        "table2.md",
        "table2.tex",
    ]
    assert sorted(files) == sorted(
        path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".report.json"
    )
    markdown = (tmp_path / "out" / "report.md").read_text()
    lines = markdown.splitlines()
    for above, line in itertools.pairwise(lines):
        if above.startswith("|"):
            assert line == "" or line.replace("\\|", "").count("|") == above.replace("\\|", "").count("|")
        elif line.startswith("|"):
            assert above == ""  # a table needs an empty line before it
    for name in ("accuracy.png", "datasets_M.png", "datasets_N-1-x.png"):
        assert f"]({name})" in markdown
    assert "equally" in markdown and "| M | b | 100 | 25.0 | 10.0 → 30.0 | 50.0 → 50.0 |" in markdown
    assert "zeroshot 3" in markdown and "jax 0.10" in markdown
    with (tmp_path / "out" / "table2.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["SAR-16"] for row in table if row["Model"] == "M"] == ["35.0000", "67.5000"]
    assert [row["Parameters"] for row in table if row["Model"] == "M"] == ["2500000", "2600000"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["weights"] is None
    assert summary["models"][1]["resolutions"]["16"]["sar"] == pytest.approx(0.675, abs=1e-15)
    assert summary["models"][1]["parameters"] == 2_600_000


def test_plots_show_both_variants_and_chance(tmp_path):
    write_report(ROWS, tmp_path)
    for name in ("accuracy.png", "datasets_M.png"):
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
            assert image.width > 600 and image.height > 300
        for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x6B, 0x6B, 0x6B)):
            assert (pixels == colour).all(axis=1).sum() > 100, (name, colour)
        assert (pixels == 255).all(axis=1).mean() > 0.5


def test_writing_again_gives_the_same_bytes(tmp_path):
    write_report(ROWS, tmp_path)
    before = contents(tmp_path)
    write_report(ROWS, tmp_path)
    assert before == contents(tmp_path)


def test_a_crash_while_writing_leaves_the_old_files(tmp_path, monkeypatch):
    write_report(ROWS, tmp_path, plots=False)
    before = contents(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report([row for row in ROWS if row.dataset == "a"], tmp_path, plots=False)
    assert before == contents(tmp_path)


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        write_report(ROWS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_report(ROWS, tmp_path / "out", plots=False)
    assert ".png" not in (tmp_path / "out" / "report.md").read_text()
