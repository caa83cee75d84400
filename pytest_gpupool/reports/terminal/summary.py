"""The terminal's summary: metrics, worst first, and how well the devices were used."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ...metrics import costs, groups
from ...records.folding.results import Results
from ...values.nodeids import function_of
from ...values.texts import one_line
from ..json import fixtures, shard, summary
from ..words import cause_texts_of, counted, metric_order, part_text, seconds_text, set_up_texts, shared_texts, verb
from . import pivots, rows
from .rows import MARKS, MOST_ROWS, Pair, is_bad

MOST_BAD_ROWS = 100
"""Rows of bad metrics that are shown without ``-v``, however many others there are."""

MOST_FIXTURES = 3
"""Fixtures of which is told what it took to set them up."""


def show(
    reporter: Any,
    results: Results,
    *,
    names: Mapping[str, str],
    cores: int | None = None,
    notes: Sequence[str],
    warnings: Sequence[str],
    resumable: str | None,
    advice: Sequence[str] = (),
) -> None:
    """Write the summary through pytest's terminal reporter; with ``-q`` what is wrong, and counts.

    ``names`` are what GPUs are called, by id; ``cores`` is on how many the workers run that have CPU slots, None where
    they have GPUs; ``resumable`` is the run's id where another one can go on with it;
    ``advice`` is a line for each thing that could be had for less.
    """
    verbosity: int = reporter.config.get_verbosity()
    metrics = _ranked(results)
    if verbosity >= 0 and results.collected:
        if metrics:
            reporter.write_sep("=", f"gpupool: {', '.join(_title(results))}")
        for text in _shared(results):
            reporter.write_line(f"gpupool: {text}", red=True)
        if verbosity > 0:
            _show_rows(reporter, metrics, names, None)
        elif len(metrics) <= MOST_ROWS:
            _show_rows(reporter, metrics, names, MOST_ROWS)
        else:
            _show_many(reporter, results, metrics, names, resumable)
        if (line := use_line(results, cores)) is not None:
            reporter.write_line(line)
        spent = filter(None, [costs.line(costs.sums(results))])
        told = islice(set_up_texts(fixtures(results), results.use().total), MOST_FIXTURES)
        part = [] if (of := shard(results)) is None else [f"shard {part_text(of, results.collected)}"]
        for line in (*part, *spent, *told, *(f"advice: {line}" for line in advice), *notes):
            reporter.write_line(f"gpupool: {line}")
    elif len(title := _title(results)) > 1:
        reporter.write_line(f"gpupool: {', '.join([*title, *_shared(results)])}")
        bad = [pair for pair in metrics if is_bad(pair)]
        _show_rows(reporter, bad, names, MOST_ROWS)
    _show_causes(reporter, results)
    if results.not_run:
        reporter.write_line(_not_run_text(results), red=True)
        if resumable is not None:
            reporter.write_line(f"gpupool: to go on, give the same command with --gpupool-resume={resumable}")
    for warning in warnings:
        reporter.write_line(f"gpupool: warning: {warning}", yellow=True)


def _show_causes(reporter: Any, results: Results) -> None:
    for line in cause_texts_of(results.tests):
        reporter.write_line(f"gpupool: {line}", yellow=True)


def use_line(results: Results, cores: int | None = None) -> str | None:
    """Return the line with makespan, speedup and efficiency, None where nothing ran, or all on one CPU slot.

    Where workers share cores their tests take longer the more there are: then no speedup can be told.
    """
    figures, devices = summary(results), len(results.busy())
    if figures["efficiency"] is None or (cores is not None and devices == 1):
        return None
    line = f"gpupool: makespan {seconds_text(figures['makespan_s'])}, busy {seconds_text(figures['busy_s'])} on "
    if cores is not None and devices > cores:
        return f"{line}{devices} CPU slots, which share {counted(cores, 'core')}: no speedup can be told from that"
    return (
        f"{line}{devices} device{'' if devices == 1 else 's'}: speedup {figures['speedup']:.2f}, "
        f"efficiency {figures['efficiency']:.0%}"
    )


def _ranked(results: Results) -> list[Pair]:
    """Return all metrics, each with its test: by verdict, the worst first, then those of tests that failed."""
    judged = [*groups.as_results(results), *results.tests]
    pairs = [(test, metric) for test in judged for metric in test.metrics.values()]
    return sorted(pairs, key=lambda pair: metric_order(pair[1], pair[0].outcome))


def _show_rows(reporter: Any, metrics: Sequence[Pair], names: Mapping[str, str], most: int | None) -> None:
    bad = sum(map(is_bad, metrics))
    folded = [pair for pair in metrics if pair[1]["verdict"] == "ok"] if bad and most is not None else []
    told = [pair for pair in metrics if pair[1]["verdict"] != "ok"] if folded else metrics
    shown = told if most is None else told[: max(most, min(bad, MOST_BAD_ROWS))]  # the worst are the first
    for line, needs_a_look in rows.lines(shown, names):
        reporter.write_line(line, red=needs_a_look)
    left = [f"{len(told) - len(shown)} more"] if len(told) > len(shown) else []
    left += [f"{len(folded)} that {verb(len(folded), 'is', 'are')} ok"] if folded else []
    if left:
        reporter.write_line(f"… and {' and '.join(left)} (-v shows all)")


def _shared(results: Results) -> list[str]:
    judged = [*results.tests, *groups.as_results(results)]
    return [one_line(text) for text in shared_texts((one.params, one.outcome, one.metrics.values()) for one in judged)]


def _show_many(
    reporter: Any, results: Results, metrics: Sequence[Pair], names: Mapping[str, str], run: str | None
) -> None:
    """Show what is to be told of single metrics, and tables of the test functions that have several tests."""
    functions = pivots.functions(results.tests)
    single = [pair for pair in metrics if _stands_alone(pair) or function_of(pair[0].nodeid) not in functions]
    _show_rows(reporter, single, names, MOST_ROWS)
    if single and functions:
        reporter.write_line("")
    width = shutil.get_terminal_size().columns
    for line in pivots.lines(functions, width=width, run=run):
        reporter.write_line(line)


def _stands_alone(pair: Pair) -> bool:
    return pair[1]["verdict"] in MARKS.keys() - {"no-baseline"}  # which may be said of all


def _metrics(results: Results) -> Iterator[Mapping[str, Any]]:
    return (metric for test in (*groups.as_results(results), *results.tests) for metric in test.metrics.values())


def _title(results: Results) -> list[str]:
    """Return ``3 metrics``, and what is to be told of them, ``1 without baseline``."""
    counts = Counter(metric["verdict"] for metric in _metrics(results))
    marked = [f"{counts[verdict]} {words}" for verdict, words in MARKS.items() if counts[verdict]]
    return [counted(counts.total(), "metric"), *marked]


def _not_run_text(results: Results) -> str:
    names = [test.nodeid for test in results.not_run]
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    have = verb(len(names), "has", "have")
    return f"gpupool: {len(names)} of {results.collected} collected tests {have} no result (not-run): {shown}"
