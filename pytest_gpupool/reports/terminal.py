"""The terminal's summary: metrics, worst first, and how well the devices were used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..metrics.wording import baseline_text, change_text, limits, others_text, value_text
from ..records.result import TestResult
from ..records.results import Results
from ..values import verdicts
from ..values.nodeids import name_of
from ..values.outcomes import GOOD
from ..values.texts import cut, cut_middle, one_line
from .json import summary
from .words import counted, seconds_text

MOST_ROWS = 20
"""Rows of metrics that are shown without ``-v``."""

MOST_BAD_ROWS = 100
"""Rows of bad metrics that are shown without ``-v``, however many others there are."""

WIDEST = 80
"""Characters of a test's or a metric's name that are shown."""

_WIDEST_CELL = 200  # of numbers with what is said of them, whose units and notes may be of any length

_WORDS = {"no-baseline": "without baseline"}
_MARKS: Mapping[str | None, str] = {
    verdict: _WORDS.get(verdict, verdict) for verdict in verdicts.WORST_FIRST if verdict != "ok"
}
"""The verdicts that are marked, in what words, the worst first."""

_Pair = tuple[TestResult, Mapping[str, Any]]
"""A test, and a metric of it."""


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
    updates: bool = False,
) -> None:
    """Write the summary through pytest's terminal reporter; with ``-q`` what is wrong, and counts.

    ``names`` are what GPUs are called, by id; ``resumable`` is the run's id where another one can go on with it;
    ``updates`` says that the run's metrics become the baseline.
    """
    verbosity: int = reporter.config.get_verbosity()
    metrics = _ranked(results)
    most = None if verbosity > 0 else MOST_ROWS
    if verbosity >= 0 and results.collected:
        if metrics:
            reporter.write_sep("=", f"gpupool: {', '.join(_title(results))}")
            _show_rows(reporter, metrics, names, most)
        if (line := use_line(results)) is not None:
            reporter.write_line(line)
        for note in notes:
            reporter.write_line(f"gpupool: {note}")
    elif len(title := _title(results)) > 1:
        reporter.write_line(f"gpupool: {', '.join(title)}")
        _show_rows(reporter, [pair for pair in metrics if _is_bad(pair)], names, most)
    if results.not_run:
        reporter.write_line(_not_run_text(results), red=True)
        if resumable is not None:
            reporter.write_line(f"gpupool: to go on, give the same command with --gpupool-resume={resumable}")
    lacking = () if updates else _lacking(results)
    for warning in (*lacking, *warnings):
        reporter.write_line(f"gpupool: warning: {warning}", yellow=True)


def name_text(name: str) -> str:
    """Return a name of which, where it is long, the middle is left out: both ends differ from other names."""
    return cut_middle(one_line(name), WIDEST)


def use_line(results: Results) -> str | None:
    """Return the line with makespan, speedup and efficiency, None where nothing ran on a device."""
    figures = summary(results)
    if figures["efficiency"] is None:
        return None
    devices = len(results.busy())
    return (
        f"gpupool: makespan {seconds_text(figures['makespan_s'])}, busy {seconds_text(figures['busy_s'])} on {devices} "
        f"device{'' if devices == 1 else 's'}: speedup {figures['speedup']:.2f}, "
        f"efficiency {figures['efficiency']:.0%}"
    )


def _ranked(results: Results) -> list[_Pair]:
    """Return all metrics, each with its test: by verdict, the worst first, then those of tests that failed."""
    pairs = [(test, metric) for test in results.tests for metric in test.metrics.values()]
    return sorted(pairs, key=lambda pair: (verdicts.rank(pair[1]["verdict"]), pair[0].outcome in GOOD))


def _is_bad(pair: _Pair) -> bool:
    return pair[1]["verdict"] in verdicts.BAD


def _show_rows(reporter: Any, metrics: Sequence[_Pair], names: Mapping[str, str], most: int | None) -> None:
    bad = sum(map(_is_bad, metrics))
    shown = metrics if most is None else metrics[: max(most, min(bad, MOST_BAD_ROWS))]  # the worst are the first
    for line, is_bad in _aligned(_shortened([_row(test, metric, names) for test, metric in shown])):
        reporter.write_line(line, red=is_bad)
    if len(metrics) > len(shown):
        reporter.write_line(f"… and {len(metrics) - len(shown)} more (-v shows all)")


def _metrics(results: Results) -> Iterator[Mapping[str, Any]]:
    return (metric for test in results.tests for metric in test.metrics.values())


def _title(results: Results) -> list[str]:
    """Return ``3 metrics``, and what is to be told of them, ``1 without baseline``."""
    counts = Counter(metric["verdict"] for metric in _metrics(results))
    marked = [f"{counts[verdict]} {words}" for verdict, words in _MARKS.items() if counts[verdict]]
    return [counted(counts.total(), "metric"), *marked]


def _lacking(results: Results) -> Iterator[str]:
    judged = [metric for metric in _metrics(results) if "baseline" in metric]
    # One whose entry is in another unit has an entry.
    if judged and all(metric["verdict"] == "no-baseline" and not metric.get("note") for metric in judged):
        yield "no metric of this run has an entry in the baseline file for its device"


def _shortened(rows: Sequence[Row]) -> list[Row]:
    """Return rows with the tests' names after the file, where no other test has the same."""
    numbers = Counter(map(name_of, {row.test for row in rows}))
    return [
        row._replace(test=name_text(row.test if numbers[name_of(row.test)] > 1 else name_of(row.test))) for row in rows
    ]


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


def _row(test: TestResult, metric: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    verdict = metric["verdict"]
    devices = [name for name in dict.fromkeys(names.get(device, "") for device in test.devices) if name]
    return Row(
        test=test.nodeid,
        metric=name_text(metric["name"]),
        value=_cell(value_text(metric), WIDEST),
        baseline=_cell(_why(metric, test.kind) if verdict == "no-baseline" else _comparison(metric), _WIDEST_CELL),
        mark=_MARKS.get(verdict, "").upper(),
        place=_cell(" ".join([*devices, test.worker or ""]), WIDEST),
        bad=_is_bad((test, metric)),
    )


def _why(metric: Mapping[str, Any], kind: str | None) -> str:
    """Return why a metric has no baseline, as far as that is known."""
    if why := metric.get("note"):
        return f"no baseline for this device: {why}"
    there = others_text(metric.get("others", ()), kind)
    return f"no baseline for this device, {there}" if there else ""


def _comparison(metric: Mapping[str, Any]) -> str:
    """Return ``baseline 0.913  -3.5%  (allowed 1%; n=200 shows 0.052)``, nothing where there is no baseline."""
    if metric.get("baseline") is None:
        return ""
    bounds = "; ".join(limits(metric))
    parts = [f"baseline {baseline_text({**metric, 'unit': ''})}", change_text(metric), f"({bounds})" if bounds else ""]
    return "  ".join(filter(None, parts))


def _cell(text: str, most: int) -> str:
    return cut(one_line(text), most)


def _not_run_text(results: Results) -> str:
    names = [test.nodeid for test in results.not_run]
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"gpupool: {len(names)} of {results.collected} collected tests have no result (not-run): {shown}"
