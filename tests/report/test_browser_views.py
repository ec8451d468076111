"""The looks of the report in Chromium: on a phone, in the dark, on paper, without a script."""

import pytest


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "leaderboard.html",
        "studies.html",
        "method.html",
        "models/albef-14m-plus-coco-finetuned.html",
        "datasets/dtd.html",
    ],
)
def test_a_phone_does_not_scroll_sideways(visit, path):
    page = visit(path, size=(360, 740))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for one in page.locator("details").all():
        one.evaluate("one => { one.open = true; }")
    if path == "leaderboard.html":
        page.get_by_label("all", exact=True).check()
        table = page.locator(".scroll.tall")
        assert table.evaluate("one => one.scrollWidth > one.clientWidth")
        table.evaluate("one => { one.scrollLeft = 300; one.scrollTop = 400; }")
        frame = table.bounding_box()
        assert page.locator("thead .name").bounding_box()["x"] == pytest.approx(frame["x"], abs=1)
        assert page.locator("thead .name").bounding_box()["y"] == pytest.approx(frame["y"], abs=1)
        assert not page.locator("th.more").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for chart in page.locator(".panels:visible").all():  # nor does a chart in its box, and its text can be read
        assert chart.evaluate("one => one.scrollWidth <= one.clientWidth")
        sizes = chart.evaluate(
            """one => [...one.querySelectorAll('text')].map(text => {
              const { a, b } = text.getScreenCTM(); // the name of the vertical axis is turned
              return Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize);
            })"""
        )
        assert min(sizes) >= 11


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_leaderboard_scrolls_with_the_page(visit, width):
    page = visit(size=(width, 740))
    frame = page.locator(".scroll.tall")
    assert frame.evaluate("one => getComputedStyle(one).overflowY") == "visible"
    last = page.locator(".leaderboard th[data-key=acc-16]").bounding_box()
    assert last["x"] + last["width"] <= width
    page.locator(".leaderboard tbody tr").nth(40).scroll_into_view_if_needed()
    assert page.locator(".leaderboard thead th.name").bounding_box()["y"] == pytest.approx(0, abs=1)


def test_heads_stand_above_their_numbers(visit):
    page = visit()
    for key in ("war-16", "sar-16"):
        head = page.locator(f"th[data-key={key}]")
        right = head.locator("button").evaluate(
            """one => {
              const text = document.createRange();
              text.selectNodeContents(one);
              return text.getBoundingClientRect().right;
            }"""
        )
        box = (
            page.locator(".leaderboard tbody tr").first.locator("td.s:visible").nth(int(key == "sar-16")).bounding_box()
        )
        padding = 10
        assert right == pytest.approx(box["x"] + box["width"] - padding, abs=0.6)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_captions_are_as_wide_as_what_is_seen(visit, width):
    page = visit("models/rn50.html", size=(width, 900))
    for caption in page.locator(".scroll caption").all():
        box, frame = caption.bounding_box(), caption.locator("xpath=ancestor::div[1]").bounding_box()
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 0.5


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
    page.goto(page.url.replace("leaderboard.html", "studies.html"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert contrast(page, ".verdict") >= 4.5


def test_paper_has_no_controls(visit):
    page = visit(color_scheme="dark")
    controls = page.locator(".controls, .top nav, .steps, .skip")
    controls.first.wait_for()
    page.emulate_media(media="print")
    assert not any(one.is_visible() for one in controls.all())
    assert brightness(page) == 3 * 255
    assert page.locator(".scroll.tall").evaluate("one => getComputedStyle(one).overflow") == "visible"
    assert page.locator(".leaderboard tbody tr:visible").count() == 69
    page.goto(page.url.replace("leaderboard.html", "studies.html"))
    assert page.locator("details tbody tr").last.bounding_box()["height"] > 0


def test_without_a_script(visit, board):
    page = visit(java_script_enabled=False)
    rows = page.locator(".leaderboard tbody tr")
    assert rows.count() == 69
    rows.nth(0).wait_for()
    assert rows.nth(0).locator("th").inner_text().startswith(board.names[board.order("war", 16)[0]])
    assert not page.get_by_role("searchbox").is_visible()
    assert page.get_by_role("columnheader", name="WAR-16").is_visible()
    page.locator("#res-64").check()  # the switch is plain CSS
    assert page.locator("th.r:visible").all_inner_texts() == ["WAR-64", "SAR-64", "ACC-64"]
    page.locator("#chart-mean-accuracy .single svg").wait_for()


def test_the_skip_link_and_visible_focus(visit):
    page = visit()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    assert skip.evaluate("one => one === document.activeElement")
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".leaderboard th[data-key=sar-16]").get_by_role("button").focus()
    page.keyboard.press("Shift+Tab")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_studies(visit):
    page = visit("studies.html")
    page.get_by_role("heading", name="Size", exact=True).wait_for()
    folds = page.locator("details")
    assert folds.count() == 2
    fold = folds.last
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
