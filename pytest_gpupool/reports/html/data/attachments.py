"""Attachments on the page: small pictures and short texts in chunks, read when they are looked at; the rest is linked.

A picture's chunk is its file as base64, a text's one is packed as all others are.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

from ....records.beside.attachments import opened
from ....values.texts import cut_middle, one_line, size_text, visible
from . import chunks

PICTURE_MOST = 256 << 10
"""Bytes of a picture that is in the page."""

TEXT_MOST = 16 << 10
"""Bytes of a text that is."""

TOTAL_MOST = 8 << 20
"""Bytes of all of them together: tests that stand higher in the table have the first go."""

SHOWN = 100
"""Files that are named of one attempt."""

TEXT = "text"

_BEGINNINGS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_SVG = "image/svg+xml"
_HEAD = 16
_TEXTS = frozenset({"application/json", "application/yaml", "application/toml", "application/x-sh"})
_URL = re.compile(r"https?://[^\s\"'<>]{1,2000}")
_LONGEST_NAME = 200


class Shown(NamedTuple):
    """An attachment as the page has it; ``kind`` is a picture's type, or ``TEXT``, of what stands in a ``line``."""

    name: str
    said: str
    href: str | None = None
    kind: str = ""
    line: int = -1


class Group(NamedTuple):
    """What one attempt at a test, or one of its repeats, has kept, and how much more than is shown."""

    label: str
    files: Sequence[Shown]
    left: int


@dataclass(frozen=True, slots=True)
class Files:
    """Where what tests have kept lies: the ``folder`` is the run's directory, or one that has the same of it."""

    folder: Path
    link: Callable[[str], str]

    @classmethod
    def beside(cls, page: Path, folder: Path) -> Files:
        """Return those of a page that is a file: it links them by their way from there, as a browser takes it."""
        way = PurePath(os.path.relpath(folder, page.parent))  # of the names: browsers follow no links of folders
        return cls(folder, lambda name: link_to(way / name))


class Shelf:
    """The attachments of a report's tests, one test after the other; ``lines`` are the chunks of all so far."""

    def __init__(self, files: Files | None) -> None:
        self._files = files
        self._left = TOTAL_MOST
        self.lines: list[str] = []

    def of(self, test: Mapping[str, Any]) -> list[Group]:
        """Return what a test of a report has kept: its last attempt, then those before it, then each repeat."""
        seen: set[tuple[Any, Any]] = set()
        found = []
        for label, told in _told(test):
            new = [one for one in told if _key(one) not in seen]
            seen.update(map(_key, new))
            if new:
                found.append(Group(label, [*map(self._shown, new[:SHOWN])], max(0, len(new) - SHOWN)))
        return found

    def _shown(self, told: Mapping[str, Any]) -> Shown:
        name = cut_middle(one_line(str(told["name"])), _LONGEST_NAME)
        if "path" not in told:
            url = str(told.get("url") or "")
            said = "" if url == told["name"] else cut_middle(one_line(url), _LONGEST_NAME)
            return Shown(name, said, url if is_safe_url(url) else None)
        said, href, kind, line = _said(told), None, "", -1
        if self._files is None:
            return Shown(name, said)
        try:
            with opened(self._files.folder, told["path"]) as file:
                href = self._files.link(told["path"])
                kind, line = self._kept(file, str(told.get("media_type") or ""))
        except FileNotFoundError:
            said = f"{said}; it is no longer in the run's directory"
        except OSError as error:
            said = f"{said}; it cannot be read: {error.strerror or error}"
        return Shown(name, said, href, kind, line)

    def _kept(self, file: BinaryIO, media_type: str) -> tuple[str, int]:
        """Take a file into the page, where it may be; return what kind it is there, and its line."""
        size = os.fstat(file.fileno()).st_size
        if size > min(PICTURE_MOST, self._left):
            return "", -1
        head = file.read(_HEAD)
        kind = kind_of(head, media_type, size)
        content = head + file.read(size - len(head)) if kind else b""
        line = _line(kind, content)
        if line is None:
            return "", -1
        self._left -= len(content)
        self.lines.append(line)
        return kind, len(self.lines) - 1


def link_to(path: PurePath) -> str:
    """Return a path as an address has it, in which nothing of a file's name means anything."""
    return quote(os.fsencode(path))


def kind_of(head: bytes, media_type: str, size: int) -> str:
    """Return as what a file of so many bytes, that begin so, is shown in the page; nothing where it is only linked.

    What the file is called does not make it a picture; an SVG is only ever drawn as one, where it runs nothing.
    """
    picture = picture_of(head) or (_SVG if media_type == _SVG else "")
    if picture or not 0 < size <= TEXT_MOST:
        return picture if size <= PICTURE_MOST else ""
    return TEXT if is_text(media_type) else ""


def picture_of(head: bytes) -> str:
    """Return the media type of a picture of points that begins so, nothing for anything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), "")


def is_text(media_type: str) -> bool:
    """Say whether people read such a file as it is; HTML is not what they would see."""
    return (media_type.startswith("text/") and media_type != "text/html") or media_type in _TEXTS


def is_safe_url(url: str) -> bool:
    """Say whether a page may link it: a web address, in which nothing is hidden."""
    return _URL.fullmatch(url) is not None and visible(url) == url


def bytes_text(size: int) -> str:
    """Return ``17 B``, ``2.5 KiB``, ``61 MiB``."""
    if size < 1 << 10:
        return f"{size} B"
    return f"{size / (1 << 10):.1f} KiB" if size < 1 << 20 else size_text(size)


def _line(kind: str, content: bytes) -> str | None:
    if kind != TEXT:
        return base64.b64encode(content).decode("ascii") if kind else None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else chunks.packed(visible(text))


def _said(told: Mapping[str, Any]) -> str:
    size = told.get("size")
    kind = one_line(str(told.get("media_type") or ""))
    return ", ".join(filter(None, [kind, None if size is None else bytes_text(size)]))


def _told(test: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    yield "Attachments", test.get("attachments") or ()
    for one in reversed(test.get("attempts") or ()):
        yield f"Attachments of attempt {one['attempt']}", one.get("attachments") or ()
    for one in test.get("repeats") or ():
        yield f"Attachments of repeat #r{one['repeat']}", one.get("attachments") or ()


def _key(told: Mapping[str, Any]) -> tuple[Any, Any]:
    return told.get("path"), told.get("url")
