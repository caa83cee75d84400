"""The terminal's summary: metrics, worst first, and how well the devices were used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..model import duration_text
from ..result import TestResult
from ..results import Results
from .json import summary

MOST_ROWS = 20
"""Rows of metrics that are shown without ``-v``."""

WIDEST = 80
"""Characters of a test's or a metric's name that are shown."""

_FINE = ("passed", "xpassed")


class Row(NamedTuple):
    """One metric as the table shows it; ``place`` is the worker."""

    test: str
    metric: str
    value: str
    place: str
    bad: bool


def show(reporter: Any, results: Results, *, warnings: Sequence[str], resumable: str | None) -> None:
    """Write the summary through pytest's terminal reporter; with ``-q`` nothing but what is wrong.

    ``resumable`` is the run's id where another one can go on with it.
    """
    verbosity: int = reporter.config.get_verbosity()
    rows = metric_rows(results)
    if verbosity >= 0 and (rows or results.collected):
        _show_all(reporter, results, rows, limit=None if verbosity > 0 else MOST_ROWS)
    else:
        for cells, bad in _aligned([row for row in rows if row.bad]):
            reporter.write_line(cells, red=bad)
    if results.not_run:
        reporter.write_line(_not_run_text(results), red=True)
        if resumable is not None:
            reporter.write_line(f"gpupool: to go on, give the same command with --gpupool-resume={resumable}")
    for warning in warnings:
        reporter.write_line(f"gpupool: warning: {warning}", yellow=True)


def metric_rows(results: Results) -> list[Row]:
    """Return a row per metric: invalid ones first, then those of tests that failed, then the others in order."""
    rows = [(_rank(test, metric), _row(test, metric)) for test in results.tests for metric in test.metrics.values()]
    rows.sort(key=lambda ranked: ranked[0])
    return [row for _, row in rows]


def value_text(metric: Mapping[str, Any]) -> str:
    """Return ``0.9137``, ``123456`` or ``nan``, with the unit."""
    value = metric["value"]
    if value is None:
        number = metric["non_finite"]
    elif isinstance(value, int):
        number = str(value) if abs(value) < 10**15 else f"about 1e{len(str(abs(value))) - 1}"
    else:
        number = f"{value:.4g}"
    return f"{number} {metric['unit']}".rstrip()


def use_line(results: Results) -> str | None:
    """Return the line with makespan, speedup and efficiency, None where nothing ran on a device."""
    figures = summary(results)
    if figures["efficiency"] is None:
        return None
    devices = len(results.busy())
    return (
        f"gpupool: makespan {_seconds(figures['makespan_s'])}, busy {_seconds(figures['busy_s'])} on {devices} "
        f"device{'' if devices == 1 else 's'}: speedup {figures['speedup']:.2f}, "
        f"efficiency {figures['efficiency']:.0%}"
    )


def _show_all(reporter: Any, results: Results, rows: list[Row], *, limit: int | None) -> None:
    invalid = sum(metric["verdict"] == "invalid" for test in results.tests for metric in test.metrics.values())
    if rows:
        title = f"gpupool: {len(rows)} metric{'' if len(rows) == 1 else 's'}"
        reporter.write_sep("=", f"{title}, {invalid} invalid" if invalid else title)
        for cells, bad in _aligned(rows[:limit]):
            reporter.write_line(cells, red=bad)
        if limit is not None and len(rows) > limit:
            reporter.write_line(f"… and {len(rows) - limit} more (-v shows all)")
    if (line := use_line(results)) is not None:
        reporter.write_line(line)


def _aligned(rows: Sequence[Row]) -> Iterator[tuple[str, bool]]:
    test, metric, value = (
        max((len(getattr(row, column)) for row in rows), default=0) for column in ("test", "metric", "value")
    )
    for row in rows:
        mark = "  INVALID" if row.bad else ""
        line = f"{row.test:<{test}}  {row.metric:<{metric}}  {row.value:>{value}}{mark}  {row.place}"
        yield line.rstrip(), row.bad


def _rank(test: TestResult, metric: Mapping[str, Any]) -> int:
    if metric["verdict"] == "invalid":
        return 0
    return 2 if test.outcome in _FINE else 1


def _row(test: TestResult, metric: Mapping[str, Any]) -> Row:
    return Row(
        test=_cut(test.nodeid.split("::", 1)[-1]),
        metric=_cut(metric["name"]),
        value=value_text(metric),
        place=test.worker or "",
        bad=metric["verdict"] == "invalid",
    )


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _not_run_text(results: Results) -> str:
    names = [test.nodeid for test in results.not_run]
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"gpupool: {len(names)} of {results.collected} collected tests have no result (not-run): {shown}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 120 else duration_text(seconds)
