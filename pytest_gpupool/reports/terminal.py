"""The terminal's summary: metrics, worst first, and how well the devices were used."""

from __future__ import annotations

from collections import Counter
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

_TOLD = {
    "invalid": "invalid",
    "regressed": "regressed",
    "contended": "contended",
    "no-baseline": "without baseline",
    "improved": "improved",
}
"""The verdicts that are told, in what words, the worst first."""

_BAD = frozenset({"invalid", "regressed"})
_ORDER = (*_TOLD, "ok", None)


class Row(NamedTuple):
    """One metric as the table shows it; ``place`` is the device, where it is a GPU, and the worker."""

    test: str
    metric: str
    value: str
    baseline: str
    mark: str
    place: str
    bad: bool


def show(
    reporter: Any,
    results: Results,
    *,
    names: Mapping[str, str],
    notes: Sequence[str],
    warnings: Sequence[str],
    resumable: str | None,
) -> None:
    """Write the summary through pytest's terminal reporter; with ``-q`` nothing but what is wrong.

    ``names`` are what GPUs are called, by id; ``resumable`` is the run's id where another one can go on with it.
    """
    verbosity: int = reporter.config.get_verbosity()
    rows = metric_rows(results, names)
    if verbosity >= 0 and (rows or results.collected):
        _show_all(reporter, results, rows, limit=None if verbosity > 0 else MOST_ROWS)
        for note in notes:
            reporter.write_line(f"gpupool: {note}")
    else:
        for cells, bad in _aligned([row for row in rows if row.bad]):
            reporter.write_line(cells, red=bad)
    if results.not_run:
        reporter.write_line(_not_run_text(results), red=True)
        if resumable is not None:
            reporter.write_line(f"gpupool: to go on, give the same command with --gpupool-resume={resumable}")
    for warning in warnings:
        reporter.write_line(f"gpupool: warning: {warning}", yellow=True)


def metric_rows(results: Results, names: Mapping[str, str]) -> list[Row]:
    """Return a row per metric: by verdict, the worst first, then those of tests that failed, then in order."""
    rows = [
        (_rank(test, metric), _row(test, metric, names)) for test in results.tests for metric in test.metrics.values()
    ]
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


def percent_text(change: float) -> str:
    """Return ``-3.5%``, with as many digits as show that there was a change."""
    return f"{change:+.1%}" if not change or abs(change) >= 0.0005 else f"{change * 100:+.1g}%"


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
    if rows:
        reporter.write_sep("=", _title(results))
        for cells, bad in _aligned(rows[:limit]):
            reporter.write_line(cells, red=bad)
        if limit is not None and len(rows) > limit:
            reporter.write_line(f"… and {len(rows) - limit} more (-v shows all)")
    if (line := use_line(results)) is not None:
        reporter.write_line(line)


def _title(results: Results) -> str:
    verdicts = Counter(metric["verdict"] for test in results.tests for metric in test.metrics.values())
    number = verdicts.total()
    told = [f"{verdicts[verdict]} {words}" for verdict, words in _TOLD.items() if verdicts[verdict]]
    return ", ".join([f"gpupool: {number} metric{'' if number == 1 else 's'}", *told])


def _aligned(rows: Sequence[Row]) -> Iterator[tuple[str, bool]]:
    columns = ("test", "metric", "value", "baseline", "mark")
    width = {column: max((len(getattr(row, column)) for row in rows), default=0) for column in columns}
    for row in rows:
        cells = [
            f"{row.test:<{width['test']}}",
            f"{row.metric:<{width['metric']}}",
            f"{row.value:>{width['value']}}",
            f"{row.baseline:<{width['baseline']}}",
            f"{row.mark:<{width['mark']}}",
            row.place,
        ]
        yield "  ".join(cell for cell in cells if cell).rstrip(), row.bad


def _rank(test: TestResult, metric: Mapping[str, Any]) -> tuple[int, bool]:
    return _ORDER.index(metric["verdict"]), test.outcome in _FINE


def _row(test: TestResult, metric: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    verdict = metric["verdict"]
    devices = [name for name in dict.fromkeys(names.get(device, "") for device in test.devices) if name]
    return Row(
        test=_cut(test.nodeid.split("::", 1)[-1]),
        metric=_cut(metric["name"]),
        value=value_text(metric),
        baseline=_comparison(metric),
        mark=_TOLD[verdict].upper() if verdict in _TOLD else "",
        place=" ".join([*devices, test.worker or ""]),
        bad=verdict in _BAD,
    )


def _comparison(metric: Mapping[str, Any]) -> str:
    """Return ``baseline 0.913  -3.5%  (allowed 1%; n=200 shows 0.048)``, nothing where there is no baseline."""
    if metric.get("baseline") is None:
        return ""
    change = "" if metric["change"] is None else percent_text(metric["change"])
    limits = [_allowed(metric)] if "allowed" in metric else []
    if "detectable" in metric:
        limits.append(f"n={metric['n']} shows {metric['detectable']:.2g}")
    baseline = value_text({**metric, "value": metric["baseline"], "unit": ""})
    return "  ".join(filter(None, [f"baseline {baseline}", change, f"({'; '.join(limits)})" if limits else ""]))


def _allowed(metric: Mapping[str, Any]) -> str:
    if metric["change"] is None:
        return f"allowed {metric['allowed']:.3g}"
    return f"allowed {metric['allowed'] / abs(metric['baseline']):.2%}".replace(".00%", "%")


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _not_run_text(results: Results) -> str:
    names = [test.nodeid for test in results.not_run]
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"gpupool: {len(names)} of {results.collected} collected tests have no result (not-run): {shown}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 120 else duration_text(seconds)
