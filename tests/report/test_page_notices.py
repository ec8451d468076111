"""What the pages say of other weights, of runs without a rank, and what they leave out or fold."""

import dataclasses
import re

import pytest

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.display.page import Page
from lrjax.leaderboard.board import add_runs, published_leaderboard
from lrjax.report.page import pages
from lrjax.report.skipped import Skipped
from report.conftest import own_runs, rows
from report.reading import plain, rows_of


def test_other_weights_than_the_papers_are_told_on_every_page(board, study):
    sentence = "the weights were found at 16 pixels and serve every resolution"
    equal = dataclasses.replace(board, weights=dict.fromkeys(board.datasets, 1.0))
    found = pages(equal, studies=[study], versions={}, command="")
    for path in ("index.html", "method.html", "studies.html"):
        assert "WAR weighs all data sets equally (these are not the weights of the paper)." in plain(found[path])
    for path in set(found) - {"index.html", "method.html", "studies.html"}:
        assert "WAR is not by the weights of the paper. Weights" in plain(found[path]), path
        assert 'href="../method.html#weights">Weights</a>' in found[path]
    assert sentence not in plain(found["method.html"])
    assert "which are not those of the paper, serve every resolution" in plain(found["method.html"])
    one = dataclasses.replace(board, weights=dict(board.weights) | {"cars": 0.25})
    shown = plain(pages(one, studies=(), versions={}, command="")["index.html"])
    assert "WAR weighs the data sets by ImageNet 0.156, " in shown and "Stanford Cars 0.25" in shown
    assert "not by the weights of the paper. WAR and the ranks by it" in shown


@pytest.mark.parametrize("names", [None, ["dtd", "pets"]])
def test_the_papers_weights_need_no_notice(board, names):
    found = pages(board.restrict(names or board.datasets), studies=(), versions={}, command="")
    assert not any("weights of the paper" in text or "not those of the paper" in text for text in found.values())
    assert ("notice" in found["index.html"].split("<main")[1]) == bool(names)
    assert "the weights were found at 16 pixels and serve every resolution" in plain(found["method.html"])


def test_without_pictures_nothing_links_to_them(board, study):
    text = pages(board, studies=[study], versions={}, command="", plots=False)["studies.html"]
    assert ".png" not in text and "chart-size-and-war" in text


def test_a_modified_model_has_a_rank_by_sar_at_full_size(report, board):
    modified, vanilla = (report[f"models/eva02-b-16-{name}.html"] for name in ("lr-tk0", "vanilla"))
    assert rows_of(vanilla, 'class="places"')[1][-1] == "100.0\N{EN DASH}"
    assert rows_of(modified, 'class="places"')[1][-1] == "100.0\N{EN DASH}"  # as accurate as the unmodified one
    top1 = board.top1.copy()
    number = board.find("EVA02-B-16 [lr_tk0]")
    top1[number, :, -1] = 0.63
    worse = pages(dataclasses.replace(board, top1=top1), studies=(), versions={}, command="")
    assert rows_of(worse["models/eva02-b-16-lr-tk0.html"], 'class="places"')[1][-1] == "90.069 / 69"
    assert rows_of(worse["models/rn50.html"], 'class="places"')[1][-1] == "100.0\N{EN DASH}"


def test_incomplete_runs_are_marked_on_every_page_and_have_no_rank(study):
    few = [
        dataclasses.replace(row, n=20) if row.dataset == "dtd" else row for row in rows("EVA02-B-16", "vanilla", 0.2)
    ]
    board = add_runs(published_leaderboard(), few)
    page = Page(name="own", label="Own", title="A question", lead="", teaser="", sections=[])
    skipped = [Skipped("EVA02-B-16 [vanilla]", "dtd", ("1.jpg",))]
    found = pages(board, studies=[study], questions=[page], overview=own_runs(skipped=skipped), versions={}, command="")
    reason = "EVA02-B-16 [vanilla] ‡ has no rank, for it saw only 20 of 100 images of dtd."
    for path in set(found) - {"index.html"}:
        assert reason in plain(found[path]), path
    line = next(row for row in rows_of(found["leaderboard.html"], "<table") if row[1].startswith("EVA02-B-16"))
    assert line[:2] == ["\N{EN DASH}", "EVA02-B-16 [vanilla] ‡ your run"]
    assert rows_of(found["leaderboard.html"], "<table")[-1] == line
    assert found["leaderboard.html"].count("<tr") - found["leaderboard.html"].count("data-unranked") > 66
    page = found["models/eva02-b-16-vanilla.html"]
    assert "Without a rank: not all images of 1 of 15 data sets were seen." in plain(page)
    assert "1 damaged image of DTD left out" in plain(page)
    for dataset, dash in (("dtd", True), ("pets", False)):
        text = found[f"datasets/{dataset}.html"]
        rank = next(row[0] for row in rows_of(text, 'id="models"') if row[1].startswith("EVA02-B-16 ["))
        assert (rank == "\N{EN DASH}") == ("data-unranked>" in text) == dash
    # the others are ranked as without it
    alone = pages(published_leaderboard(), studies=(), versions={}, command="")
    assert rows_of(alone["index.html"], "<table") == rows_of(found["leaderboard.html"], "<table")[:-1]


def test_runs_that_cannot_be_ranked_say_why(report):
    why = "on other data sets than the benchmark's"
    found = pages(published_leaderboard(), studies=(), overview=own_runs(), versions={}, command="")
    for path in ("index.html", "leaderboard.html"):
        assert why in plain(found[path]), path
        assert why not in plain(report[path])


def test_long_charts_of_own_runs_are_folded(board):
    def chart(name, count):
        panels = [Panel(title=f"{one}", series=[Series(name="a", x=[1], y=[1])]) for one in ["imagenet_a"] * count]
        return Chart(name=name, title=name, panels=panels, x=Axis(label="x"), y=Axis(label="y"), alt="One.")

    front = own_runs(charts=[chart("first", 6)], more_charts=[chart("few", 4), chart("many", 5)])
    text = pages(board, studies=(), overview=front, versions={}, command="")["index.html"]
    assert re.findall(r"<summary>(.*?)</summary>", text) == ["many"]
    assert text.index("chart-few") < text.index("<details") < text.index("chart-many") < text.index("</details>")
    assert text.count(">ImageNet-A</text>") == 15 and ">imagenet_a<" not in text
