"""``gpupool history TEST METRIC``: a metric over the runs on record."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ...metrics.metric import Number
from ...metrics.wording import value_text
from ...records.store import HISTORY
from ...reports.columns import show
from ...reports.words import counted
from ...trends import store
from ...trends.trend import History, MeasuredRun, Value, by_commit, history
from ...values.errors import UsageProblem
from ...values.nodeids import file_of, function_of, name_of
from ...values.texts import cell, cut, one_line, visible
from ..sources import add_dir, base_of, warn

_ABOUT = """\
Prints what the runs on record have measured, the oldest first. With a store (--history, or history.sqlite beside the
records) those in there count too, and runs of one commit on one kind of device are one line: their mean, and how many
there are besides the latest. A change is relative to the last value on the same kind of device, or on the same device
where a run has several (--dist each). The last lines are over all runs, for each kind of device: a small chart, the
least, the median, the most.
"""

_HEAD = ("RUN", "WHEN (UTC)", "COMMIT", "DEVICE", "VALUE", "CHANGE", "VERDICT")
_RIGHT = (False, False, False, False, True, True, False)
_MOST_NAMES = 10
_WIDEST = 80  # characters of a chart, and of a name in the table
_CHARTS = (("▁▂▃▄▅▆▇█", "×"), ("_.-:=+*#", "x"))  # each from low to high, and what is no number
_NO_CHART = 2  # values, of which a chart would say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A value of a run; ``change`` is relative to the last one before it on that kind of device, if there is one.

    ``is_one_of`` says whether the run has others: then it is relative to the last one on that very device.
    """

    run: MeasuredRun
    value: Value
    change: float | None
    is_one_of: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """A metric of one test, the oldest value first."""

    test: str
    metric: str
    points: Sequence[_Point]


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser("history", help="a metric over the runs on record", description=_ABOUT)
    command.add_argument("test", metavar="TEST", help="the test's id, or a part of it that no other test has")
    command.add_argument("metric", metavar="METRIC", help="the metric's name")
    command.add_argument("--format", choices=_FORMATS, default="text", help="of the output (default: text)")
    text = "the store of metrics over runs (default: history.sqlite beside the records, where that is there)"
    command.add_argument("--history", metavar="PATH", type=Path, help=text)
    command.add_argument("--each-run", action="store_true", help="a line per run, also of those of one commit")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    base, kept = _places(args)
    found = history(base, most_bytes=None) if base is not None else History()
    for text in found.unreadable:
        warn(visible(text))
    runs = found.runs
    metrics: dict[str, set[str]] = store.names(kept) if kept is not None else {}
    for run in runs:
        for test, values in run.values.items():
            metrics.setdefault(test, set()).update(values)
    test = _test(metrics, args.test, args.metric, where=_where(len(runs), base, kept))
    if kept is not None:
        known = {run.id: run for run in (*store.of_metric(kept, test, args.metric), *runs)}
        runs = tuple(sorted(known.values(), key=lambda run: (run.started, run.id)))
        runs = runs if args.each_run else tuple(by_commit(runs, test, args.metric))
    points = list(_points(runs, test, args.metric))
    _FORMATS[args.format](_Series(test=test, metric=args.metric, points=points))
    return 0


def _places(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Return where the runs on record are, and the store, None where there is none of them: a store is enough."""
    try:
        base = base_of(args.dir)
    except UsageProblem:
        if args.history is None or args.dir is not None:
            raise
        return None, args.history
    beside = base / HISTORY
    return base, args.history or (beside if beside.exists() else None)


def _where(count: int, base: Path | None, kept: Path | None) -> str:
    records = f"the {counted(count, 'run')} on record in {base}" if base is not None else ""
    return " and ".join(filter(None, [records, f"the history {kept}" if kept is not None else ""]))


def _test(metrics: Mapping[str, set[str]], wanted: str, metric: str, *, where: str) -> str:
    """Return the id of the test that is meant. Raises UsageProblem where it is none, or one of several."""
    fitting = [wanted] if wanted in metrics else [test for test in metrics if wanted in test]
    having = [test for test in fitting if metric in metrics[test]]
    if len(having) == 1:
        return having[0]
    if having:
        names = _listed(having)
        raise UsageProblem(f"{len(having)} tests with the metric {metric!r} match {wanted!r}; give more of it:{names}")
    if fitting:
        known = set().union(*(metrics[test] for test in fitting))
        raise UsageProblem(
            f"no metric of {_named(fitting)} is called {metric!r} in {where}; there are:{_listed(known)}"
        )
    near = _nearest(wanted, metrics)
    advice = "" if near is None else f"; did you mean {near!r}?"
    raise UsageProblem(f"no test with metrics matches {wanted!r} in {where}{advice}")


def _nearest(wanted: str, tests: Iterable[str]) -> str | None:
    """Return the part of a test's id that is most like what was asked for."""
    import difflib

    spelt = {part.lower(): part for test in tests for part in _parts(test)}
    within = (part for lower, part in spelt.items() if wanted.lower() in lower)
    alike = (spelt[lower] for lower in difflib.get_close_matches(wanted.lower(), spelt, 1))
    return next((part for parts in (within, alike) for part in parts), None)


def _parts(test: str) -> tuple[str, ...]:
    return file_of(test), name_of(function_of(test)), name_of(test), test


def _named(tests: Sequence[str]) -> str:
    return one_line(tests[0]) if len(tests) == 1 else f"{len(tests)} tests"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = [f"… and {len(ordered) - _MOST_NAMES} more"] if len(ordered) > _MOST_NAMES else []
    return "".join(f"\n  {name}" for name in [*map(one_line, ordered[:_MOST_NAMES]), *more])


def _points(runs: Sequence[MeasuredRun], test: str, metric: str) -> Iterator[_Point]:
    last: dict[tuple[str, str, Sequence[str]], Number] = {}
    for run in runs:
        values = run.values.get(test, {}).get(metric, ())
        for value in values:
            series = value.device, value.unit, value.device_ids if len(values) > 1 else ()
            change = _change(last.get(series), value.value)
            yield _Point(run=run, value=value, change=change, is_one_of=len(values) > 1)
            if value.value is not None:
                last[series] = value.value


def _change(old: Number | None, new: Number | None) -> float | None:
    if not old or new is None:
        return None
    try:
        change = (float(new) - float(old)) / abs(float(old))
    except OverflowError:  # an int may be of any size
        return None
    return change if math.isfinite(change) else None


def _text(series: _Series) -> None:
    print(f"{one_line(series.test)}  {one_line(series.metric)}{_better(series)}\n")
    show([_HEAD, *map(_row, series.points)], right=_RIGHT)
    print()
    show([*_summaries(series)], right=(False, False, False))


def _better(series: _Series) -> str:
    better = series.points[-1].value.higher_is_better
    return "" if better is None else f"  ({'higher' if better else 'lower'} is better)"


def _row(point: _Point) -> tuple[str, ...]:
    run, value = point.run, point.value
    when = run.started[:16].replace("T", " ")
    number = value_text({"value": value.value, "non_finite": value.non_finite, "unit": value.unit})
    ids = (device[:12] for device in value.device_ids if point.is_one_of)
    device = " ".join([value.device, *ids])
    cells = (run.id, when, (run.commit or "–")[:10], device, number, _change_text(point.change))
    return (*(cut(one_line(cell), _WIDEST) for cell in cells), value.verdict or "")


def _change_text(change: float | None) -> str:
    if change is None:
        return ""
    percent = change * 100
    return f"{percent:+.3g}%" if abs(percent) < 1000 or abs(percent) >= 1e9 else f"{percent:+.0f}%"


def _summaries(series: _Series) -> Iterator[tuple[str, str, str]]:
    """Yield for each kind of device, and unit, its name, the chart, and the figures."""
    by_kind: dict[tuple[str, str], list[Value]] = {}
    for point in series.points:
        by_kind.setdefault((point.value.device, point.value.unit), []).append(point.value)
    for (device, unit), values in by_kind.items():
        numbers = [value.value for value in values if value.value is not None and abs(value.value) < sys.float_info.max]
        chart = _chart([value.value for value in values[-_WIDEST:]]) if len(values) > _NO_CHART else ""
        figures = (("min", min), ("median", median), ("max", max))
        told = [f"{name} {value_text({'value': of(numbers), 'unit': unit})}" for name, of in figures if numbers]
        yield cut(one_line(device), _WIDEST), chart, "  ".join([*told, f"({counted(len(values), 'value')})"])


def _chart(values: Sequence[Number | None]) -> str:
    """Return a character for each value, from the least to the most of them."""
    levels, gap = next(chart for chart in _CHARTS if _can_be_written("".join(chart)))
    # Halved, so that no difference overflows.
    halves = [None if value is None or abs(value) > sys.float_info.max else float(value) / 2 for value in values]
    known = [half for half in halves if half is not None]
    least, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    steps = len(levels) - 1

    def level(half: float) -> str:
        return levels[round((half - least) / span * steps)] if span else levels[steps // 2]

    return "".join(gap if half is None else level(half) for half in halves)


def _can_be_written(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _csv(series: _Series) -> None:
    rows = [_data(point) for point in series.points]
    writer = csv.DictWriter(sys.stdout, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        number = row["value"] if row["value"] is not None else row["non_finite"]
        written = {**row, "value": number, "device_ids": " ".join(row["device_ids"])}
        writer.writerow({name: cell(value) for name, value in written.items()})


def _json(series: _Series) -> None:
    values = [_data(point) for point in series.points]
    print(json.dumps({"test": series.test, "metric": series.metric, "values": values}, indent=1, allow_nan=False))


def _data(point: _Point) -> dict[str, Any]:
    run, value = point.run, point.value
    return {
        "run": run.id,
        "started": run.started,
        "commit": run.commit,
        "device": value.device,
        "device_ids": list(value.device_ids),
        "value": value.value,
        "non_finite": value.non_finite,
        "unit": value.unit,
        "higher_is_better": value.higher_is_better,
        "change_to_previous": point.change,
        "baseline": value.baseline,
        "verdict": value.verdict,
        "outcome": value.outcome,
    }


_FORMATS: dict[str, Callable[[_Series], None]] = {"text": _text, "csv": _csv, "json": _json}
