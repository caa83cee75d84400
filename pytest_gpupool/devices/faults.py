"""Faults: how a failure's text tells of an error after which a process can use its device no more. Pure.

Which errors these are, each vendor's own room says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MARKED = re.compile(r"^E .*(?:\nE .*)*", re.MULTILINE)
_ASSERTED = re.compile(r"E +(?:assert |AssertionError\b|Failed\b)")
_MET = re.compile(r"E +(?:Actual message|Input): ")  # what pytest.raises met in place of what its match expected


@dataclass(frozen=True, slots=True)
class Faults:
    """Such errors of one vendor: patterns of their names, and of words that are theirs after ``speaker`` on a line."""

    names: re.Pattern[str]
    words: re.Pattern[str]
    speaker: re.Pattern[str]
    hint: str
    """What every name begins with, looked for first: most texts have none."""

    @classmethod
    def of(cls, names: Iterable[str], words: Iterable[str], *, speaker: str, hint: str) -> Faults:
        """Make it of plain names and words, and of a pattern of who speaks."""
        return cls(
            re.compile("|".join(rf"\b{name}\b" for name in names)),
            re.compile("|".join(map(re.escape, words))),
            re.compile(speaker),
            hint,
        )

    def find(self, text: str) -> str | None:
        """Return the first such error that a failure's text tells of, None where there is none."""
        if not self.speaker.search(text) and self.hint not in text:
            return None
        for line in _lines_of_errors(text):
            if match := self.names.search(line):
                return match.group()
            if (speaker := self.speaker.search(line)) and (match := self.words.search(line, speaker.end())):
                return match.group()
        return None


def _lines_of_errors(text: str) -> Iterator[str]:
    """Yield the lines in which a vendor may speak.

    Where pytest has marked the lines of exceptions, the others are source. An assertion's words are the test's: what
    it expected, or what another process wrote.
    """
    for block in _MARKED.findall(text) or [text]:
        lines = block.splitlines()
        yield from filter(_MET.match, lines) if _ASSERTED.match(block) else lines
