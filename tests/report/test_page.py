import base64
import hashlib
import posixpath
import re

import numpy as np
import pytest

from lrjax.display.charts import OWN
from lrjax.leaderboard.board import published_leaderboard
from lrjax.report.page import pages
from lrjax.report.page_parts import (
    DASH,
    Site,
    breakable,
    cell,
    gigaflops,
    keep_units,
    magnitude,
    percent,
    quantity,
    sparkline,
    unique_slugs,
)
from report.conftest import own_runs
from report.reading import Reader, plain, rows_of

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def readers(report):
    return {path: Reader(text) for path, text in report.items()}


def test_there_is_a_page_for_everything(report, board):
    assert {"index.html", "leaderboard.html", "studies.html", "method.html"} < set(report)
    assert sum(path.startswith("models/") for path in report) == len(board.entries) == 69
    assert {f"datasets/{name}.html" for name in board.datasets} < set(report)
    assert len(report) == 4 + 69 + 15
    assert "models/eva-02-clip-e-14-plus.html" in report
    assert "models/eva02-b-16-lr-tk0.html" in report
    assert all(re.fullmatch(r"[a-z0-9_/-]+\.html", path) for path in report)


def test_equal_input_gives_equal_bytes(report, board, study):
    again = pages(board, studies=[study], versions={"jax": "0.10"}, command="x")
    once_more = pages(board, studies=[study], versions={"jax": "0.10"}, command="x")
    assert again == once_more
    with_runs = pages(board, studies=[study], overview=own_runs(), versions={"jax": "0.10"}, command="x")
    assert with_runs["datasets/dtd.html"] == report["datasets/dtd.html"]
    assert with_runs["leaderboard.html"].split("<main")[1] == again["index.html"].split("<main")[1]


def test_all_links_lead_somewhere(readers):
    for path, reader in readers.items():
        assert len(set(reader.ids)) == len(reader.ids), path
        for link in reader.links:
            target, _, anchor = link.partition("#")
            where = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
            if where == "studies/size-and-war.png":  # drawn elsewhere
                continue
            assert where in readers, f"{path} links to {link}"
            assert not anchor or anchor in readers[where].ids, f"{path} links to {link}"


def test_all_labels_name_something(readers):
    for path, reader in readers.items():
        for tag, attributes in reader.elements:
            assert attributes.get("aria-labelledby", reader.ids[0]) in reader.ids, (path, tag)


def test_the_policy_allows_this_script_and_nothing_else(report, readers):
    for path, text in report.items():
        (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in text
        for tag, attributes in readers[path].elements:
            assert tag not in ("img", "iframe", "object", "embed", "form", "base")
            assert "src" not in attributes
            assert tag != "link" or attributes["href"].startswith("data:")
            assert not any(name.startswith("on") for name in attributes), (path, tag)
        style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
        assert "url(" not in style and "@import" not in style


def test_sizes(report):
    sizes = {path: len(text.encode()) for path, text in report.items()}
    assert sum(sizes.values()) < 6.7e6
    assert max(sizes.values()) < 300e3
    text = report["method.html"]
    script, style = (re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1] for tag in ("script", "style"))
    assert len(script) < 12e3
    assert len(script) + len(style) < 29e3


def test_every_page_has_a_frame(readers, report):
    titles = set()
    for path, text in report.items():
        tags = [tag for tag, _ in readers[path].elements]
        assert [tags.count(tag) for tag in ("main", "h1", "header", "footer", "title")][:4] == [1, 1, 1, 1], path
        assert '<html lang="en">' in text
        assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in readers[
            path
        ].elements
        assert ("a", {"class": "skip", "href": "#main"}) in readers[path].elements
        titles.add(re.search(r"<title>(.*?)</title>", text)[1])
        for _, attributes in [one for one in readers[path].elements if one[0] == "th"]:
            assert attributes.get("scope") in ("col", "row")
    assert len(titles) == len(report)


def test_a_hostile_name_is_text(report, readers):
    for path, text in report.items():
        assert "<img" not in text, path
    assert f"{HOSTILE} [vanilla]" in "".join(readers["index.html"].text)
    assert report["models/img-src-x-onerror-alert-1-vanilla.html"].count("&lt;img src=x onerror=alert(1)&gt; [vanilla]")
    assert "Size &amp; &lt;b&gt;WAR&lt;/b&gt;" in report["studies.html"]
    assert "python -m lrjax.report html runs &lt;x&gt;" in report["method.html"]


def test_the_leaderboard_is_sorted_without_a_script(report, board):
    rows = rows_of(report["leaderboard.html"], "sortable leaderboard")
    names = [row[1].replace(" your run", "").rstrip("*") for row in rows]
    assert names == [board.names[number] for number in board.order("war", 16)]
    best = next(row for row in rows if row[1] == "EVA-02-CLIP-E/14+")
    assert best[2:5] == ["40.3", "53.6", "44.9"]  # WAR-16 and SAR-16 as published
    assert best[17:] == ["EVA-CLIP", "5.0B", "LAION-2B", "224", "2,264"]
    ranks = board.ranks("war", 16)
    assert [int(row[0]) for row in rows] == [int(ranks[number]) for number in board.order("war", 16)]
    assert [row[1] for row in rows if row[1].endswith("your run")] == [
        "EVA02-B-16 [lr_tk0] your run",
        "EVA02-B-16 [vanilla] your run",
        f"{HOSTILE} [vanilla] your run",
    ]
    assert sum(row[1].endswith("*") for row in rows) == 25


def test_every_score_of_the_leaderboard(report, board):
    columns = [(metric, resolution) for resolution in board.resolutions for metric in ("war", "sar", "acc")]
    for row in rows_of(report["leaderboard.html"], "sortable leaderboard"):
        number = board.find(row[1].replace(" your run", "").rstrip("*"))
        assert row[2:17] == [percent(board.score(metric, resolution)[number]) for metric, resolution in columns]


def test_model_page(report, board):
    text = report["models/eva-02-clip-b-16.html"]
    rank = int(board.ranks("war", 16)[board.find("EVA-02-CLIP-B/16")])
    assert f"Rank {rank} of 69 by WAR-16, with 30.7 %." in plain(text)
    for fact in (
        "EVA02-B-16:merged2b_s8b_b131k",
        "149.7M (149,691,137)",
        "Merged-2B",
        "35.1 GFLOPs",
        "vision transformer",
    ):
        assert fact in plain(text)
    war, sar, acc = rows_of(text, 'class="places"')
    assert war[:3] == ["WAR", f"30.7{rank} / 69", f"64.8{int(board.ranks('war', 32)[33])} / 69"]
    assert sar[0:2] == ["SAR", f"38.0{int(board.ranks('sar', 16)[33])} / 69"]
    assert sar[-1] == "100.0–"  # noqa: RUF001
    assert acc[0] == "ACC"
    lines = rows_of(text, "Small curves")
    assert len(lines) == 15
    top1 = [percent(value) for value in board.top1[33, 0]]
    assert lines[0][0] == "ImageNet" and lines[0][2:7] == top1
    assert lines[0][7] == percent(board.relative(16)[33, 0])
    order = board.order("war", 16)
    before, after = order[rank - 2], order[rank]
    site = Site(board)
    assert f'rel="prev" href="../models/{site.slugs[before]}.html"' in text
    assert f'rel="next" href="../models/{site.slugs[after]}.html"' in text


def test_damaged_images_are_named_where_their_model_is(report):
    named = [path for path, text in report.items() if "banded/1.jpg" in text.replace("<wbr>", "")]
    assert named == ["index.html", "models/eva02-b-16-lr-tk0.html"]
    text = plain(report["models/eva02-b-16-lr-tk0.html"])
    assert "301 damaged images of DTD left out (EVA02-B-16 [lr_tk0])" in text
    assert "198.jpg" in text and "199.jpg" not in text
    assert "And 101 more, which results.jsonl names." in text


def test_first_and_last_model_have_one_neighbour(report, board):
    order, slugs = board.order("war", 16), Site(board).slugs
    first, last = report[f"models/{slugs[order[0]]}.html"], report[f"models/{slugs[order[-1]]}.html"]
    assert 'rel="prev"' not in first and 'rel="next"' in first
    assert 'rel="prev"' in last and 'rel="next"' not in last
    assert "RN50x4" in plain(last)


def test_suspects_are_marked_where_they_are(report, board):
    marked = {}
    for name, slug in zip(board.names, Site(board).slugs, strict=True):
        count = report[f"models/{slug}.html"].count('href="#suspects"')
        marked |= {name: count} if count else {}
    expected = {}
    for name, _, _ in board.suspects:
        expected[name] = expected.get(name, 0) + 1
    assert marked == expected
    in_datasets = sum(report[f"datasets/{name}.html"].count('href="#suspects"') for name in board.datasets)
    assert in_datasets == len(board.suspects)
    assert rows_of(report["datasets/eurosat.html"], "sortable")[0][0] == "1"
    line = next(row for row in rows_of(report["datasets/eurosat.html"], "sortable") if row[1] == "EVA-01-CLIP-g/14")
    assert line[4] == "70.2†" and line[6] == "70.0†" and line[5] == "70.2"


def test_resized_models_say_so(report):
    assert "resized to 224 pixels first, then up to 384" in plain(report["models/albef-4m.html"])
    assert "resized" not in report["models/rn50.html"].split("<main")[1]
    assert plain(report["method.html"]).count("CLIPA-ViT-L/14@336px") == 1


def test_dataset_page(report, board):
    text = report["datasets/aircraft.html"]
    assert "102 counted for chance, as published; the data set has 100" in plain(text)
    assert "3,333" in plain(text) and "1.0 %" in plain(text) and "0.823" in plain(text)
    rows = rows_of(text, "sortable")
    column = board.datasets.index("aircraft")
    order = np.argsort(-board.top1[:, column, 0], kind="stable")
    assert [row[1].replace(" your run", "").rstrip("*") for row in rows] == [board.names[number] for number in order]
    assert rows[0][2] == percent(board.top1[:, column, 0].max())
    spread = rows_of(text, "Of all")
    assert spread[1][1] == percent(np.median(board.published.top1[:, column, 0]))


def test_studies_page(report):
    text = report["studies.html"]
    shown = plain(text)
    assert "✗ contradicts Larger models are more robust (abstract (i))" in shown
    assert "0.72 95 % interval 0.55 to −0.83 n = 66" in shown  # noqa: RUF001
    assert shown.count("Rule: the interval excludes 0") == 1
    assert 'href="studies/size-and-war.png"' in text
    assert re.findall(r"<summary>(.*?)</summary>", text) == [
        'Short <span class="muted">(2 lines)</span>',
        'Long <span class="muted">(21 lines)</span>',
    ]
    assert "1 finding: ✓ 0 supports ✗ 1 contradicts ? 0 undecided" in shown
    assert '<a href="models/rn50.html">RN50</a>' in text
    assert '<a href="datasets/cars.html">Stanford Cars</a>' in text


def test_a_report_without_studies_and_runs():
    found = pages(published_leaderboard(), studies=(), versions={}, command="")
    assert len(found) == 2 + 66 + 15
    assert "studies.html" not in found and "studies.html" not in found["index.html"]
    assert "your run" not in found["index.html"].split("<main")[1]
    assert "66 published backbones on 15 data sets" in plain(found["index.html"])
    assert "EVA-02-CLIP-E/14+" in rows_of(found["index.html"], "sortable leaderboard")[0][1]


def test_method_page(report):
    shown = plain(report["method.html"])
    for text in ("= 200", "8c7ccb6ead8b9644d8507105509b33872b7a8347", "arXiv 2502.03950", "numpy", "0.9705"):
        assert text in shown
    assert "Table 2, MetaCLIP-ViT-B/16 (2.5B), WAR-16" in shown
    assert len(re.findall(r"<code>[0-9a-f]{64}</code>", report["method.html"])) == 3
    assert "runs/<wbr>results.jsonl" in report["method.html"]


def test_a_subset_says_that_it_is_one(board):
    found = pages(board.restrict(["dtd", "pets"]), studies=(), versions={}, command="")
    for path in ("index.html", "models/rn50.html", "method.html"):
        assert "Scores are over 2 of the 15 data sets: DTD, Oxford Pets. They are not" in plain(found[path])
    assert "datasets/dtd.html" in found and "datasets/cars.html" not in found


def test_missing_values_are_dashes(board):
    top1 = board.top1.copy()
    top1[-1, :, 1] = np.nan
    partial = type(board)(**{**vars(board), "top1": top1})
    found = pages(partial, studies=(), versions={}, command="")
    row = next(row for row in rows_of(found["index.html"], "sortable leaderboard") if row[1].startswith(HOSTILE))
    assert row[5:8] == [DASH] * 3 and row[8] != DASH
    assert "nan" not in found["index.html"].split("<main")[1].split("<script")[0]


def test_slugs_are_safe_and_unique():
    slugs = unique_slugs(["A/b", "a b", "../../x", "ViT-L/14", "ViT-L/14+", "日本", "", "a" * 300, "a" * 301])
    assert slugs[:7] == ["a-b", "a-b-2", "x", "vit-l-14", "vit-l-14-plus", "model", "model-2"]
    assert len(set(slugs)) == 9 and max(map(len, slugs)) < 90


def test_a_slug_that_looks_like_a_repetition_stays_unique():
    assert unique_slugs(["a", "a-2", "A"]) == ["a", "a-2", "a-3"]


def test_numbers_as_text():
    assert [magnitude(v) for v in (149_691_137, 8_220_748_545, 12_300, 5)] == ["149.7M", "8.2B", "12.3K", "5"]
    assert [gigaflops(v) for v in (35.13, 999.6, 2264.33)] == ["35.1", "1,000", "2,264"]
    assert [quantity(v) for v in (0.7234, 46.43, 66.0)] == ["0.72", "46.4", "66"]
    assert [quantity(v) for v in (0.0, 0.0042)] == ["0", "0.004"]
    assert quantity(-3.456) == "\N{MINUS SIGN}3.46"
    assert percent(0.40264) == "40.3"
    assert [percent(float("nan")), quantity(float("nan")), magnitude(None), gigaflops(None)] == [DASH] * 4
    assert percent(-0.0001) == "0.0"
    assert breakable("a/b<c") == "a/<wbr>b&lt;c"


def test_cells_have_minus_signs_and_no_negative_zero():
    cells = [-0.01, -1.25, "-0.00", "-0.05 [-0.10, -0.00]", "EVA-02-CLIP-B/16", "1-2", None, 3]
    assert [cell(one) for one in cells] == [
        "0.0", "\N{MINUS SIGN}1.2", "0.00", "\N{MINUS SIGN}0.05 [\N{MINUS SIGN}0.10, 0.00]",
        "EVA-02-CLIP-B/16", "1-2", DASH, "3",
    ]  # fmt: skip


def test_a_percent_sign_stays_with_its_number(report):
    assert keep_units("95 % of 5 px, a % b") == "95\N{NO-BREAK SPACE}% of 5 px, a % b"
    assert not re.search(r"\d %", report["studies.html"].split("<main")[1])


def test_sparkline():
    assert sparkline([0, 0.5, 1], (102, 43), 1.0) == "1,41.5 51,21.5 101,1.5"
    assert sparkline([0, float("nan"), 1], (102, 43), 2.0, backwards=True) == "101,21.5 1,41.5"


def test_groups_put_own_runs_last(board):
    assert Site(board).groups[-1] == OWN
    assert Site(board.published).groups[0] == "ALBEF" and OWN not in Site(board.published).groups
