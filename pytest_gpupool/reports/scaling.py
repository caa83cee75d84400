"""What 'gpupool scaling' measured: for a terminal, and as JSON for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..trends import speedup
from ..trends.speedup import Agreement, Difference, Point
from ..values.outcomes import BAD
from ..values.texts import cut
from . import columns
from .terminal.rows import name_text
from .words import counted, seconds_text

FORMAT = "gpupool-scaling"
VERSION = 1

_HEAD = ("N", "WORKERS", "TIME", "MAKESPAN", "SPEEDUP", "EFFICIENCY", "")
_RIGHT = (True, True, True, True, True, True, False)
_MOST_ROWS = 20
_MOST_NAMES = 3
_LONGEST_VALUE = 25
_LONG_WAIT = 1.0  # seconds

Reports = Mapping[int, Mapping[str, Any]]
"""The reports of the runs, by the number of workers asked for."""


def lines(points: Sequence[Point], same: Agreement, reports: Reports, *, verbose: bool) -> Iterator[str]:
    """Yield what a person reads: the table, what is to be known of it, and the metrics that differ."""
    yield from columns.lines([_HEAD, *map(_row, points)], right=_RIGHT)
    if any(point.grade is None for point in points):
        yield "gpupool: workers that share cores slow each other down: their speedup says nothing of GPUs"
    for note in (*_notes(points, reports), *_failures(reports)):
        yield f"gpupool: {note}"
    if len(reports) > 1 and same.compared + same.timed:
        yield from _metrics(same, verbose=verbose)


def plain(points: Sequence[Point], same: Agreement, statuses: Mapping[int, int]) -> dict[str, Any]:
    """Return what another program reads; ``statuses`` are the runs' exit statuses. Times are seconds.

    A run's ``class`` is null, and ``shared_cores`` how many there are, where its workers shared cores.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "runs": [_plain_run(point, statuses[point.timed.asked]) for point in points],
        "metrics": {
            "compared": same.compared,
            "timed": same.timed,
            "differing": [
                {"test": one.test, "metric": one.metric, "values": {str(n): value for n, value in one.values.items()}}
                for one in same.differing
            ],
        },
    }


def _plain_run(point: Point, status: int) -> dict[str, Any]:
    return {
        "n": point.timed.asked,
        "workers": point.timed.workers,
        "time_s": point.timed.time,
        "makespan_s": point.timed.makespan,
        "speedup": point.speedup,
        "efficiency": point.efficiency,
        "class": point.grade,
        "shared_cores": point.timed.shared_cores,
        "exit_status": status,
    }


def _row(point: Point) -> tuple[str, ...]:
    timed = point.timed
    times = seconds_text(timed.time), seconds_text(timed.makespan)
    return (
        str(timed.asked), str(timed.workers), *times, f"{point.speedup:.2f}", f"{point.efficiency:.0%}",
        "shares cores" if point.grade is None else point.grade,
    )  # fmt: skip


def _notes(points: Sequence[Point], reports: Reports) -> Iterator[str]:
    fewest = min(points, key=lambda point: point.timed.asked).timed
    if fewest.workers > 1:
        yield f"n={fewest.asked} is the fewest: its efficiency is taken for 100%, and the others are relative to it"
    for point in points:
        asked, workers = point.timed.asked, point.timed.workers
        if workers < asked:
            yield f"n={asked}: {counted(workers, 'worker')} ran, since no more devices are there, or came free"
        if idle := speedup.idle_of(reports[asked], asked):
            yield f"n={asked}: {idle} of {counted(workers, 'worker')} had no test to run"
        waits = [worker["lease_wait_s"] for worker in reports[asked]["workers"]]
        waited = min((wait for wait in waits if wait is not None), default=0)
        if waited >= _LONG_WAIT:
            yield f"n={asked}: {seconds_text(waited)} of the time went by until the first device came free"


def _failures(reports: Reports) -> Iterator[str]:
    failed: dict[str, list[int]] = {}
    for asked, report in reports.items():
        for test in report["tests"]:
            if test["outcome"] in BAD:
                failed.setdefault(test["nodeid"], []).append(asked)
    by_runs: dict[tuple[int, ...], list[str]] = {}
    for name, runs in failed.items():
        by_runs.setdefault(tuple(runs), []).append(name_text(name))
    for where_failed, names in by_runs.items():
        numbers = ", ".join(map(str, where_failed))
        where = "at every n" if len(where_failed) == len(reports) else f"at n={numbers} only"
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{counted(len(names), 'test')} failed {where}: {', '.join(names[:_MOST_NAMES])}{more}"


def _metrics(same: Agreement, *, verbose: bool) -> Iterator[str]:
    left_out = f"; {same.timed} of time or of a rate not compared" if same.timed else ""
    if not same.differing:
        yield f"gpupool: {counted(same.compared, 'metric')} equal at every n{left_out}"
        return
    yield f"gpupool: {len(same.differing)} of {counted(same.compared, 'metric')} DIFFER{left_out}"
    shown = same.differing if verbose else same.differing[:_MOST_ROWS]
    head = ("TEST", "METRIC", *(f"N={asked}" for asked in shown[0].values), "SPREAD")
    yield from columns.lines([head, *map(_differing, shown)], right=(False, False, *[True] * (len(head) - 2)))
    if len(shown) < len(same.differing):
        yield f"… and {len(same.differing) - len(shown)} more (-v shows all)"


def _differing(one: Difference) -> tuple[str, ...]:
    # All digits: they may differ in the last one only.
    values = ("–" if value is None else str(value) for value in one.values.values())
    spread = "" if one.spread == float("inf") else f"{one.spread:.2g}"
    return (name_text(one.test), name_text(one.metric), *(cut(value, _LONGEST_VALUE) for value in values), spread)
