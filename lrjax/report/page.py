"""The report as HTML: pages that need nothing but a browser, not even a network."""

import base64
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from lrjax import __version__
from lrjax.data.published import load_published
from lrjax.display.charts import Chart, map_html, svg
from lrjax.display.charts.maps import Maps, Sheet
from lrjax.display.page import Page
from lrjax.display.tables import Estimate, Table, shown
from lrjax.leaderboard.board import METRICS, Leaderboard
from lrjax.leaderboard.completeness import MARK
from lrjax.leaderboard.studies import figures
from lrjax.leaderboard.studies.figures import dataset_title
from lrjax.leaderboard.studies.study import Study
from lrjax.report import page_parts
from lrjax.report.overview import Overview
from lrjax.report.page_datasets import dataset_page
from lrjax.report.page_leaderboard import leaderboard_page
from lrjax.report.page_models import model_page
from lrjax.report.page_parts import Site

if TYPE_CHECKING:
    import jinja2

LONG_TABLE = 20
"""Tables of own runs with more lines than this are folded."""
MANY_PANELS = 4
"""Further charts of own runs with more panels than this are folded."""
MOST_NAMES = 200
"""Damaged images of a data set that are named one by one."""


def pages(
    board: Leaderboard,
    *,
    studies: Sequence[Study],
    overview: Overview | None = None,
    run_rows: Table | None = None,
    questions: Sequence[Page] = (),
    versions: Mapping[str, str],
    command: str,
    plots: bool = True,
) -> dict[str, str]:
    """Writes the whole report as self-contained pages; equal input gives equal bytes.

    Args:
        board: published models and own runs.
        studies: the answers of the studies, in the order of the report; without any there is no page of them.
        overview: of the user's own runs, for the front page; without it that is the leaderboard.
        run_rows: where the rows of the own runs come from; None without own runs.
        questions: pages of their own.
        versions: of the packages that made the numbers, by name.
        command: the command line that made the report.
        plots: whether the charts of the studies are there as `studies/CHART.png`, to be linked.

    Returns:
        HTML text by relative path: index.html, with an overview leaderboard.html, studies.html, method.html,
        models/SLUG.html, datasets/NAME.html, and NAME.html of each question.
    """
    site, front = Site(board), None if overview is None else _titled(overview)
    board_page = "index.html" if overview is None else "leaderboard.html"
    environment = _environment(site)

    def render(template: str, root: str, **content: Any) -> str:
        text = environment.get_template(template).render(
            root=root,
            board=board,
            board_page=board_page,
            overview=front,
            site=site,
            with_studies=bool(studies),
            questions=questions,
            **content,
        )
        return page_parts.keep_units(text)

    found = {
        board_page: render("leaderboard.html.j2", "", **leaderboard_page(site)),
        "method.html": render("method.html.j2", "", run_rows=run_rows, versions=versions, command=command, **_method()),
    }
    if overview is not None:
        found["index.html"] = render("overview.html.j2", "")
    if studies:
        found["studies.html"] = render("studies.html.j2", "", studies=studies, verdicts=_verdicts(studies), plots=plots)
    for one in questions:
        found[f"{one.name}.html"] = render("page.html.j2", "", content=one)
    for number, name in enumerate(board.names):
        own = [one for one in (overview.skipped if overview else ()) if one.entry == name.removesuffix(f" {MARK}")]
        found[site.links[name]] = render("model.html.j2", "../", skipped=own, **model_page(site, number))
    for column, name in enumerate(board.datasets):
        found[f"datasets/{name}.html"] = render(
            "dataset.html.j2", "../", sections=_sections(questions, name), **dataset_page(site, column)
        )
    return found


def _environment(site: Site) -> "jinja2.Environment":
    import jinja2  # here, because only the pages need it
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrjax.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = re.sub(r"\n\s+", "\n", _asset("page.js"))  # it is on every page
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup(_compact(svg.STYLE + _asset("style.css"))),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
        "version": __version__,
        "source": load_published().provenance,
        "metrics": METRICS,
        "resolutions": site.board.resolutions,
        "links": site.links,
        "titles": {name: dataset_title(name) for name in site.board.datasets},
        "long_table": LONG_TABLE,
        "many_panels": MANY_PANELS,
        "most_names": MOST_NAMES,
        "draw": lambda block: Markup(_drawn(block)),
        "map_style": Markup(_compact(map_html.STYLE)),
    }
    environment.filters |= {
        name: getattr(page_parts, name)
        for name in ("percent", "plain", "magnitude", "gigaflops", "quantity", "pixels", "cell", "label_widths")
    }
    environment.filters["breakable"] = lambda text: Markup(page_parts.breakable(text))
    environment.filters |= {"shown": shown, "label": figures.shown}
    environment.tests["real"] = lambda value: isinstance(value, float)
    environment.tests["table"] = lambda value: isinstance(value, Table)
    environment.tests["estimate"] = lambda value: isinstance(value, Estimate)
    return environment


def _drawn(block: Chart | Maps | Sheet) -> str:
    if isinstance(block, Chart):
        return svg.draw(block)
    return map_html.draw_maps(block) if isinstance(block, Maps) else map_html.draw_sheet(block)


def _asset(name: str) -> str:
    text = resources.files("lrjax.report").joinpath("templates", name).read_text(encoding="utf-8")
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def _compact(style: str) -> str:
    return re.sub(r"\s*([{};,>]|:(?=\s))\s*", r"\1", style).replace(";}", "}")  # it is on every page


def _sections(questions: Sequence[Page], dataset: str) -> list[tuple[str, str]]:
    """The sections of pages that are headed by a data set: how links call their page, and where they are."""
    return [
        (one.label, f"{one.name}.html#{section.name}")
        for one in questions
        for section in one.sections
        if section.title == dataset_title(dataset)
    ]


def _titled(overview: Overview) -> Overview:
    """Panels of data sets are headed by their usual names, as everywhere on the pages."""

    def titled(chart: Chart) -> Chart:
        panels = [dataclasses.replace(panel, title=dataset_title(panel.title)) for panel in chart.panels]
        return dataclasses.replace(chart, panels=panels)

    charts, more = ([titled(chart) for chart in each] for each in (overview.charts, overview.more_charts))
    return dataclasses.replace(overview, charts=charts, more_charts=more)


def _verdicts(studies: Sequence[Study]) -> Mapping[str, int]:
    found = [finding.verdict for study in studies for finding in study.findings]
    return {verdict: found.count(verdict) for verdict in ("supports", "contradicts", "undecided")}


def _method() -> Mapping[str, Any]:
    published = load_published()
    return {
        "published": published,
        "resized": [model for model in published.models if not model.native_hr],
        "suspects": [
            (model, dataset, resolution, reason) for (model, dataset, resolution), reason in published.suspects.items()
        ],
    }
