"""Other plugins that make reports: they have what we know of each test, by their own ways, and nothing breaks."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sdists
from support import Host, Run

SUITE = """
    import os, signal, pytest

    @pytest.mark.parametrize("case", range(2))
    def test_case(case, record_metric, record_fact):
        record_metric("accuracy", 0.5 + case / 4, higher_is_better=True)
        record_fact("note", "<b>")

    def test_fails(record_metric):
        record_metric("a<b", float("nan"))
        assert 0
"""
CRASH = """
    import os, signal

    def test_crashes(): os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def reporters() -> Path:
    """Where they are."""
    if (folder := sdists.reporters()) is None:
        pytest.skip(f"other reporters are not in {sdists.directory()}; this fetches them: {sdists.FETCH}")
    return folder


def told(host: Host, reporters: Path, *args: str) -> Run:
    """Run the suite with all of them."""
    own = ("--html=r.html", "--self-contained-html", "--json-report", "--json-report-file=r.json", "--md=r.md")
    environ = host.environ(PYTHONPATH=str(reporters))
    return host.pytest(*own, "--alluredir=allure", "-rA", *args, environ=environ)


def in_allure(host: Host) -> dict[str, dict[str, Any]]:
    """What allure has of each test."""
    found = [json.loads(path.read_text()) for path in (host.project / "allure").glob("*-result.json")]
    return {one["name"]: one for one in found}


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_they_have_metrics_and_devices(cpu_host: Host, reporters: Path, workers: str) -> None:
    """With workers and without."""
    cpu_host.write("test_suite.py", SUITE)
    run = told(cpu_host, reporters, workers)
    assert run.status == 1, run.output
    assert "INTERNALERROR" not in run.output
    devices = {test["nodeid"]: test["devices"][0] for test in run.report["tests"]}
    worker = {test["nodeid"]: test["worker"] for test in run.report["tests"]}
    nodeid = "test_suite.py::test_case[1]"

    told_by_json = json.loads((cpu_host.project / "r.json").read_text())["tests"]
    (mine,) = (test for test in told_by_json if test["nodeid"] == nodeid)
    assert {"gpupool.metric.accuracy": 0.75} in mine["user_properties"]
    assert {"gpupool.device": devices[nodeid]} in mine["user_properties"]

    blob = re.search(r'data-jsonblob="(.*?)"', (cpu_host.project / "r.html").read_text(), re.DOTALL)
    assert blob is not None
    tests = json.loads(html.unescape(blob[1]))["tests"]
    (row,) = (one["resultsTableRow"] for one in tests[nodeid])
    assert row[3:5] == [f"<td>{devices[nodeid]}</td>", "<td>accuracy: 0.75</td>"]
    (row,) = (one["resultsTableRow"] for one in tests["test_suite.py::test_fails"])
    assert row[4] == "<td>a&lt;b: nan</td>"

    allure = in_allure(cpu_host)
    parameters = {one["name"]: one for one in allure["test_case[1]"]["parameters"]}
    assert parameters["gpupool.metric.accuracy"] == {
        "name": "gpupool.metric.accuracy",
        "value": "0.75",
        "excluded": True,
    }
    assert worker[nodeid] in parameters["gpupool.worker"]["value"]
    assert allure["test_fails"]["status"] == "failed"
    assert "- 2 passed" in (cpu_host.project / "r.md").read_text()


def test_a_crash_breaks_none_of_them(cpu_host: Host, reporters: Path) -> None:
    """A test that has no report of its own is one of theirs all the same."""
    cpu_host.write("test_suite.py", CRASH)
    run = told(cpu_host, reporters, "-n2")
    assert run.status == 1, run.output
    assert "INTERNALERROR" not in run.output
    assert run.outcomes == {"test_crashes": "crashed"}
    assert "test_crashes" in (cpu_host.project / "r.html").read_text()
    assert (cpu_host.project / "r.md").exists()


def test_without_them_nothing_is_loaded(cpu_host: Host) -> None:
    """Nor where they are there and not used."""
    cpu_host.write(
        "test_suite.py", "import sys\ndef test_a(): assert 'pytest_gpupool.exports.other_reporters' not in sys.modules"
    )
    assert cpu_host.pytest("-n0").status == 0
