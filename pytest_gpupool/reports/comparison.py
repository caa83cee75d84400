"""What 'gpupool compare' found: for a terminal, as Markdown, and as JSON for other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..commands import tables
from ..comparison import GONE, Changed, Comparison, Duration, Pair, Value
from ..wording import percent_text, value_text
from .markdown import escaped
from .terminal import MOST_ROWS, name_text
from .words import counted, cut, seconds_text

FORMAT = "gpupool-comparison"
VERSION = 1

_METRICS = ("VERDICT", "TEST", "METRIC", "A", "B", "CHANGE", "ALLOWED", "NOTE")
_OUTCOMES = ("OUTCOME", "TEST", "BEFORE")
_DURATIONS = ("DURATION", "TEST", "A", "B", "CHANGE")
_RIGHT = frozenset({"A", "B", "CHANGE", "ALLOWED"})
_NAMES = frozenset({"TEST", "METRIC"})

_BAD = frozenset({GONE, "invalid", "regressed"})  # all are shown, within what a comment on a change may hold
_MOST_BAD = 100
_LEAST_CHANGE, _LEAST_SECONDS = 0.1, 0.1  # of durations that are shown: below that it is the machine's noise
_MOST_NAMES = 3
_LONGEST_NAME = 200

Row = tuple[str, ...]


def text(comparison: Comparison, *, verbose: bool) -> Iterator[str]:
    """Yield lines for a terminal: metrics, outcomes and durations, each the worst first, and a summary.

    Without ``verbose`` so many rows of each verdict as the terminal's summary of a run has, but all that are bad, and
    the durations that changed noticeably.
    """
    for head, rows, left in _sections(comparison, verbose=verbose):
        shown = (tuple(map(name_text, row)) for row in rows)
        yield from tables.lines([head, *shown], right=[name in _RIGHT for name in head])
        yield from (f"… and {what} (-v shows all)" for what in left)
        yield ""
    yield from (f"gpupool: {line}" for line in _names(comparison, verbose=verbose))
    yield f"gpupool: {summary(comparison)}"


def markdown(comparison: Comparison, title: str, *, verbose: bool) -> Iterator[str]:
    """Yield lines of GitHub's Markdown, as for a comment on a change."""
    yield f"## gpupool: {escaped(title)}"
    yield ""
    yield escaped(f"{summary(comparison)}.")
    for head, rows, left in _sections(comparison, verbose=verbose, most_bad=_MOST_BAD):
        yield ""
        yield _line(name.capitalize() if len(name) > 1 else name for name in head)
        yield _line("---:" if name in _RIGHT else "---" for name in head)
        yield from (_line(map(_cell, head, row)) for row in rows)
        if left:
            yield ""
            yield f"… and {escaped(', '.join(left))}"
    for line in _names(comparison, verbose=verbose):
        yield ""
        yield escaped(f"{line}.")


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return what another program reads. Times are seconds, changes relative."""
    durations = [{**asdict(one), "change": one.change} for one in comparison.durations]
    makespan = comparison.makespan
    return {
        "format": FORMAT,
        "version": VERSION,
        "counts": comparison.counts,
        "metrics": [asdict(pair) for pair in comparison.metrics],
        "outcomes": [asdict(one) for one in comparison.outcomes],
        "durations": durations,
        "makespan": None if makespan is None else {"old": makespan.old, "new": makespan.new, "change": makespan.change},
        "gone": list(comparison.gone),
        "new": list(comparison.new),
    }


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
    change = _change(one.change, 0)
    return f"{seconds_text(one.old)} → {seconds_text(one.new)}{f' ({change})' if change else ''}"


def _sections(
    comparison: Comparison, *, verbose: bool, most_bad: int | None = None
) -> Iterator[tuple[Row, list[Row], list[str]]]:
    """Yield the tables that have rows: the head, the rows that are shown, and what of others is said."""
    limit = None if verbose else MOST_ROWS
    metrics: list[Row] = []
    left: list[str] = []
    for verdict, count in comparison.counts.items():
        pairs = [pair for pair in comparison.metrics if pair.verdict == verdict]
        shown = pairs[: most_bad if verdict in _BAD and not verbose else limit]
        metrics += map(_metric, shown)
        left += [f"{count - len(shown)} more that are {verdict}"] if len(shown) < count else []
    durations = [one for one in comparison.durations if verbose or _is_noticeable(one)]
    for head, rows, more in (
        (_METRICS, metrics, left),
        (_OUTCOMES, *_limited(comparison.outcomes, _outcome, limit)),
        (_DURATIONS, *_limited(durations, _duration, limit)),
    ):
        if rows:
            yield head, rows, more


def _limited(found: Sequence[Any], row: Callable[[Any], Row], limit: int | None) -> tuple[list[Row], list[str]]:
    left = 0 if limit is None else max(0, len(found) - limit)
    return [row(one) for one in found[:limit]], [f"{left} more"] if left else []


def _is_noticeable(one: Duration) -> bool:
    return (one.change is None or abs(one.change) >= _LEAST_CHANGE) and abs(one.new - one.old) >= _LEAST_SECONDS


def _metric(pair: Pair) -> Row:
    detectable = "" if pair.detectable is None else f"n={pair.n} shows {pair.detectable:.2g}"
    chance = "" if pair.p_value is None else f"p={pair.p_value:.2g}"
    return (
        pair.verdict if pair.verdict in ("ok", "improved") else pair.verdict.upper(),
        pair.test,
        pair.metric,
        _value(pair.old, pair.unit),
        _value(pair.new, pair.unit),
        _change(pair.change, 1),
        "" if pair.allowed is None else f"{pair.allowed:.3g}",
        "; ".join(filter(None, [pair.note, chance, detectable])),
    )


def _outcome(one: Changed) -> Row:
    return (one.new.upper() if one.is_worse else one.new, one.test, one.old)


def _duration(one: Duration) -> Row:
    times = seconds_text(one.old), seconds_text(one.new)
    return ("slower" if one.new > one.old else "faster", one.test, *times, _change(one.change, 0))


def _change(change: float | None, digits: int) -> str:
    return "" if change is None else percent_text(change, digits)


def _value(value: Value, unit: str) -> str:
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


def _cell(head: str, text: str) -> str:
    safe = escaped(cut(text, _LONGEST_NAME))
    return f"<code>{safe}</code>" if head in _NAMES else safe


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
