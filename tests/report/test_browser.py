"""The pages in a real browser: what sorts, filters and shows, and that nothing leaves the page."""

HOSTILE = "<img src=x onerror=alert(1)>"


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
    page.get_by_text("No model matches.").wait_for()
    search.fill("")
    assert len(names(page)) == 69


def label_of(board, name, resolution):
    value = 100 * board.score("acc", resolution)[board.find(name)]
    return f"{name}\n{resolution} px: {value:.1f}\N{NO-BREAK SPACE}%"


def test_a_tooltip_shows_the_data(visit, board):
    page = visit()
    page.get_by_role("button", name="ALBEF 4").click()
    series = page.locator("#chart-mean-accuracy .single .series[data-name='ALBEF (4M)']")
    point = series.locator(".point").nth(2)
    point.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # a scroll hides it
    point.hover(force=True)
    tip = page.get_by_role("tooltip")
    assert tip.inner_text() == label_of(board, "ALBEF (4M)", 64)
    assert "on" in series.get_attribute("class").split()
    assert "dim" in page.locator(".single .series[data-name='RN50']").get_attribute("class").split()
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    assert page.locator("#chart-mean-accuracy .on, #chart-mean-accuracy .dim").count() == 0


def test_a_touch_shows_the_tooltip(visit, board):
    page = visit(size=(360, 740), has_touch=True)
    page.get_by_role("button", name="ALBEF 4").tap()
    point = page.locator("#chart-mean-accuracy .narrow .series[data-name='ALBEF (4M)'] .point").nth(1)
    point.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # a scroll hides it
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
    series = page.locator("#chart-mean-accuracy .single .series[data-name='ALBEF (14M)']")
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
    assert f"Rank {rank} of 69 by WAR-16, with 30.7\N{NO-BREAK SPACE}%." in page.locator(".lead").inner_text()
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
    page.get_by_role("heading", name="Data sets").wait_for()


def test_a_hostile_name_is_text(visit):
    page = visit()
    link = page.locator("tr[data-group='your run'] a", has_text=HOSTILE)
    assert link.inner_text() == f"{HOSTILE} [vanilla]"
    point = page.locator(f'.single .series[data-name="{HOSTILE} [vanilla]"] .point').last
    point.focus()
    assert page.get_by_role("tooltip").inner_text() == f"{HOSTILE} [vanilla]\nHR: 70.0\N{NO-BREAK SPACE}%"
    assert page.locator("img").count() == 0
    link.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith(f"{HOSTILE} [vanilla]")
    assert page.locator("img").count() == 0
