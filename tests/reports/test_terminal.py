"""The terminal's summary: what stands in a row, which rows are shown, and that no number spoils it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_reports import a_metric, any_text

from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.reports.terminal.summary import show, use_line
from pytest_gpupool.values.verdicts import VERDICTS

HUGE = 10**400
H200, A100 = "NVIDIA H200", "NVIDIA A100"
WIDEST = 80 + 80 + 80 + 200 + 80 + 40


@dataclass
class Screen:
    """What pytest's terminal reporter is asked to write, at a verbosity."""

    verbosity: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def config(self) -> Screen:
        return self

    def get_verbosity(self) -> int:
        return self.verbosity

    def write_line(self, line: str, **_: bool) -> None:
        self.lines.append(line)

    def write_sep(self, _: str, title: str) -> None:
        self.lines.append(title)


Suite = dict[str, list[dict[str, Any]]]
"""Metrics by test."""


def results_of(suite: Suite, worker: str = "gw3") -> Results:
    """A run in which these tests passed on one GPU."""
    results, when = Results(), "2026-11-21T11:46:53.000000Z"
    results.add({"record": "collected", "tests": [[test, {}] for test in suite], "worker": worker})
    for test, metrics in suite.items():
        of = {"worker": worker, "test": test}
        results.add({"record": "start", **of, "devices": ["GPU-1"], "started": when, "attempt": 1, "device_kind": H200})
        results.add_all({"record": "metric", **of, "metric": metric} for metric in metrics)
        end = {"outcome": "passed", "phases": {}, "duration_s": 1.5, "ended": when, "message": None}
        results.add({"record": "end", **of, **end})
    return results


def lines(suite: Suite, verbosity: int = 0, warnings: Sequence[str] = (), **changes: Any) -> list[str]:
    """The summary of such a run."""
    screen = Screen(verbosity)
    given: dict[str, Any] = {"names": {"GPU-1": H200}, "notes": (), "resumable": None, **changes}
    show(screen, results_of(suite), warnings=warnings, **given)
    return screen.lines


def row(metric: dict[str, Any]) -> str:
    """The one row of a run with one metric, without the place."""
    return lines({"a.py::t": [metric]})[1].removesuffix(f"  {H200} gw3")


COMPARED: dict[str, Any] = {"baseline": 0.913, "change": -0.035, "verdict": "regressed"}

ROWS = {
    "no baseline file": (a_metric("m", 0.5), "t  m  0.5"),
    "regressed": (
        a_metric("m", 0.881, n=200, allowed=0.00913, detectable=0.0521, **COMPARED),
        "t  m  0.881  baseline 0.913  -3.5%  (allowed 1%; 80% sure to see a change of 5.7%)  REGRESSED",
    ),
    "an absolute tolerance": (
        a_metric("m", 5, unit="ms", atol=0.5, allowed=0.5, baseline=4, change=0.25, verdict="regressed"),
        "t  m  5 ms  baseline 4 ms  +25.0%  (allowed 0.5 ms)  REGRESSED",
    ),
    "from zero": (
        a_metric("m", 1, baseline=0, allowed=0, verdict="regressed"),
        "t  m  1  baseline 0  (allowed 0)  REGRESSED",
    ),
    "no change": (a_metric("m", 1, baseline=1, change=0.0, verdict="ok"), "t  m  1  baseline 1  0%"),
    "a note": (
        a_metric("m", 0.0, baseline=0.5, change=-1.0, allowed=0.005, verdict="ok", note="n=2 can show no drop"),
        "t  m  0  baseline 0.5  -100.0%  (allowed 1%; n=2 can show no drop)",
    ),
    "numbers that are near": (
        a_metric("m", 0.9137, baseline=0.91370001, change=-1.09e-8, verdict="regressed"),
        "t  m  0.9137  baseline 0.91370001  -1.1e-06%  REGRESSED",
    ),
    "just beyond what is allowed": (
        a_metric("m", 0.9035, baseline=0.913, change=-0.0104, allowed=0.00913, verdict="regressed"),
        "t  m  0.9035  baseline 0.913  -1.04%  (allowed 1%)  REGRESSED",
    ),
    "from a tiny number": (
        a_metric("m", 1.0, baseline=1e-300, change=1e300, allowed=1e-302, verdict="improved"),
        "t  m  1  baseline 1e-300  +1e+300×  (allowed 1%)  IMPROVED",
    ),
    "huge ints": (
        a_metric("m", HUGE + 1, baseline=HUGE, change=0.0, allowed=0, verdict="regressed"),
        "t  m  1e+400  baseline 1e+400  +1  (allowed 0%)  REGRESSED",
    ),
    "beside a huge int": (
        a_metric("m", 1, baseline=HUGE, change=-1.0, allowed=0.1, verdict="regressed"),
        "t  m  1  baseline 1e+400  -100.0%  (allowed 0%)  REGRESSED",
    ),
    "64 bits": (
        a_metric("m", 2**64, baseline=2**64 - 1, change=5.4e-20, verdict="ok"),
        "t  m  18446744073709551616  baseline 18446744073709551615  +5.4e-18%",
    ),
    "no baseline": (a_metric("m", 0.5, verdict="no-baseline"), "t  m  0.5  WITHOUT BASELINE"),
    "a baseline for others": (
        a_metric("m", 0.5, verdict="no-baseline", others=[A100, H200]),
        f"t  m  0.5  no baseline for this device, there is one for {A100}  WITHOUT BASELINE",
    ),
    "a baseline in another unit": (
        a_metric("m", 0.5, verdict="no-baseline", others=[H200], note="its entry's unit is s"),
        "t  m  0.5  no baseline for this device: its entry's unit is s  WITHOUT BASELINE",
    ),
    "nan": (a_metric("m", None, unit="nats", baseline=2.0), "t  m  nan nats  baseline 2 nats  INVALID"),
    "text that commands terminals": (a_metric("m\x1b[2J", 1, unit="a\nb"), "t  m\\x1b[2J  1 a\\nb"),
}


@pytest.mark.parametrize(("metric", "expected"), ROWS.values(), ids=ROWS)
def test_a_row(metric: dict[str, Any], expected: str) -> None:
    """In numbers that can be told apart, however near, large or small they are."""
    assert row(metric) == expected


class TestWhichRows:
    """Twenty, but all that are bad."""

    @pytest.mark.parametrize(
        ("bad", "others", "shown"), [(28, 5, 28), (0, 28, 20), (5, 28, 20), (130, 1, 100), (0, 20, 20)]
    )
    def test_bad_ones_are_not_cut(self, bad: int, others: int, shown: int) -> None:
        """Below a hundred; all are shown with -v, and of how many that are not is told."""
        metrics = [a_metric(f"bad{n}", None) for n in range(bad)] + [a_metric(f"m{n}") for n in range(others)]
        told = lines({"a.py::t": metrics})
        assert sum(line.startswith("t  ") for line in told) == shown
        left = bad + others - shown
        assert (f"… and {left} more (-v shows all)" in told) == bool(left)
        assert sum(line.startswith("t  ") for line in lines({"a.py::t": metrics}, verbosity=1)) == bad + others

    def test_the_file_is_named_where_it_takes_that(self) -> None:
        """Two tests of one name among those that are shown."""
        suite = {name: [a_metric("m", 1)] for name in ("a.py::test_one", "deep/b.py::test_one", "b.py::test_two")}
        assert [line.split()[0] for line in lines(suite)[1:4]] == ["a.py::test_one", "deep/b.py::test_one", "test_two"]

    def test_of_a_long_name_both_ends_are_shown(self) -> None:
        """Parameters stand at its end."""
        suite = {f"a.py::test_{'x' * 100}[{model}]": [a_metric("m", 1)] for model in ("llama-8b", "llama-70b")}
        names = [line.split()[0] for line in lines(suite)[1:3]]
        assert [len(name) for name in names] == [80, 80]
        assert [name.endswith(model) for name, model in zip(names, ("[llama-8b]", "[llama-70b]"), strict=True)]
        assert all(name.startswith("test_xxx") and "…" in name for name in names)


class TestQuiet:
    """With ``-q``."""

    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            ([None, "ok"], []),
            (["no-baseline", "ok", None], ["gpupool: 3 metrics, 1 without baseline"]),
            (["improved"], ["gpupool: 1 metric, 1 improved"]),
            (
                ["ok", "contended", "regressed"],
                ["gpupool: 3 metrics, 1 regressed, 1 contended", "t  m2  0.5  REGRESSED  NVIDIA H200 gw3"],
            ),
        ],
    )
    def test_counts_and_bad_rows(self, verdicts: list[str | None], expected: list[str]) -> None:
        """Where there is anything to tell."""
        suite = {"a.py::t": [a_metric(f"m{n}", verdict=verdict) for n, verdict in enumerate(verdicts)]}
        suite["a.py::with_baseline"] = []
        assert lines(suite, verbosity=-1) == expected


NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.floats(0, 1)
    | st.sampled_from([0, 0.0, -0.0, HUGE, -HUGE, HUGE + 1, 10**4299, 5e-324, 1e-300, 1.7e308])
)
AMOUNTS = NUMBERS.map(abs)
MAYBE = st.none() | NUMBERS
METRICS = st.fixed_dictionaries(
    {
        "name": any_text,
        "value": NUMBERS,
        "unit": any_text,
        "higher_is_better": st.none() | st.booleans(),
        "n": st.none() | st.integers(1, HUGE),
        "atol": st.none() | AMOUNTS,
        "rtol": st.none() | AMOUNTS,
        "verdict": st.sampled_from([None, *VERDICTS]),
    },
    optional={
        "baseline": MAYBE,
        "change": MAYBE,
        "allowed": AMOUNTS,
        "detectable": AMOUNTS,
        "others": st.lists(any_text),
        "note": any_text,
    },
) | st.builds(a_metric, any_text, st.none(), unit=any_text, baseline=MAYBE, change=MAYBE)


@given(st.lists(METRICS, max_size=5), st.integers(-1, 1), any_text)
@example([a_metric("m", 1, baseline=HUGE, change=-1.0, allowed=HUGE, detectable=HUGE, n=HUGE)], 0, "")
@example([a_metric("m", 10**4299, baseline=-(10**4299), change=2 * HUGE, allowed=5e-324)], 0, "")
def test_any_metrics(metrics: list[dict[str, Any]], verbosity: int, text: str) -> None:
    """Nothing raises, and each row is one line of bounded width."""
    suite = {f"a.py::{text}": metrics, f"b.py::{text}": metrics}
    for line in lines(suite, verbosity, names={"GPU-1": text * 20}):
        assert line.isprintable() or line.splitlines() == [line]
        assert len(line) < WIDEST


@pytest.mark.parametrize(
    ("cores", "end"),
    [
        (None, "on 2 devices: speedup 1.00, efficiency 50%"),
        (2, "on 2 devices: speedup 1.00, efficiency 50%"),
        (1, "on 2 CPU slots, which share 1 core: no speedup can be told from that"),
    ],
)
def test_workers_that_share_cores_are_not_praised(cores: int | None, end: str) -> None:
    """Their tests take longer the more there are."""
    assert use_line(results_on("cpu:0", "cpu:1"), cores) == f"gpupool: makespan 2.00 s, busy 2.00 s {end}"


def test_of_one_cpu_slot_no_use_is_told() -> None:
    """There is no device that could have been used better; a GPU could."""
    assert use_line(results_on("cpu:0", "cpu:0"), 8) is None
    assert use_line(results_on("GPU-1", "GPU-1")) == (
        "gpupool: makespan 2.00 s, busy 2.00 s on 1 device: speedup 1.00, efficiency 100%"
    )


def results_on(*devices: str) -> Results:
    """The results of one test of a second on each device, one after the other."""
    results = Results()
    tests = [f"test_a.py::test_{number}" for number in range(len(devices))]
    results.add({"record": "collected", "tests": [[test, {}] for test in tests], "worker": "gw0"})
    for number, (test, device) in enumerate(zip(tests, devices, strict=True)):
        of = {"worker": f"gw{number}", "test": test}
        started, ended = (f"2026-11-21T11:46:5{number + second}.000000Z" for second in (0, 1))
        results.add({"record": "start", **of, "devices": [device], "started": started, "attempt": 1})
        end_of_test = {"outcome": "passed", "phases": {}, "duration_s": 1.0, "ended": ended, "message": None}
        results.add({"record": "end", **of, **end_of_test})
    return results
