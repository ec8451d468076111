"""Reads pages: their elements, links and tables."""

import html
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "wbr", "br", "img"}


class Reader(HTMLParser):
    """Collects links, ids and elements of a page, and checks that elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.elements, self.open, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} closes another element at {self.getpos()}"

    def handle_data(self, data):
        self.text.append(data)


def plain(text):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", text.replace("<wbr>", "")))).strip()


def rows_of(text, marker):
    """Cells of the body of the first table after a marker, as plain text."""
    body = text[text.index(marker) :].split("<tbody>", 1)[1].split("</tbody>")[0]
    return [[plain(cell) for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", row, re.S)] for row in body.split("<tr")[1:]]
