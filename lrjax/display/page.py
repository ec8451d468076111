"""A page: what a question has to show, apart from where it is shown."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

from lrjax.display.charts import Chart
from lrjax.display.charts.maps import Maps, Sheet
from lrjax.display.tables import Table, print_tables

_LOG = logging.getLogger(__name__)

Block = str | Table | Chart | Maps | Sheet
"""A part of a section; a text is a paragraph."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        name: its HTML id.
        title: heading.
        blocks: what it shows, in order.
        notice: what is missing from it; "" for nothing.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    notice: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What a question shows of its results.

    Attributes:
        name: stem of its file.
        label: what links call it.
        title: heading.
        lead: what was asked, in a few sentences.
        teaser: one sentence for the front page, of which `title` or `label` is the link.
        sections: in order.
        headline: what stands for it on the front page and on a terminal, where there is room for little; no maps and
            sheets.
        tables: those that a terminal prints when asked for all, and that are written as files, by the stem of the file.
        notice: what is missing; "" for nothing.
        hint: what a terminal says behind the tables; "" for nothing.
    """

    name: str
    label: str
    title: str
    lead: str
    teaser: str
    sections: Sequence[Section]
    headline: Sequence[str | Table | Chart] = ()
    tables: Mapping[str, Table] = dataclasses.field(default_factory=dict)
    notice: str = ""
    hint: str = ""


def print_pages(pages: Sequence[Page], *, full: bool = False) -> None:
    """Prints the headlines of pages on a terminal.

    Args:
        pages: the pages.
        full: whether to print all their tables instead; those of a page without a headline are printed always.
    """
    for page in pages:
        headline = [block for block in page.headline if isinstance(block, Table)]
        print_tables(list(page.tables.values()) if full or not headline else headline)
        if page.hint:
            _LOG.info("%s", page.hint)
