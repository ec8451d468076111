"""The front page of own runs: what it says of them, and how it looks in Chromium."""

import dataclasses

import pytest

from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.scores import Results
from lrjax.report.command import main
from lrjax.report.doubts import doubts
from lrjax.report.overview import overview
from lrjax.results.commands import keep_command, read_commands
from lrjax.results.store import ResultStore
from report.reading import Reader, plain, rows_of
from report.test_headline import IMAGES, RIGHT, row, samples

EXTRA = {
    "classes": 2,
    "expected": 120,
    "left_out": {".txt": 3, "": 1},
    "assumed": "the labels are those of its folders",
    "skipped": ["torn.jpg"],
    "backbone": "EVA02-B-16",
    "source": "hub:x",
    "weights": "0123456789abcdef",
    "parameters": 1_000_000,
    "precision": "float32",
    "images": {"fingerprint": "f" * 64},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    rows = [row(*name, right / IMAGES, extra=EXTRA) for name, right in RIGHT.items()]
    for key in ("M-vanilla-hr", "M-lr_tk0-hr", "M-vanilla-16", "M-lr_tk0-16"):
        _, variant, at = key.split("-")
        right = RIGHT[variant, at if at == "hr" else int(at)]
        ResultStore(folder).add([one for one in rows if one.key == key], {key: samples(right)})
    other = {"metric": "ece", "kind": "gone.py:Own", "question": "sure", "key": "k", "extra": EXTRA}
    ResultStore(folder).add([row("vanilla", "hr", 0.25, **other)])
    keep_command(folder, "c1", "python -m lrjax.main --config '<mine>.py'")
    return folder


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert main([str(results), "--out", str(folder), "--no-studies", "--no-plots"]) == 0
    return folder


@pytest.fixture(scope="module")
def site(folder):
    return folder.as_uri()


def test_what_it_says(folder):
    text = (folder / "index.html").read_text()
    shown = plain(text)
    for part in (
        "Your run: M",
        "2 variants (vanilla, lr_tk0) on 1 data set (a). Asked: zeroshot, sure, at 16 px, HR.",
        "At 16 px M lr_tk0 is 20.0 points above vanilla (",
        "At HR M lr_tk0 and vanilla do not differ significantly (",
        "5 things to know before you trust these numbers",
        "‡: not all images of the data set (M: 100 of 120 of a).",
        "a: files that were not read: 3 .txt, 1 without a suffix.",
        "a: the labels are those of its folders.",
        "1 damaged image of a left out (M [vanilla])",
        "python -m lrjax.main --config '<mine>.py'",
        "Config hashc1",
        "Precisionfloat32",
        "zeroshot 1 (zeroshot), sure 1 (gone.py:Own)",
        "not on the leaderboard",
        "Mean ece over 1 data set, without intervals.",
    ):
        assert part in shown, part
    means = rows_of(text, "Mean top-1 accuracy.")
    assert [line[:2] for line in means] == [["M", "vanilla"], ["M", "lr_tk0"]]
    assert means[0][2].startswith("40.0 [") and means[1][2].startswith("60.0 [")
    assert rows_of(text, "Models and variants.")[0] == ["M", "vanilla", "EVA02-B-16", "1.00M", "hub:x", "0123456789ab"]
    assert rows_of(text, "Data sets of the run.") == [["a", "f" * 32, "2", "100"]]
    assert {"leaderboard.html", "leaderboard.html#datasets", "method.html", "sure.html"} <= set(Reader(text).links)
    assert "Leaderboard" in plain((folder / "leaderboard.html").read_text())


def test_nothing_to_doubt():
    rows = [row("vanilla", "hr", 0.8)]
    found = overview(rows, Replicates(Results(rows)), [], charts={}, details=[], commands={"other": "x"})
    assert (found.doubts, found.skipped, found.findings) == ([], [], [])
    assert [name for name, _ in found.facts] == ["Config hash", "Seed", "Questions"]


def test_several_configs_and_older_results_are_doubted():
    rows = [row("vanilla", "hr", 0.8), row("vanilla", "hr", 0.7, config_hash="c2", versions={"jax": "1"})]
    found = doubts(rows, Results(rows, duplicates="newest"), [])
    assert found == [
        "1 older result for the same numbers left out.",
        "These results are of 2 configs and of 2 sets of versions.",
    ]


def test_many_models_are_counted():
    rows = [row("vanilla", "hr", 0.8, model=f"M{number}") for number in range(4)]
    found = overview(rows, Replicates(Results(rows)), [], charts={}, details=[], commands={})
    assert found.title == "Your run: 4 models"
    assert len(found.systems.rows) == 4


def test_results_without_accuracies_have_a_front_page_too(tmp_path):
    rows = [dataclasses.replace(row("vanilla", "hr", 0.25), metric="ece", kind="gone.py:Own", question="sure")]
    ResultStore(tmp_path / "run").add(rows)
    out = tmp_path / "out"
    assert main([str(tmp_path / "run"), "--out", str(out), "--no-studies", "--no-plots"]) == 0
    text = plain((out / "index.html").read_text())
    assert "Your run: M" in text and "0.2500" in text and (out / "leaderboard.html").exists()


def test_commands_are_kept_by_config(tmp_path, capsys):
    assert read_commands([tmp_path / "none"]) == {}
    for name, command in (("c1", "a"), ("c2", "b"), ("c1", "c")):
        keep_command(tmp_path, name, command)
    assert read_commands([tmp_path]) == {"c1": "c", "c2": "b"}
    ResultStore(tmp_path).add([row("vanilla", "hr", 0.8)])
    for damaged in ("{", "[]", '{"c1": 3}'):
        (tmp_path / "commands.json").write_text(damaged)
        assert main([str(tmp_path), "--no-studies", "--no-plots"]) == 2
        message = capsys.readouterr().err
        assert "commands.json is damaged" in message and message.count("\n") == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
def test_the_numbers_are_on_the_first_screen(visit, size):
    page = visit("index.html", size=size)
    table = page.get_by_role("region", name="Mean top-1 accuracy")
    box = table.bounding_box()
    assert box["y"] + box["height"] <= size[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    if size[0] > 1000:
        tops = [one.bounding_box()["y"] for one in page.locator(".two svg:visible").all()]
        assert len(tops) == 2 and max(tops) <= size[1]


def test_from_the_run_to_the_leaderboard_and_back(visit):
    page = visit("index.html")
    page.get_by_role("link", name="what was skipped or doubted").click()
    assert page.url.endswith("#doubts")
    page.get_by_role("navigation", name="Report").get_by_role("link", name="Leaderboard").click()
    page.get_by_role("searchbox").wait_for()
    page.get_by_role("link", name="RN50", exact=True).click()
    page.get_by_role("link", name="← Leaderboard").click()
    page.get_by_role("navigation", name="Report").get_by_role("link", name="Your run").click()
    page.get_by_role("heading", level=1, name="Your run: M", exact=True).wait_for()


def test_charts_have_one_stop_for_the_keyboard(visit):
    page = visit("index.html", color_scheme="dark")
    points = page.locator("#chart-by-dataset svg:visible .point[tabindex='0']")
    assert points.count() == 1
    points.first.focus()
    assert page.get_by_role("tooltip").inner_text().startswith("M lr_tk0 against vanilla\na: 20.0 [")
