"""What a JUnit file holds."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element


def cases(text: str) -> list[Element]:
    """The testcases of a JUnit file."""
    return list(ElementTree.fromstring(text.encode()).iter("testcase"))


def properties(holder: Element) -> dict[str, str]:
    return {str(each.get("name")): str(each.get("value")) for each in holder.findall("properties/property")}


def objects(text: str) -> int:
    """Elements, attributes and texts."""
    return sum(1 + len(each.attrib) + (each.text is not None) for each in ElementTree.fromstring(text.encode()).iter())


def addresses(text: str) -> list[tuple[str | None, str | None]]:
    return [(case.get("classname"), case.get("name")) for case in cases(text)]
