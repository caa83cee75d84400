"""The comment on a pull request: one fact first, then what has changed, readable as plain text too.

Pure: it reads a comparison and a report, and returns text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.wording import change_text
from ..reports import comparison as words
from ..reports.columns import lines
from ..reports.words import completeness, counted, headline
from ..values import verdicts
from ..values.nodeids import name_of
from ..values.outcomes import BAD
from ..values.texts import cut, cut_middle, one_line
from ..verdicts.comparison import Comparison, Pair
from .safe import block, prose

KEY = re.compile(r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*")
"""What may stand in the marker: an HTML comment ends at two dashes."""

_LONGEST_KEY = 64
_MOST_BAD, _MOST_OTHER = 50, 20  # rows; a comment is read, a report is searched
_WIDEST = 70  # characters of a cell
_NUMBERS = frozenset({"A", "B", "CHANGE", "ALLOWED"})
_WIDTH = {"NOTE": 100}
_CLOSED = "\n</details>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Rows of one kind: those that are shown, of so many; an empty title is the first table's."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    count: int


def marker(key: str) -> str:
    """Return the line by which the comment is found again. Raises ValueError where the key cannot be in one."""
    if len(key) > _LONGEST_KEY or KEY.fullmatch(key) is None:
        raise ValueError(key)
    return f"<!-- gpupool-comment {key} -->"


def body(found: Comparison, report: Mapping[str, Any], *, key: str, title: str, sides: str, most: int) -> str:
    """Return the comment on a change, of at most so many characters as the forge counts them.

    Where there is no room for all rows the last ones are left out, and their number is told. ``title`` names the suite
    where there are several, ``sides`` says which runs were compared.
    """
    head = [marker(key), f"**{prose(f'{title}: ' if title else '')}{prose(fact(found))}.**"]
    if not report["run"]["complete"]:
        head.append(prose(completeness(report)))
    head.append(prose(f"{words.summary(found)}."))
    tables = [*_tables(found, report)]
    foot = [prose(text) for text in (*_names(found), sides)]
    kept = _fitting(head, tables, foot, most)
    text = _composed(head, tables, kept, foot)
    return text if length(text) <= most else _shortest(head, most)


def length(text: str) -> int:
    """Return how long a text is where forges count characters: those beyond the first plane of Unicode count twice."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def fact(found: Comparison) -> str:
    """Return the one thing to know: what has become worse, and what that has in common."""
    shared = words.shared(found)
    if shared:
        return shared[0]
    bad = [pair for pair in found.metrics if pair.verdict in ("regressed", verdicts.GONE, "invalid")]
    if bad:
        return _of_metrics(bad, len(found.metrics))
    worse = [one for one in found.outcomes if one.is_worse]
    if worse:
        worst = worse[0]
        more = f" and {len(worse) - 1} more" if len(worse) > 1 else ""
        tests = f"{counted(len(worse), 'test')} no longer good"
        return f"{tests}: {_short(worst.test)} is {worst.new}, was {worst.old}{more}"
    better = sum(pair.verdict == "improved" for pair in found.metrics)
    if not found.metrics:
        return "Nothing to compare: no metric is in both" if not found.outcomes else "No test has become worse"
    improved = f", {better} improved" if better else ""
    return f"Nothing regressed: {counted(len(found.metrics), 'metric')} compared{improved}"


def _of_metrics(bad: Sequence[Pair], count: int) -> str:
    first = bad[0]
    word = first.verdict
    alike = [pair for pair in bad if pair.verdict == word]
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    change = change_text(words.as_metric(first))
    told = f"{_short(first.test)} {_short(first.metric)}{f' ({change})' if change else ''}{more}"
    return f"{len(alike)} of {counted(count, 'metric')} {'is ' if word != 'regressed' else ''}{word}: {told}"


def _short(name: str) -> str:
    return cut_middle(one_line(name_of(name)), _WIDEST)


def _tables(found: Comparison, report: Mapping[str, Any]) -> Iterator[_Table]:
    """Yield what has become worse, then what else has changed."""
    for bad in (True, False):
        pairs = [pair for pair in found.metrics if pair.verdict != "ok" and (pair.verdict in verdicts.BAD) is bad]
        if pairs:
            most = _MOST_BAD if bad else _MOST_OTHER
            title = "" if bad else f"{counted(len(pairs), 'other metric')} changed or could not be compared"
            rows = [_cells(words.METRICS, words.metric_row(pair)) for pair in pairs[:most]]
            yield _Table(title=title, head=words.METRICS, rows=rows, count=len(pairs))
        if bad:
            yield from _failed(found, report)
    durations = [one for one in found.durations if words.is_noticeable(one)]
    if durations:
        title = f"{counted(len(durations), 'test')} took another time"
        rows = [_cells(words.DURATIONS, words.duration_row(one)) for one in durations[:_MOST_OTHER]]
        yield _Table(title=title, head=words.DURATIONS, rows=rows, count=len(durations))


def _failed(found: Comparison, report: Mapping[str, Any]) -> Iterator[_Table]:
    """Yield the tests that are not good any more, with what they say."""
    messages = {test["nodeid"]: test.get("message") for test in report["tests"] if test["outcome"] in BAD}
    worse = [one for one in found.outcomes if one.is_worse]
    if worse:
        head = ("OUTCOME", "TEST", "BEFORE", "NOTE")
        rows = [
            _cells(head, (one.new.upper(), one.test, one.old, headline(messages.get(one.test) or "")))
            for one in worse[:_MOST_BAD]
        ]
        yield _Table(title="", head=head, rows=rows, count=len(worse))


def _cells(head: Sequence[str], row: Sequence[str]) -> list[str]:
    return [cut_middle(one_line(cell), _WIDTH.get(name, _WIDEST)) for name, cell in zip(head, row, strict=True)]


def _names(found: Comparison) -> Iterator[str]:
    for names, what in ((found.gone, "gone"), (found.new, "new")):
        if names:
            yield f"{counted(len(names), 'test')} {what}, such as {_short(names[0])}."


def _fitting(head: Sequence[str], tables: Sequence[_Table], foot: Sequence[str], most: int) -> list[int]:
    """Return how many rows of each table there is room for, of the first ones rather."""
    kept = [len(table.rows) for table in tables]
    for place in reversed(range(len(tables))):
        while kept[place] and length(_composed(head, tables, kept, foot)) > most:
            kept[place] //= 2
    return kept


def _composed(head: Sequence[str], tables: Sequence[_Table], kept: Sequence[int], foot: Sequence[str]) -> str:
    shown = [_shown(table, count) for table, count in zip(tables, kept, strict=True)]
    return "\n\n".join([*head, *shown, *foot]) + "\n"


def _shown(table: _Table, kept: int) -> str:
    rows = table.rows[:kept]
    left = table.count - len(rows)
    told = [*lines([table.head, *rows], right=[name in _NUMBERS for name in table.head])] if rows else []
    told += [f"… and {left} more" if rows else f"{left} more, for which there is no room here"] if left else []
    text = block(told)
    return f"<details><summary>{table.title}</summary>\n\n{text}\n{_CLOSED}" if table.title else text


def _shortest(head: Sequence[str], most: int) -> str:
    """Return what fits where not even the names of tests do: no forge has so little room, a caller may."""
    return cut("\n\n".join(head), most)
