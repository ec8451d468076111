"""A report of the published models and three own runs, one of which has HTML for a name."""

import dataclasses
import shutil

import pytest

from lrjax.data.published import DATASETS, RESOLUTIONS
from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.leaderboard.board import add_runs, published_leaderboard
from lrjax.leaderboard.studies.study import Finding, Study
from lrjax.report.overview import Overview
from lrjax.report.page import pages
from lrjax.report.skipped import Skipped
from lrjax.results.row import Row

HOSTILE = "<img src=x onerror=alert(1)>"
ACCURACIES = {16: 0.25, 32: 0.45, 64: 0.55, 128: 0.65, "hr": 0.7}


def rows(model, variant, gain):
    return [
        Row(
            model=model,
            variant=variant,
            dataset=dataset,
            condition={"resolution": resolution},
            metric="acc1",
            value=ACCURACIES[resolution] + gain * (resolution != "hr"),
            n=100,
            key="k",
            config_hash="c",
            question="zeroshot",
            kind="zeroshot",
            question_version=1,
            seed=None,
            versions={},
            extra={"parameters": 149_691_137, "image_size": 224, "expected": 100},
        )
        for dataset in DATASETS
        for resolution in RESOLUTIONS
    ]


def own_runs(**parts):
    """An overview of a run of which only some parts are told."""
    systems = Table("Models and variants", "", ("Model", "Variant"), (("mine", "vanilla"),), 2)
    datasets = Table("Data sets of the run", "", ("Data set", "Images"), (("dtd", 100),), 1)
    return Overview(**{"title": "Your run: mine", "lead": "", "systems": systems, "datasets": datasets} | parts)


@pytest.fixture(scope="session")
def board():
    runs = [*rows("EVA02-B-16", "vanilla", 0), *rows("EVA02-B-16", "lr_tk0", 0.05), *rows(HOSTILE, "vanilla", -0.1)]
    return add_runs(published_leaderboard(), runs)


@pytest.fixture(scope="session")
def study():
    chart = Chart(
        name="size-and-war",
        title="Size & <b>WAR</b>",
        panels=[Panel(title="", series=[Series(name="a < b", x=[1, 2, 3], y=[3.0, 1.0, 2.0])])],
        x=Axis(label="x"),
        y=Axis(label="y"),
        alt="Three points.",
    )
    finding = Finding(
        claim="Larger models are more robust",
        source="abstract (i)",
        measure="Spearman correlation",
        value=0.723,
        low=0.5512,
        high=-0.834,
        n=66,
        verdict="contradicts",
        rule="the interval excludes 0",
    )
    lines = tuple((f"model {number}", number, number / 7) for number in range(21))
    short = Table("Short", "A caption.", ("Model", "Count", "Value"), (("RN50", 3, 1.25), ("cars", 4, None)), 1)
    long = Table("Long", "Another caption.", ("Model", "Count", "Value"), lines, 1)
    return Study(name="size", title="Size", text="What?", charts=(chart,), tables=(short, long), findings=(finding,))


@pytest.fixture(scope="session")
def report(board, study):
    table = Table("Runs", "Percent.", ("Model", "WAR"), ((HOSTILE, 1.0),), 1)
    return pages(
        board,
        studies=[study],
        overview=own_runs(
            title=f"Your run: {HOSTILE}",
            findings=[f"{HOSTILE} is 3.0 points above vanilla."],
            headline=[table],
            charts=[study.charts[0]],
            doubts=[f"{HOSTILE}: files that were not read: 3 .txt."],
            skipped=[Skipped("EVA02-B-16 [lr_tk0]", "dtd", ("banded/1.jpg", *(f"{i}.jpg" for i in range(300))))],
            facts=[("Command", f"python -m lrjax.main --config {HOSTILE}")],
            details=[dataclasses.replace(table, title="Details of the runs")],
        ),
        run_rows=Table("Rows", "Where from.", ("File", "Lines"), (("runs/results.jsonl", 225),), 1),
        versions={"numpy": "2.0", "jax": "0.10"},
        command="python -m lrjax.report html runs <x>",
    )


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")  # not for the session: its event loop would be in the way of others
def browser():
    reason = "the browser tests need playwright (pip install playwright)"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    if CHROMIUM is None:
        pytest.skip("the browser tests need the program chromium")
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

    def open_page(path="leaderboard.html", *, size=(1280, 900), **options):
        view = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=view, reduced_motion="reduce", **options)
        contexts.append(context)
        context.set_default_timeout(30_000)
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
