"""What 'gpupool compare' found: for a terminal, as Markdown, and as JSON for other programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..metrics.wording import (
    allowed_text,
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    percent_text,
    shows_text,
    value_text,
)
from ..values import verdicts
from ..values.texts import cut, one_line
from ..verdicts.comparison import Comparison, Duration, OutcomeChange, Pair, Value
from . import columns
from .markdown import escaped
from .terminal.rows import MOST_ROWS, name_text
from .words import counted, seconds_text, shared_texts, verb

FORMAT = "gpupool-comparison"
VERSION = 1

MOST_CHARACTERS = 65_536
"""GitHub takes no longer comment."""

METRICS = ("VERDICT", "TEST", "METRIC", "A", "B", "CHANGE", "ALLOWED", "NOTE")
_OUTCOMES = ("OUTCOME", "TEST", "BEFORE")
DURATIONS = ("DURATION", "TEST", "A", "B", "CHANGE")
_RIGHT = frozenset({"A", "B", "CHANGE", "ALLOWED"})
_NAMES = frozenset({"TEST", "METRIC"})

_BAD = frozenset(verdicts.BAD)  # all are shown, in a comment on a change the first of each
_MOST_BAD = 100
_LEAST_CHANGE, _LEAST_SECONDS = 0.1, 0.1  # of durations that are shown: below that it is the machine's noise
_MOST_NAMES = 3
_LONGEST_NAME = 200

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """Rows of one kind under a head, the worst first: those that are shown, of so many.

    Where there is no room for all, those of a lower rank are kept rather.
    """

    head: Row
    rank: int
    what: str
    rows: Sequence[Row]
    count: int


_Section = Sequence[_Group]
"""What one table has: at least one group with rows."""


def text(comparison: Comparison, *, verbose: bool) -> Iterator[str]:
    """Yield lines for a terminal: what failures share, then metrics, outcomes and durations, each the worst first.

    A summary comes last.

    Without ``verbose`` so many rows of each verdict as the terminal's summary of a run has, but all that are bad, and
    the durations that changed noticeably.
    """
    yield from (f"gpupool: {one_line(line)}" for line in shared(comparison))
    for section in _sections(comparison, verbose=verbose):
        head, shown = section[0].head, (tuple(map(name_text, row)) for group in section for row in group.rows)
        yield from columns.lines([head, *shown], right=[name in _RIGHT for name in head])
        yield from (f"… and {what} (-v shows all)" for what in _left(section))
        yield ""
    yield from (f"gpupool: {line}" for line in _names(comparison, verbose=verbose))
    yield f"gpupool: {summary(comparison)}"


def markdown(comparison: Comparison, title: str, *, verbose: bool) -> Iterator[str]:
    """Yield lines of GitHub's Markdown, for a comment on a change: up to :data:`MOST_CHARACTERS`.

    Where there is no room for all rows, the least important ones are left out, and their number is told.
    """
    head = [f"## gpupool: {escaped(title)}", "", escaped(f"{summary(comparison)}.")]
    head += [part for line in shared(comparison) for part in ("", f"**{escaped(one_line(line))}.**")]
    names = _escaped_names(comparison, verbose=verbose)
    if _length(names) > MOST_CHARACTERS // 2:
        names = _escaped_names(comparison, verbose=False)
    sections = list(_sections(comparison, verbose=verbose, most_bad=_MOST_BAD))
    # What is told of rows that are left out is longest where all are.
    least = [*head, *_tables(_fitting(sections, 0)), *names]
    yield from head
    yield from _tables(_fitting(sections, MOST_CHARACTERS - _length(least)))
    yield from names


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return what another program reads. Times are seconds, changes relative."""
    durations = [{**asdict(one), "change": one.change} for one in comparison.durations]
    makespan = comparison.makespan
    return {
        "format": FORMAT,
        "version": VERSION,
        "counts": comparison.counts,
        "shared": shared(comparison),
        "metrics": [asdict(pair) for pair in comparison.metrics],
        "outcomes": [asdict(one) for one in comparison.outcomes],
        "durations": durations,
        "makespan": None if makespan is None else {"old": makespan.old, "new": makespan.new, "change": makespan.change},
        "gone": list(comparison.gone),
        "new": list(comparison.new),
    }


def shared(comparison: Comparison) -> list[str]:
    """Return what failures share, as a run says it: of metrics, and of tests that are not good any more."""
    metrics: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for pair in comparison.metrics:
        metrics[pair.test].append({"name": pair.metric, "verdict": pair.verdict})
    worse = {one.test: one.new for one in comparison.outcomes if one.is_worse}
    names = dict.fromkeys((*comparison.params, *metrics))
    return shared_texts((comparison.params.get(name, {}), worse.get(name, "passed"), metrics[name]) for name in names)


def summary(comparison: Comparison) -> str:
    """Return ``12 metrics: 1 regressed, 2 improved, 9 ok; durations: 3.20 s → 3.40 s (+6%)``."""
    counts = ", ".join(f"{count} {concern}" for concern, count in comparison.counts.items())
    parts = [f"{counted(len(comparison.metrics), 'metric')}: {counts}" if counts else "no metrics"]
    worse = sum(one.is_worse for one in comparison.outcomes)
    if worse:
        parts.append(f"{counted(worse, 'test')} no longer good")
    parts += [
        f"{name}: {_times(one)}"
        for name, one in (("durations", comparison.total), ("makespan", comparison.makespan))
        if one is not None
    ]
    return "; ".join(parts)


def _times(one: Duration) -> str:
    change = percent(one.change)
    return f"{seconds_text(one.old)} → {seconds_text(one.new)}{f' ({change})' if change else ''}"


def _sections(comparison: Comparison, *, verbose: bool, most_bad: int | None = None) -> Iterator[_Section]:
    """Yield the tables that have rows."""
    limit = None if verbose else MOST_ROWS
    metrics = []
    for verdict in comparison.counts:
        pairs = [pair for pair in comparison.metrics if pair.verdict == verdict]
        most = most_bad if verdict in _BAD and not verbose else limit
        rank = 0 if verdict in _BAD else 4 if verdict in verdicts.GOOD else 2
        metrics.append(_group(METRICS, rank, pairs, metric_row, most, f" that are {verdict}"))
    durations = [one for one in comparison.durations if verbose or is_noticeable(one)]
    if metrics:
        yield metrics
    if comparison.outcomes:
        yield [_group(_OUTCOMES, 1, comparison.outcomes, _outcome, limit)]
    if durations:
        yield [_group(DURATIONS, 3, durations, duration_row, limit)]


def _group(
    head: Row, rank: int, found: Sequence[Any], row: Callable[[Any], Row], limit: int | None, what: str = ""
) -> _Group:
    return _Group(head=head, rank=rank, what=what, rows=[row(one) for one in found[:limit]], count=len(found))


def _fitting(sections: Sequence[_Section], free: int) -> list[_Section]:
    """Return the tables with as many of their rows as fit into so many characters of Markdown."""
    kept: Counter[_Group] = Counter()
    ranked = sorted((group for section in sections for group in section), key=lambda group: group.rank)
    for group, row in ((each, row) for each in ranked for row in each.rows):
        free -= len(_markdown_row(group, row)) + 1
        if free < 0:
            break
        kept[group] += 1
    return [[replace(group, rows=group.rows[: kept[group]]) for group in section] for section in sections]


def _tables(sections: Iterable[_Section]) -> Iterator[str]:
    for section in sections:
        head = section[0].head
        yield ""
        yield _line(name.capitalize() if len(name) > 1 else name for name in head)
        yield _line("---:" if name in _RIGHT else "---" for name in head)
        yield from (_markdown_row(group, row) for group in section for row in group.rows)
        if left := _left(section):
            yield ""
            yield f"… and {escaped(', '.join(left))}"


def _left(section: _Section) -> list[str]:
    """Return in words what a table does not show."""
    left = ((group.count - len(group.rows), group.what) for group in section)
    return [f"{count} more{what.replace(' are ', verb(count, ' is ', ' are '))}" for count, what in left if count]


def _length(lines: Iterable[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def is_noticeable(one: Duration) -> bool:
    """Return whether a duration has changed by more than the noise of a machine."""
    return (one.change is None or abs(one.change) >= _LEAST_CHANGE) and abs(one.new - one.old) >= _LEAST_SECONDS


def metric_row(pair: Pair) -> Row:
    """Return a metric as a row under :data:`METRICS`."""
    known = as_metric(pair)
    p_value = chance_text(known)
    told = (interval_text(known), p_value, n_text(known) if p_value else "", cohort_text(known), shows_text(known))
    return (
        pair.verdict if pair.verdict in verdicts.GOOD else pair.verdict.upper(),
        pair.test,
        pair.metric,
        side_text(pair.old, pair.unit),
        side_text(pair.new, pair.unit),
        change_text(known),
        allowed_text(known),
        "; ".join(filter(None, [pair.note, *told])),
    )


def as_metric(pair: Pair) -> dict[str, Any]:
    """Return a pair as a metric with a baseline, which :mod:`wording` knows how to put into words."""
    names = (
        "kind",
        "unit",
        "n",
        "change",
        "allowed",
        "atol",
        "interval",
        "cohort",
        "detectable",
        "detectable_alone",
        "higher_is_better",
    )
    known: dict[str, Any] = {name: getattr(pair, name) for name in names} | {"p": pair.p_value}
    old, new = (None if isinstance(value, str) else value for value in (pair.old, pair.new))
    return known | {"value": new, "baseline": old}


def _outcome(one: OutcomeChange) -> Row:
    return (one.new.upper() if one.is_worse else one.new, one.test, one.old)


def duration_row(one: Duration) -> Row:
    """Return a duration as a row under :data:`DURATIONS`."""
    times = seconds_text(one.old), seconds_text(one.new)
    return ("slower" if one.new > one.old else "faster", one.test, *times, percent(one.change))


def percent(change: float | None) -> str:
    """Return the relative change of a duration, nothing where it is not known."""
    return "" if change is None else percent_text(change, 0)


def side_text(value: Value, unit: str) -> str:
    """Return the value that one of the two has."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return value_text({"value": value, "unit": unit})


def _names(comparison: Comparison, *, verbose: bool) -> Iterator[str]:
    for names, where in ((comparison.gone, "A"), (comparison.new, "B")):
        if names:
            shown = names if verbose else names[:_MOST_NAMES]
            more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
            yield f"{counted(len(names), 'test')} only in {where}: {', '.join(map(name_text, shown))}{more}"


def _escaped_names(comparison: Comparison, *, verbose: bool) -> list[str]:
    return [line for told in _names(comparison, verbose=verbose) for line in ("", escaped(f"{told}."))]


def _markdown_row(group: _Group, row: Row) -> str:
    return _line(map(_cell, group.head, row))


def _cell(head: str, text: str) -> str:
    safe = escaped(cut(text, _LONGEST_NAME))
    return f"<code>{safe}</code>" if head in _NAMES else safe


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
