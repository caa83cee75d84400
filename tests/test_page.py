"""What the HTML report's script draws from: numbers and names, in columns, within the page."""

from __future__ import annotations

from typing import Any

import pytest
from test_html import data, page, parsed
from test_junit import UUIDS, a_metric, a_report, a_test

from pytest_gpupool.reports.html import render


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

    def test_parameters(self) -> None:
        """Values in the order of collection, whatever comes first in the table; whether they are numbers."""
        tests = [a_test("a[10-x]", params={"n": 10, "m": "x"}), a_test("b", "failed", params={"n": 2.5, "m": True})]
        found = data(page(*tests))
        assert found["params"] == [
            {"name": "n", "values": ["10", "2.5"], "numeric": True},
            {"name": "m", "values": ["x", "true"], "numeric": False},
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
            "change": [0.5, None], "allowed": [0.25, None], "verdict": [5, -1],
        }  # fmt: skip
        assert (ms["unit"], huge["value"], large["value"]) == ("ms", [None], [9007199250000000.0])

    def test_history(self) -> None:
        """What runs on record measured of the tests that are still there; gaps where they did not."""

        def run(name: str, **values: object) -> dict[str, Any]:
            return {"run": name, "started": "2026-11-20T00:00:00Z", "commit": None, "values": values}

        point = {"value": 0.5, "verdict": "regressed", "device": "NVIDIA A100"}
        past = [run("run-0", a={"m": point}, gone={"m": point}), run("run-1"), run("run-2", a={"m": {"value": None}})]
        found = data(parsed(render(a_report(a_test("a", metrics=[a_metric("m")])), past)))
        assert found["history"] == [{"0": [[0.5, None, None], [1, None, -1], [1, None, 2]]}]
        assert found["kinds"] == ["NVIDIA H200", "NVIDIA A100", ""]
        assert [each["id"] for each in found["runs"]] == ["run-0", "run-1", "run-2", "run-2"]

    def test_workers_at_a_time(self) -> None:
        """One that crashed and its successor count as one."""

        def worker(start: int, end: int) -> dict[str, Any]:
            moments = {"started": f"2026-11-21T11:46:{start}Z", "ended": f"2026-11-21T11:46:{end}Z"}
            return {"id": "gw", "host": None, "pid": 1, "devices": UUIDS[:1], "lease_wait_s": 0, "exit": None} | moments

        report = a_report(a_test())
        for workers, most in (([(53, 55), (56, 59)], 1), ([(53, 55), (54, 59), (55, 58)], 2), ([], None)):
            report["workers"] = [worker(*span) for span in workers]
            assert data(parsed(render(report)))["runs"][-1]["workers"] == most
