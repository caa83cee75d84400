"""Pages made for tests from made reports, and what is in them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from made_reports import Report, a_report

from pytest_gpupool.reports.html.data import chunks
from pytest_gpupool.reports.html.document import render

VOID = ("meta", "link", "br")


class Parser(HTMLParser):
    """Makes a tree of a page; fails where a tag closes what is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("page")
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        element = self._open[-1]
        if len(element):
            element[-1].tail = (element[-1].tail or "") + data
        else:
            element.text = (element.text or "") + data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def page(*tests: Report, **run: object) -> Element:
    return parsed(render(a_report(*tests, **run)))


def parsed(text: str) -> Element:
    return Parser(text).root


def data(root: Element) -> dict[str, Any]:
    """What the script draws from."""
    (chunk,) = _chunks(root, "data")
    found: dict[str, Any] = chunk
    return found


def details(root: Element) -> list[dict[str, Any]]:
    """What the script shows where a test is unfolded, of each test in the order of the table."""
    return [test for chunk in _chunks(root, "details") for test in chunk]


def items(root: Element) -> list[list[Any]]:
    """The items of all tests, as the script shows them."""
    return [item for chunk in _chunks(root, "items") for item in chunk]


def _chunks(root: Element, block: str) -> list[Any]:
    element = root.find(f".//script[@id='{block}']")
    assert element is not None
    text = element.text or ""
    assert not set("<>&") & set(text)
    return [chunks.unpacked(chunk) for chunk in chunks.split(text)]
