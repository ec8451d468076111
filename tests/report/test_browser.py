"""The pages in a real browser: what sorts, filters and shows, and that nothing leaves the page."""

import shutil

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright (pip install playwright)"
)

HOSTILE = "<img src=x onerror=alert(1)>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need the program chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for path, text in report.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder.as_uri()


@pytest.fixture
def visit(browser, site):
    """Opens a page; afterwards nothing may have gone wrong in it, and nothing been asked for but files."""
    contexts, wrong = [], []

    def open_page(path="index.html", *, size=(1280, 900), **options):
        view = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=view, reduced_motion="reduce", **options)
        contexts.append(context)
        context.set_default_timeout(5_000)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
        page.goto(f"{site}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def names(page):
    """Names in the leaderboard from top to bottom, of the rows that are seen."""
    rows = page.locator(".leaderboard tbody tr:visible")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.name)")


def column(page, name):
    """Visible cells of a column of the leaderboard."""
    return page.evaluate(
        """name => {
          const table = document.querySelector(".leaderboard");
          const head = [...table.tHead.rows[0].cells].find(cell => cell.textContent === name);
          const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
          return rows.map(row => row.cells[head.cellIndex].textContent);
        }""",
        name,
    )


def header(page, name):
    return page.locator(".leaderboard thead").get_by_role("button", name=name, exact=True)


def test_sort_by_war_and_back(visit, board):
    page = visit()
    published = [board.names[n] for n in board.order("war", 16) if not board.entries[n].own]
    assert [name for name in names(page) if name in published] == published
    assert published[0] == "EVA-02-CLIP-E/14+" and published[-1] == "RN50x4"
    head = page.locator(".leaderboard th[data-key=war-16]")
    assert head.get_attribute("aria-sort") == "descending"
    header(page, "WAR-16").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[0] == "RN50x4"
    assert column(page, "WAR-16")[0] == "11.9"
    assert column(page, "#")[0] == "69"
    header(page, "WAR-16").click()
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="OpenCLIP 8").click()
    page.get_by_role("button", name="EVA-CLIP 8").click()
    assert names(page)[0] == "EVA-02-CLIP-E/14+"
    assert column(page, "WAR-16")[0] == "40.3"


def test_every_order_is_that_of_the_scores(visit, board):
    page = visit()
    for metric, resolution in (("acc", 64), ("sar", 32), ("war", 128), ("acc", "hr")):
        label = str(resolution).upper()
        page.get_by_label(label, exact=True).check()
        if page.locator(f"th[data-key={metric}-{label.lower()}]").get_attribute("aria-sort") != "descending":
            header(page, f"{metric.upper()}-{label}").click()
        shown = names(page)
        scores = board.score(metric, resolution)
        assert scores[[board.find(name) for name in shown]].tolist() == sorted(scores, reverse=True)
        if len(set(scores)) == len(scores):
            assert shown == [board.names[number] for number in board.order(metric, resolution)]
        ranks = board.ranks(metric, resolution)
        assert column(page, "#") == [str(int(ranks[board.find(name)])) for name in shown]
        assert page.locator(".leaderboard caption").inner_text() == f"Percent, ranked by {metric.upper()}-{label}."


def test_acc_at_64_has_no_ties(board):
    assert len(set(board.score("acc", 64))) == len(board.entries)  # so that the order above is compared in full


def test_the_resolution_switch(visit):
    page = visit()
    heads = page.locator(".leaderboard th.r:visible")
    assert heads.all_inner_texts() == ["WAR-16", "SAR-16", "ACC-16"]
    page.get_by_label("128", exact=True).check()
    assert heads.all_inner_texts() == ["WAR-128", "SAR-128", "ACC-128"]
    assert page.locator("th[data-key=war-128]").get_attribute("aria-sort") == "descending"
    assert [float(value) for value in column(page, "WAR-128")] == sorted(
        map(float, column(page, "WAR-128")), reverse=True
    )
    page.get_by_label("all", exact=True).check()
    assert heads.count() == 15


def test_text_columns_and_missing_values(visit):
    page = visit()
    header(page, "Family").click()
    families = column(page, "Family")
    assert families[0] == "ALBEF"
    assert families[-1] == "–"  # the own model of no known family  # noqa: RUF001
    header(page, "Family").click()
    families = column(page, "Family")
    assert families[0] == "SigLIP"
    assert families[-1] == "–"  # noqa: RUF001
    within = [float(score) for score, family in zip(column(page, "WAR-16"), families, strict=True) if family == "CLIP"]
    assert within == sorted(within, reverse=True)  # the sort is stable


def test_sort_with_the_keyboard(visit, board):
    page = visit()
    header(page, "SAR-16").focus()
    page.keyboard.press("Enter")
    assert names(page)[0] == board.names[board.order("sar", 16)[0]]
    page.keyboard.press("Space")
    assert names(page)[0] == board.names[board.order("sar", 16)[-1]]


def test_filter_by_family(visit, board):
    page = visit()
    chip = page.get_by_role("button", name="CLIP 9", exact=True)
    chip.click()
    clip = {entry.name for entry in board.entries if entry.family == "CLIP"}
    assert set(names(page)) == clip
    assert page.locator("output").inner_text() == "9 of 69"
    assert chip.get_attribute("aria-pressed") == "true"
    lines = "lines => lines.map(line => line.dataset.name)"
    assert set(page.locator("#chart-mean-accuracy .series:visible").evaluate_all(lines)) == clip
    legend = page.locator(".legend-item[data-group=CLIP]")
    assert legend.get_attribute("aria-pressed") == "true"
    page.locator(".legend-item[data-group=ALBEF]").click()
    assert len(names(page)) == 13
    legend.click()
    assert set(names(page)) == {entry.name for entry in board.entries if entry.family == "ALBEF"}
    page.get_by_role("button", name="Show all").click()
    assert len(names(page)) == 69
    assert page.get_by_role("button", name="Show all").count() == 0
    page.get_by_role("button", name="your run 3").click()
    assert all("EVA02-B-16" in name or HOSTILE in name for name in names(page))
    assert page.locator("output").inner_text() == "3 of 69"


def test_search(visit):
    page = visit()
    search = page.get_by_role("searchbox")
    search.fill("metaclip 2.5b")
    assert len(names(page)) == 5
    assert all(name.startswith("MetaCLIP") and "(2.5B)" in name for name in names(page))
    assert page.locator("output").inner_text() == "5 of 69"
    search.fill("WebLI")
    assert len(names(page)) == 8
    assert page.locator("#chart-mean-accuracy .series:visible").count() == 8
    search.fill("no such model")
    assert names(page) == []
    assert page.get_by_text("No model matches.").is_visible()
    search.fill("")
    assert len(names(page)) == 69


def label_of(board, name, resolution):
    value = 100 * board.score("acc", resolution)[board.find(name)]
    return f"{name}\n{resolution} px: {value:.1f} %"


def test_a_tooltip_shows_the_data(visit, board):
    page = visit()
    page.get_by_role("button", name="ALBEF 4").click()
    series = page.locator("#chart-mean-accuracy .series[data-name='ALBEF (4M)']")
    point = series.locator(".point").nth(2)
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    tip = page.get_by_role("tooltip")
    assert tip.inner_text() == label_of(board, "ALBEF (4M)", 64)
    assert "on" in series.get_attribute("class").split()
    assert "dim" in page.locator(".series[data-name='RN50']").get_attribute("class").split()
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    assert page.locator("#chart-mean-accuracy .on, #chart-mean-accuracy .dim").count() == 0


def test_a_touch_shows_the_tooltip(visit, board):
    page = visit(size=(360, 740), has_touch=True)
    page.get_by_role("button", name="ALBEF 4").tap()
    point = page.locator("#chart-mean-accuracy .series[data-name='ALBEF (4M)'] .point").nth(1)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.get_by_role("tooltip")
    assert tip.inner_text() == label_of(board, "ALBEF (4M)", 32)
    tip_box = tip.bounding_box()
    assert tip_box["x"] >= 0 and tip_box["x"] + tip_box["width"] <= 360


def test_the_keyboard_walks_the_chart(visit, board):
    page = visit()
    page.get_by_role("button", name="ALBEF 4").click()
    points = page.locator("#chart-mean-accuracy .series:visible .point[tabindex='0']")
    assert points.count() == 1  # one stop for the whole chart
    series = page.locator("#chart-mean-accuracy .series[data-name='ALBEF (14M)']")
    series.locator(".point").first.focus()
    tip = page.get_by_role("tooltip")
    assert tip.inner_text() == label_of(board, "ALBEF (14M)", 16)
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() == label_of(board, "ALBEF (14M)", 32)
    page.keyboard.press("ArrowDown")
    assert tip.inner_text() == label_of(board, "ALBEF (4M)", 32)
    page.keyboard.press("ArrowLeft")
    assert tip.inner_text() == label_of(board, "ALBEF (4M)", 16)
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_to_a_model_and_a_data_set(visit, board):
    page = visit()
    page.get_by_role("link", name="EVA-02-CLIP-B/16", exact=True).click()
    rank = int(board.ranks("war", 16)[board.find("EVA-02-CLIP-B/16")])
    assert page.get_by_role("heading", level=1).inner_text() == "EVA-02-CLIP-B/16"
    assert f"Rank {rank} of 69 by WAR-16, with 30.7 %." in page.locator(".lead").inner_text()
    header = page.locator(".sortable thead").get_by_role("button", name="16 px")
    header.click()
    assert page.locator(".sortable tbody th").first.inner_text() == "Caltech101"
    page.locator(".steps a[rel=next]").click()
    assert f"Rank {rank + 1} of 69" in page.locator(".lead").inner_text()
    page.get_by_role("link", name="EuroSAT").click()
    assert page.get_by_role("heading", level=1).inner_text() == "EuroSAT"
    rows = page.locator(".sortable tbody tr")
    assert rows.count() == 69
    page.get_by_role("button", name="64 px", exact=True).click()
    values = [value.rstrip("†") for value in rows.locator("td:nth-child(5)").all_inner_texts()]
    at_64 = sorted(board.top1[:, board.datasets.index("eurosat"), 2], reverse=True)
    assert values == [f"{100 * value:.1f}" for value in at_64]
    page.locator(".legend-item[data-group=CLIP]").click()
    assert page.locator(".series:visible").count() == 9
    page.get_by_role("link", name="← Data sets").click()
    assert page.get_by_role("heading", name="Data sets").is_visible()


def test_a_hostile_name_is_text(visit):
    page = visit()
    link = page.locator("tr[data-group='your run'] a", has_text=HOSTILE)
    assert link.inner_text() == f"{HOSTILE} [vanilla]"
    point = page.locator(f'.series[data-name="{HOSTILE} [vanilla]"] .point').last
    point.focus()
    assert page.get_by_role("tooltip").inner_text() == f"{HOSTILE} [vanilla]\nHR: 70.0 %"
    assert page.locator("img").count() == 0
    link.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith(f"{HOSTILE} [vanilla]")
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    "path",
    ["index.html", "studies.html", "method.html", "models/albef-14m-plus-coco-finetuned.html", "datasets/dtd.html"],
)
def test_a_phone_does_not_scroll_sideways(visit, path):
    page = visit(path, size=(360, 740))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for one in page.locator("details").all():
        one.evaluate("one => { one.open = true; }")
    if path == "index.html":
        page.get_by_label("all", exact=True).check()
        table = page.locator(".scroll.tall")
        assert table.evaluate("one => one.scrollWidth > one.clientWidth")
        table.evaluate("one => { one.scrollLeft = 300; one.scrollTop = 400; }")
        frame = table.bounding_box()
        assert page.locator("thead .name").bounding_box()["x"] == pytest.approx(frame["x"], abs=1)
        assert page.locator("thead .name").bounding_box()["y"] == pytest.approx(frame["y"], abs=1)
        assert not page.locator("th.more").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def brightness(page, selector="body", what="backgroundColor"):
    colour = page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{what}")
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))


def test_dark_and_light(visit):
    page = visit(color_scheme="light")
    assert brightness(page) > 700 and brightness(page, what="color") < 200
    page.emulate_media(color_scheme="dark")
    assert brightness(page) < 120 and brightness(page, what="color") > 600
    assert brightness(page, ".leaderboard thead th") < 120


def contrast(page, selector):
    """Contrast of a text with the background behind it, by the formula of WCAG 2."""
    return page.locator(selector).first.evaluate(
        """one => {
          const parts = text => text.match(/[\\d.]+/g).map(Number);
          const light = text => parts(text).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const ink = getComputedStyle(one).color;
          let behind = one;
          while (parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
          const values = [light(ink), light(getComputedStyle(behind).backgroundColor)].sort((a, b) => b - a);
          return (values[0] + 0.05) / (values[1] + 0.05);
        }"""
    )


def test_contrast(visit):
    page = visit()
    page.get_by_role("button", name="CLIP 9", exact=True).click()
    page.get_by_role("button", name="your run 3").click()
    places = (
        ".lead", ".lead a", ".top a:not([aria-current])", "caption", "thead th button", "td.rank", "tbody th a",
        "tr.own th a", "tr.own .badge", "tr.own td.rank", "a.mark", ".note", ".chip[aria-pressed=true]",
        ".chip[aria-pressed=true] span", ".chip[aria-pressed=false] span", ".switch input:checked + span", "footer p",
        ".count",
    )  # fmt: skip
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector in places:
            assert contrast(page, selector) >= 4.5, (selector, scheme)
    page.goto(page.url.replace("index.html", "studies.html"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert contrast(page, ".verdict") >= 4.5


def test_paper_has_no_controls(visit):
    page = visit(color_scheme="dark")
    controls = page.locator(".controls, .top nav, .steps, .skip")
    assert controls.first.is_visible()
    page.emulate_media(media="print")
    assert not any(one.is_visible() for one in controls.all())
    assert brightness(page) == 3 * 255
    assert page.locator(".scroll.tall").evaluate("one => getComputedStyle(one).overflow") == "visible"
    assert page.locator(".leaderboard tbody tr:visible").count() == 69


def test_without_a_script(visit, board):
    page = visit(java_script_enabled=False)
    rows = page.locator(".leaderboard tbody tr")
    assert rows.count() == 69
    assert rows.nth(0).is_visible()
    assert rows.nth(0).locator("th").inner_text().startswith(board.names[board.order("war", 16)[0]])
    assert not page.get_by_role("searchbox").is_visible()
    assert page.get_by_role("columnheader", name="WAR-16").is_visible()
    page.locator("#res-64").check()  # the switch is plain CSS
    assert page.locator("th.r:visible").all_inner_texts() == ["WAR-64", "SAR-64", "ACC-64"]
    assert page.locator("#chart-mean-accuracy svg").is_visible()


def test_the_skip_link_and_visible_focus(visit):
    page = visit()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    assert skip.evaluate("one => one === document.activeElement")
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    header(page, "SAR-16").focus()
    page.keyboard.press("Shift+Tab")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_studies(visit):
    page = visit("studies.html")
    assert page.get_by_role("heading", name="Size", exact=True).is_visible()
    fold = page.locator("details")
    assert not fold.locator("table").is_visible()
    fold.locator("summary").click()
    fold.get_by_role("button", name="Value").click()
    assert fold.locator("tbody tr").first.inner_text().split() == ["model", "20", "20", "2.9"]
    assert page.locator(".verdict.contradicts").first.inner_text().endswith("contradicts")
    assert page.locator("figcaption").inner_text() == "Size & <b>WAR</b>"


def test_no_page_complains_or_leaves_names_behind(visit, report):
    page = visit("method.html")
    root = page.url.removesuffix("method.html")
    page.add_init_script("window.before = Object.keys(window)")
    some = [path for path in report if not path.startswith("models/")] + ["models/rn50.html"]
    for path in some:
        page.goto(root + path)
        assert page.evaluate("Object.keys(window).filter(name => !window.before.includes(name))") == ["before"]
