"""Pages of the documentation: which of their blocks are files, which are commands, and what these are to print.

CONTRIBUTING.md says how a page is written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

ANY = "…"
"""Stands in a page for what varies: in a line for any text of it, alone in a line for any number of lines."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
_DIRECTIVE = re.compile(r"^\{(?P<name>[\w-]+)\} *(?P<argument>.*)$")
_CAPTION = re.compile(r"^:caption: +(.+)$")
_COMMENT = re.compile(r"^<!-- (?P<key>file|quietly|not run|made|on|host): (?P<value>.*?)(?P<end> *-->)?$")
_STATUS = re.compile(r" +# exit status (\d+)$")

# What differs from run to run, and is shown in a page as it may look. Blanks and rules are as wide as they come to be.
_VARIES = (
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b"), "RUN"),
    (re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4,12})*…?"), "UUID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?"), "WHEN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\(\d+:\d\d:\d\d\)"), ""),
    (re.compile(r"\b\d+(\.\d+)? ?(µs|ms|s|min|h)\b( \d+ (s|min)\b)?"), "TIME"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"\bgw\d+\b"), "gwN"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b"), "HASH"),
    (re.compile(r"([=─_-])\1{3,}"), r"\1\1\1"),
    (re.compile(r"[ \t]+"), " "),
)


_NOISE = re.compile(
    r"^(platform linux|rootdir:|configfile:|testpaths:|plugins:|cachedir:|created:|bringing up nodes|initialized:"
    r"|\[gw\w+\] linux|gpupool: makespan |gpupool: locks |[.FEsxXR]* *(\[ *\d+%\])?$)"
)
"""Lines of which nobody learns anything, or that are there by chance: about pytest, and its progress."""


@dataclass(frozen=True, kw_only=True)
class File:
    """What a reader saves under a name."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a reader types, and what it is to print: lines ``first`` to before ``last`` of the page, from 0.

    Nothing is compared of one that is shown without output, but its exit status. ``on`` is the place that it is for, as
    ``doc_places.py`` has it, empty where that is the page's host.
    """

    text: str
    status: int
    expected: str
    first: int
    last: int
    on: str = ""


@dataclass(frozen=True, kw_only=True)
class Other:
    """A block that is no file and no command; ``why`` says why nothing of it can be run, empty where nobody has.

    ``made`` is the name of the example, see ``made_examples.py``, that it shows below a command or for itself.
    """

    language: str
    text: str
    line: int
    why: str
    made: str = ""

    @property
    def expected(self) -> str:
        """It without a command on top."""
        first, _, rest = self.text.partition("\n")
        return rest if first.startswith("$ ") else self.text


Part = File | Command | Other


@dataclass(frozen=True)
class Page:
    """A page."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root of the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def lines(self) -> list[str]:
        """What it has."""
        return self.path.read_text(encoding="utf-8").splitlines()

    @property
    def gpus(self) -> int:
        """How many GPUs the host has on which its commands run; as many as four where it does not say."""
        found = re.search(r"^<!-- host: (\d+|no) GPUs? -->$", "\n".join(self.lines), re.MULTILINE)
        return 4 if found is None else 0 if found[1] == "no" else int(found[1])

    @property
    def parts(self) -> list[Part]:
        """Its files and commands in the order in which a reader comes to them, and all other blocks."""
        return [*_Reader(self.lines).parts()]

    @property
    def commands(self) -> list[Command]:
        """The commands that are run."""
        return [part for part in self.parts if isinstance(part, Command)]

    def write(self, printed: list[tuple[Command, str]]) -> None:
        """Put into the page what commands of it have printed."""
        lines = self.lines
        for command, text in sorted(printed, key=lambda one: -one[0].first):
            shown = [line for line in text.rstrip("\n").split("\n") if not line or not _NOISE.match(line)]
            lines[command.first : command.last] = shown
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Reader:
    """Goes through a page once."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._name = self._why = self._on = self._made = ""

    def parts(self) -> Iterator[Part]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if comment := _COMMENT.match(line):
                yield from self._comment(comment)
            elif fence := _FENCE.match(line):
                yield from self._block(fence)
                self._name = self._why = self._on = self._made = ""
            self._at += 1

    def _comment(self, found: re.Match[str]) -> Iterator[Part]:
        key, value = found["key"], found["value"]
        inside = []
        if not found["end"]:
            self._at += 1
            while self._lines[self._at] != "-->":
                inside.append(self._lines[self._at])
                self._at += 1
        if key == "file" and inside:
            yield File(name=value, text="\n".join(inside) + "\n")
        elif key == "quietly":
            yield Command(text="\n".join([value, *inside]), status=0, expected="", first=self._at, last=self._at)
        elif key == "file":
            self._name = value
        elif key == "not run":
            self._why = value
        elif key == "made":
            self._made = value
        elif key == "on":
            self._on = value

    def _block(self, fence: re.Match[str]) -> Iterator[Part]:
        """Read a block to its end."""
        begin = self._at + 1
        indent = len(fence["indent"])
        while self._lines[self._at + 1].strip() != fence["ticks"]:
            self._at += 1
        self._at += 1
        language = fence["info"].strip()
        lines = [line[indent:] for line in self._lines[begin : self._at]]
        if directive := _DIRECTIVE.match(language):
            if directive["name"] != "code-block":
                return
            language, begin, lines = directive["argument"], *self._options(begin, lines)
        if self._why or self._made:
            yield Other(language=language, text="\n".join(lines), line=begin, why=self._why, made=self._made)
        elif self._name:
            yield File(name=self._name, text="\n".join(lines) + "\n")
        elif language == "console":
            yield from _commands(begin, lines, self._on)
        else:
            yield Other(language=language, text="\n".join(lines), line=begin, why="")

    def _options(self, begin: int, lines: list[str]) -> tuple[int, list[str]]:
        """Return where a directive's content begins, and that; its caption is the name of a file."""
        count = 0
        while count < len(lines) and (lines[count].startswith(":") or not lines[count].strip()):
            if caption := _CAPTION.match(lines[count]):
                self._name = caption[1]
            count += 1
        return begin + count, lines[count:]


def _commands(begin: int, lines: list[str], on: str) -> Iterator[Command]:
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {begin + 1}: a block of console begins with a command, '$ …'"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        after = start + 1
        while lines[after - 1].endswith("\\"):
            after += 1
        text = "\n".join([lines[start][2:], *lines[start + 1 : after]])
        status = _STATUS.search(text)
        expected = "\n".join(lines[after:end])
        yield Command(
            text=_STATUS.sub("", text),
            status=int(status[1]) if status else 0,
            expected=expected,
            first=begin + after,
            last=begin + end,
            on=on,
        )


def usual(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if not _NOISE.match(line))


def fits(expected: str, printed: str) -> bool:
    """Whether a command has printed what a page shows."""
    return _pattern(usual(expected)).fullmatch(usual(printed)) is not None


@cache
def _pattern(expected: str) -> re.Pattern[str]:
    return re.compile(
        "".join(
            r"(?:[^\n]*\n)*?" if line == f"{ANY}\n" else re.escape(line).replace(re.escape(ANY), r"[^\n]*?")
            for line in expected.splitlines(keepends=True)
        )
    )


def shows(expected: str, made: str) -> bool:
    """Whether a page shows an example to the letter, but for what it leaves out."""
    return _pattern(f"{expected}\n").fullmatch(made) is not None


def difference(expected: str, printed: str) -> str:
    """Return what differs, line by line: ``-`` is what the page shows, ``+`` what was printed."""
    return "".join(difflib.ndiff(usual(expected).splitlines(True), usual(printed).splitlines(True)))


def pages() -> list[Page]:
    """Return README and every page of the site."""
    return [Page(path) for path in (README, *sorted(DOCS.rglob("*.md")))]
