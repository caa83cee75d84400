"""What the HTML report's script draws from: numbers and names, in columns, within the page."""

from __future__ import annotations

from typing import Any

import pytest
from made_pages import data, page, parsed
from made_reports import UUIDS, a_metric, a_report, a_test

from pytest_gpupool.reports.html.document import render


class TestData:
    """What the script gets to draw from."""

    def test_times_are_since_the_start(self) -> None:
        """Of the run, in seconds, for tests and workers."""
        moments = {"started": "2026-11-21T11:46:54.500000Z", "ended": None}
        worker = {"id": "gw0", "host": None, "pid": None, "devices": [UUIDS[1]], "lease_wait_s": 2.5, "exit": None}
        found = data(parsed(render(a_report(a_test("a"), a_test("b", "not-run")) | {"workers": [worker | moments]})))
        assert found["tests"]["start"] == [None, 1.0]
        assert found["tests"]["took"] == [None, 1.5]
        assert found["workers"] == [{"id": "gw0", "devices": [1], "wait": 2.5, "start": 2.5, "end": None, "exit": None}]

    def test_its_own_time_begins_when_what_it_shares_is_set_up(self) -> None:
        """Else a bar of the timeline would lie where the set-up was."""
        found = data(page(a_test("a", setup_s={"model[m0]": 4.0, "data": 0.5})))
        assert found["tests"]["start"] == [5.5]

    def test_parameters(self) -> None:
        """Values in the order of collection, whatever comes first in the table; whether they are numbers."""
        tests = [a_test("a[10-x]", params={"n": 10, "m": "x"}), a_test("b", "failed", params={"n": 2.5, "m": True})]
        found = data(page(*tests))
        assert found["params"] == [
            {"name": "n", "fact": False, "values": ["10", "2.5"], "numeric": True},
            {"name": "m", "fact": False, "values": ["x", "true"], "numeric": False},
        ]
        assert found["tests"]["params"] == [[0, 1, 1, 1], [0, 0, 1, 0]]
        assert data(page(a_test(params={"m": ["é", {"a": None}]})))["params"][0]["values"] == ['["é", {"a": null}]']

    @pytest.mark.parametrize(
        ("nodeid", "function"),
        [
            ("a.py::test_a[x]", "a.py::test_a"),
            ("a.py::test_a[x::y[z]]", "a.py::test_a"),
            ("a[1]/b.py::C::test_a", "a[1]/b.py::C::test_a"),
            ("a[1]/b.py::test_a[x]", "a[1]/b.py::test_a"),
            ("a.py::test_a", "a.py::test_a"),
            ("[", "["),
        ],
    )
    def test_functions(self, nodeid: str, function: str) -> None:
        """A test's id without its parameters."""
        assert data(page(a_test(nodeid)))["functions"] == [function]

    def test_metrics(self) -> None:
        """A column of values per name and unit; what JavaScript has no number for is null."""
        tests = [
            a_test("a", metrics=[a_metric("t", 1.5, unit="s", verdict="ok", baseline=1, change=0.5, allowed=0.25)]),
            a_test("b", metrics=[a_metric("t", 2, unit="ms"), a_metric("u", 10**400), a_metric("v", 2**53 + 1)]),
            a_test("c", metrics=[a_metric("t", 0.1 + 0.2, unit="s", higher_is_better=False)]),
        ]
        first, ms, huge, large = data(page(*tests))["metrics"]
        assert first == {
            "name": "t", "unit": "s", "better": False, "test": [0, 2], "value": [1.5, 0.3], "baseline": [1, None],
            "change": [0.5, None], "allowed": [0.25, None], "n": [None, None], "interval": [None, None],
            "verdict": [6, -1],
        }  # fmt: skip
        assert (ms["unit"], huge["value"], large["value"]) == ("ms", [None], [9007199250000000.0])

    def test_history(self) -> None:
        """What runs on record measured of the tests that are still there; gaps where they did not."""

        def run(name: str, **values: object) -> dict[str, Any]:
            return {"run": name, "started": "2026-11-20T00:00:00Z", "commit": None, "values": values}

        point = {"value": 0.5, "unit": "", "verdict": "regressed", "device": "NVIDIA A100"}
        nothing = {"value": None, "unit": ""}
        past = [run("run-0", a={"m": point}, gone={"m": point}), run("run-1"), run("run-2", a={"m": nothing})]
        found = data(parsed(render(a_report(a_test("a", metrics=[a_metric("m")])), past)))
        assert found["history"] == [{"0": [[0.5, None, None], [2, None, -1], [1, None, 2]]}]
        assert found["kinds"] == ["NVIDIA H200", "NVIDIA A100", ""]
        assert [each["id"] for each in found["runs"]] == ["run-0", "run-1", "run-2", "run-2"]

    def test_a_value_in_another_unit_is_no_point(self) -> None:
        """It would stand on the axis of this one."""
        values = [{"value": 500, "unit": "ms"}, {"value": 0.5, "unit": "s"}]
        past = [
            {"run": f"run-{n}", "started": "2026-11-20T00:00:00Z", "values": {"a": {"m": value}}}
            for n, value in enumerate(values)
        ]
        found = data(parsed(render(a_report(a_test("a", metrics=[a_metric("m", unit="s")])), past)))
        assert found["history"] == [{"0": [[None, 0.5], [None, -1], [None, 1]]}]

    def test_the_kind_is_the_one_that_the_test_tells(self) -> None:
        """Else that of its devices; one that nobody knows is no kind of its own."""
        asked = a_test("a", devices=[], device_kind="NVIDIA H200")
        found = data(page(asked, a_test("b"), a_test("c", devices=[]), a_test("d", devices=["GPU-gone"])))
        assert [found["kinds"][kind] for kind in found["tests"]["kind"]] == [
            "NVIDIA H200", "NVIDIA H200", "CPU", "unknown",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("spans", "most"),
        [
            ([(53, 55), (56, 59)], 1),
            ([(53, 55), (54, 59), (55, 58)], 2),
            ([(53, 55), (54, None), (56, None)], 2),
            ([None, None], 2),  # nothing else is known of them
        ],
    )
    def test_workers_at_a_time(self, spans: list[tuple[int, int | None] | None], most: int) -> None:
        """Those that ran tests, as of the runs before; one that crashed and its successor count as one."""

        def worker(number: int | str, *span: int | None) -> dict[str, Any]:
            start, end = (None if at is None else f"2026-11-21T11:46:{at}Z" for at in span)
            return empty | {"id": f"gw{number}", "devices": UUIDS[:1], "started": start, "ended": end}

        empty = dict.fromkeys(("host", "pid", "lease_wait_s", "exit"))
        report = a_report(*(a_test(f"t{n}", worker=f"gw{n}") for n in range(len(spans))), a_test(run="run-1"))
        idle = worker("-idle", 53, None)
        report["workers"] = [idle, *(worker(n, *span) for n, span in enumerate(spans) if span is not None)]
        assert data(parsed(render(report)))["runs"][-1]["workers"] == most

    def test_without_workers(self) -> None:
        """Their number is not known."""
        assert data(page(a_test(outcome="not-run")))["runs"][-1]["workers"] is None
