"""The page of zoom results, in the files that the command writes and in Chromium."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from lrjax.data.datasets import open_source
from lrjax.leaderboard.board import published_leaderboard
from lrjax.metrics.zoom import STANDARD_VIEW, VIEW_SCALES, anchor_bounds, view_index
from lrjax.questions.pages import question_pages
from lrjax.questions.zoom.pictures import crop
from lrjax.questions.zoom.report import covers
from lrjax.questions.zoom.stored import load_tables
from lrjax.report.command import main
from lrjax.report.page import pages
from lrjax.results.store import ResultStore
from report.reading import Reader, plain, rows_of
from zoom_study.tables import add, row, samples, store_with_images

HALF = [view_index(1, 1, scale) for scale in (224, 256)] + [view_index(0, 2, 512)] + list(range(150))
RIGHT = {"one": [[STANDARD_VIEW], [view_index(2, 0, 64)], HALF, [], []], "two": [[STANDARD_VIEW], [], [], [], []]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for model, right in RIGHT.items():
        store_with_images(folder, "shapes", right, model=model)
    skipped = row("one", "shapes", key="zeroshot", kind="zeroshot")
    skipped = dataclasses.replace(skipped, value=1.0, extra={"classes": 12, "skipped": ["torn.jpg"]})
    add(folder, skipped, {"index": np.arange(5), "label": np.arange(5), "top5": np.arange(5)[:, None]})
    return folder


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert main([str(results), "--out", str(folder), "--no-studies", "--no-plots"]) == 0
    return folder


@pytest.fixture(scope="module")
def site(folder):
    return folder.as_uri()


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "zoom.html").read_text()


def test_it_is_linked_from_every_page(folder):
    assert "zoom.html" in Reader((folder / "index.html").read_text()).links
    assert "../zoom.html" in Reader((folder / "models" / "rn50.html").read_text()).links
    assert sum(path.stat().st_size for path in folder.rglob("*.html")) < 6.8e6


def test_its_numbers(text, results):
    bounds = {line[0]: line[2:] for line in rows_of(text, "Accuracy under the best")}
    assert bounds["one"] == ["5", "40.0", "60.0", "60.0", "40.0", "100.0", "100.0", "2"]
    assert bounds["two"] == ["5", "20.0", "20.0", "20.0", "80.0", "100.0", "100.0", "1"]
    assert rows_of(text, "no crop of any model") == [["shapes", "2", "5", "2", "40.0"]]
    maps = re.findall(r"<svg .*?</svg>", text[text.index('id="maps-zoom-anchors"') :], re.S)
    for one, table in zip(maps, load_tables([results]), strict=False):
        values = [float(value) for value in re.findall(r">([\d.]+)</text>", one)]
        np.testing.assert_allclose(values, 100 * anchor_bounds(table.correct).ravel(), atol=0.05)
    views = text[text.index('id="maps-zoom-views-2"') :].split("</figure>")[0]
    assert re.findall(r"(\d+) of 324 right</p>", views) == [str(len(set(HALF))), "0"]
    right = re.search(r'--v:1" d="(.*?)"', views)[1]
    assert right.count("M") == len(set(HALF))


def test_its_pictures_are_crops_of_the_image(text, results):
    image = Image.fromarray(open_source("shapes", count=5, seed=3)[2]["image"])
    table = load_tables([results])[0]
    (cover,) = covers([table])
    sheet = text[text.index('id="sheet-zoom-crops"') :]
    items = re.findall(r'<li class="(\w+)">.*?src="data:image/jpeg;base64,(.*?)".*?<span>(.) (\d+) px', sheet)
    assert len(items) == len(cover) == 2
    for (look, content, mark, scale), view in zip(items, cover, strict=True):
        assert (look, mark) == (("right", "✓") if table.correct[2, view] else ("wrong", "✗"))
        assert int(scale) == VIEW_SCALES[view]
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), float)
        expected = np.asarray(Image.fromarray(crop(image, int(view))).resize((128, 128)), float)
        assert np.abs(found - expected).mean() < 3  # what JPEG leaves


def test_damaged_images_are_named(folder):
    text = plain((folder / "index.html").read_text())
    assert "1 damaged image of shapes left out (one [vanilla])" in text and "torn.jpg" in text


def read(directory):
    store = ResultStore(directory)
    (page,) = question_pages(store.rows, store.samples)
    return page


def small(*questions):
    board = published_leaderboard()
    few = {name: getattr(board, name)[:2] for name in ("entries", "top1", "reference")}
    return pages(dataclasses.replace(board, **few), studies=[], versions={}, command="x", questions=questions)


def test_images_that_are_gone_and_arrays_that_are_missing(results, tmp_path):
    add(tmp_path, row("one", "scenes"), samples([[1], []]))
    add(tmp_path, row("two", "scenes"), None)
    page = read(tmp_path)
    text = plain(small(page)["zoom.html"])
    assert "Left out, because their per-image arrays are missing: two on scenes." in text
    assert "none could be opened again. scenes: the result does not tell where its images are" in text
    assert "<img" not in small(page)["zoom.html"]
    (empty,) = question_pages(ResultStore(tmp_path).rows, None)
    assert "one on scenes, two on scenes" in plain(small(empty)["zoom.html"])
    other = [one for one in ResultStore(results).rows if one.kind != "zoom"]
    assert question_pages(other, None) == []
    assert "zoom.html" not in small()


def test_results_of_zooming_alone(tmp_path, capsys):
    store_with_images(tmp_path / "results", "shapes", RIGHT["one"])
    arguments = [str(tmp_path / "results"), "--out", str(tmp_path / "out"), "--no-studies", "--no-plots"]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "zoom.html").exists()
    assert not (tmp_path / "out" / "table2.csv").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_on_a_phone(visit, scheme):
    page = visit("zoom.html", size=(360, 740), color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    sizes = page.locator(".maps text").evaluate_all("all => all.map(one => one.getScreenCTM().a * 0.25)")
    assert min(sizes) >= 11
    assert page.locator(".maps svg").first.evaluate("one => one.getBoundingClientRect().width") <= 180


def luminance(colour):
    def channel(value):
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    parts = [float(number) for number in re.findall(r"[\d.]+", colour.removeprefix("color(srgb"))]
    parts = parts if colour.startswith("color") else [part / 255 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], [channel(part) for part in parts[:3]]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_values_stand_out_from_their_cells(visit, scheme):
    page = visit("zoom.html", color_scheme=scheme)
    pairs = page.locator(".maps svg").first.evaluate(
        """one => [...Array(101).keys()].map(share => {
          one.querySelector('.cell').style.setProperty('--v', share / 100);
          one.querySelector('text').setAttribute('class', `${share >= 68 ? 'w' : ''} ${share >= 46 ? 'k' : ''}`);
          return ['.cell', 'text'].map(name => getComputedStyle(one.querySelector(name)).fill);
        })"""
    )
    for share, pair in enumerate(pairs):
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (share, pair)
    assert len({text for _, text in pairs}) == 2
