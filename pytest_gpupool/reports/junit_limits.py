"""What GitLab and Jenkins read of a JUnit file: the limits, and how a file that is too large is brought within them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, SubElement, parse, tostring

from ..records.store import write_whole

MOST_OBJECTS = 250_000
"""GitLab reads no file with more, and counts the elements; here attributes and texts count as well."""

MOST_BYTES = 30_000_000 - 1
"""GitLab reads no file of 30 MB."""

MOST_TEXT = 10_000_000 - 1
"""Bytes of one text or attribute: libxml2, with which GitLab reads, takes no 10 MB."""

_LONGEST_NAME = 200
VERDICTS = frozenset({"failure", "error", "skipped"})
"""Elements that say why a test did not pass."""

_OUTPUTS = frozenset({"system-out", "system-err"})
_METRICS = ("gpupool.metric.", "gpupool.verdict.")

# What XML cannot carry, and DEL, as pytest has it.
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Limits(NamedTuple):
    """How much a file may have: XML objects, bytes in all, and bytes of one text."""

    objects: int
    size: int
    text: int = MOST_TEXT

    def has_too_many(self, root: Element) -> bool:
        """Return whether there are too many objects."""
        objects = sum(1 + len(each.attrib) + bool(each.text) + bool(each.tail) for each in root.iter())
        return objects > self.objects

    def is_too_large(self, root: Element) -> bool:
        """Return whether the whole, or one text of it, has too many bytes. This takes much longer to find out."""
        size = len(xml(root).encode())
        return size > self.size or (size > self.text and _longest(root) > self.text)


class _Step(NamedTuple):
    """Something to leave out of a file that is too large. ``act`` returns how often it was there."""

    what: str
    act: Callable[[Element, str], int]
    fewer: bool = True  # whether it saves objects, and not only bytes


def fit(
    path: Path,
    pointer: str,
    *,
    most_objects: int = MOST_OBJECTS,
    most_bytes: int = MOST_BYTES,
    most_text: int = MOST_TEXT,
) -> str | None:
    """Bring a file that pytest's junitxml plugin wrote within the limits; return what to warn of, None if nothing.

    ``pointer`` names the place where all can be read, and stands in place of what is cut. Captured output is cut
    first, then messages, then properties go, those of passed tests first; no testcase does. A file that is not
    there, or is no JUnit file, is left alone. Raises OSError where it cannot be written.
    """
    path, limits = path.resolve(), Limits(most_objects, most_bytes, most_text)
    root = _parsed(path, smaller=min(limits))
    dropped = "" if root is None else shrink(root, _OF_PYTESTS, limits, legal(pointer))
    if root is None or not dropped:
        return None
    write_whole(path, xml(root))
    enough = ", and it still is" if limits.has_too_many(root) or limits.is_too_large(root) else ""
    return (
        f"the JUnit file {path} was larger than what CI servers read ({most_objects} XML objects, {most_bytes} bytes)"
        f"{enough}; it is without {dropped}; see {pointer}"
    )


def _parsed(path: Path, *, smaller: int) -> Element | None:
    """Return the file's tree; None where there is none, or where it has no more bytes than ``smaller``."""
    try:
        if not path.is_file() or path.stat().st_size <= smaller:  # every object has a byte at least
            return None
        root = parse(path).getroot()
    except (OSError, ParseError, ValueError, LookupError):  # the last two: an encoding that expat does not know
        return None
    return root if root.tag in ("testsuites", "testsuite") else None


def shrink(root: Element, steps: Sequence[_Step], limits: Limits, pointer: str) -> str:
    """Take steps until the tree is within the limits; return what was left out, which the suite then says as well."""
    dropped: dict[str, int] = {}
    for step in steps:
        too_many = limits.has_too_many(root)
        helps = (too_many and step.fewer) or limits.is_too_large(root)
        if not (too_many or helps):
            break
        if helps and (times := step.act(root, pointer)):
            dropped[step.what] = times
            _tell(root, _listed(dropped))
    return _listed(dropped)


def _listed(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({times})" for what, times in dropped.items())


def _tell(root: Element, dropped: str) -> None:
    suite = next(root.iter("testsuite"), root)
    properties = suite.find("properties")
    if properties is None:
        properties = Element("properties")
        suite.insert(0, properties)
    told = properties.find("property[@name='gpupool.dropped']")
    if told is None:
        told = SubElement(properties, "property", name="gpupool.dropped")
    told.set("value", dropped)


def cut_texts(root: Element, pointer: str, *, tags: frozenset[str], most: int) -> int:
    """Cut the middle out of what is longer in elements of these tags; return how often."""
    mark, times = f"\n… (cut to fit; see {pointer}) …\n", 0
    for element in root.iter():
        if element.tag in tags:
            told, text = element.get("message", ""), element.text or ""
            times += len(told) > most or len(text) > most
            if len(told) > most:
                element.set("message", _without_middle(told, most, mark))
            element.text = _without_middle(text, most, mark) or None
    return times


def _without_middle(text: str, most: int, mark: str) -> str:
    if len(text) <= most:
        return text
    half = max(0, most - len(mark)) // 2
    return f"{text[:half]}{mark}{text[len(text) - half :]}"  # a traceback's end says what went wrong


def _drop_properties(root: Element, _: str, *, names: tuple[str, ...] = ("",), passed: bool = False) -> int:
    times = 0
    for case in root.iter("testcase"):
        properties = case.find("properties")
        if properties is None or (passed and any(child.tag in VERDICTS for child in case)):
            continue
        kept = [each for each in properties if not each.get("name", "").startswith(names)]
        times += len(properties) - len(kept)
        properties[:] = kept
        if not kept:
            case.remove(properties)
    return times


def _bare(root: Element, _: str) -> int:
    for case in (cases := list(root.iter("testcase"))):
        attributes, verdicts = dict(case.attrib), [child for child in case if child.tag in VERDICTS]
        case.clear()
        case.attrib.update({key: attributes[key] for key in ("classname", "name") if key in attributes})
        case.extend(Element(each.tag, message=each.get("message", "")[:100]) for each in verdicts)
    return len(cases)


def _cut_names(root: Element, _: str) -> int:
    long = [case for case in root.iter("testcase") if len(case.get("name", "")) > _LONGEST_NAME]
    for case in long:
        name = case.get("name", "")
        case.set("name", f"{name[: _LONGEST_NAME - 14]}… {sha256(name.encode()).hexdigest()[:12]}")  # still its own
    return len(long)


def _cutting(what: str, tags: frozenset[str], *most: int) -> Iterator[_Step]:
    return (_Step(f"the middle of {what}", partial(cut_texts, tags=tags, most=each), fewer=False) for each in most)


_LAST = (
    _Step("properties", _drop_properties),
    _Step("all but the names and outcomes of tests", _bare),
    _Step("the end of long names", _cut_names, fewer=False),
)

OF_OURS = (
    _Step("metrics of passed tests", partial(_drop_properties, names=_METRICS, passed=True)),
    *_cutting("long messages", VERDICTS, 2_000, 500),
    _Step("metrics", partial(_drop_properties, names=_METRICS)),
    *_LAST,
)
"""What our own report goes without, one after the other, until it is within the limits."""

_OF_PYTESTS = (
    *_cutting("long captured output", _OUTPUTS, 1_000_000, 100_000, 8_000, 1_000),
    *_cutting("long messages", VERDICTS, 100_000, 8_000, 2_000, 500),
    _Step("properties of passed tests", partial(_drop_properties, passed=True)),
    *_LAST,
)


def legal(text: str) -> str:
    """Replace what XML cannot carry as pytest does: ``#x1B``."""
    return _ILLEGAL.sub(lambda match: f"#x{ord(match[0]):02X}", text)


def _longest(root: Element) -> int:
    return max(len(text.encode()) for each in root.iter() for text in (each.text or "", *each.attrib.values()))


def xml(root: Element) -> str:
    """Return a tree as the text of its file."""
    return f'<?xml version="1.0" encoding="utf-8"?>{tostring(root, encoding="unicode")}'
