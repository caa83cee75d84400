"""The hooks that other plugins may implement, in real runs."""

from __future__ import annotations

import json

import pytest
from support import Host

SUITE = """
    import pytest

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric): record_metric("score", case + 0.5)
"""
CONFTEST = """
    import json, os

    CALLS = []

    def pytest_gpupool_metric(nodeid, metric):
        CALLS.append(["metric", nodeid, metric["value"]])
        metric.clear()

    def pytest_gpupool_decision(nodeid, metric, config):
        CALLS.append(["decision", nodeid, metric["verdict"]])
        raise RuntimeError("no such luck")

    def pytest_gpupool_report(report, config):
        CALLS.append(["report", report["run"]["id"], "PYTEST_XDIST_WORKER" in os.environ])
        config.rootpath.joinpath("calls.json").write_text(json.dumps(CALLS))
"""


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_they_are_called_when_the_run_is_over(cpu_host: Host, args: tuple[str, ...]) -> None:
    """In the user's own process; one that raises is a warning, is called no more, and changes nothing."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write("conftest.py", CONFTEST)
    done = cpu_host.pytest("--gpupool-baseline=baseline.json", "--gpupool-update-baseline", *args)
    assert done.status == 0, done.stdout + done.stderr
    calls = json.loads((cpu_host.project / "calls.json").read_text())
    report = json.loads((cpu_host.project / "report.json").read_text())
    tests = [(test["nodeid"], metric["value"]) for test in report["tests"] for metric in test["metrics"]]
    assert [tuple(call[1:]) for call in calls if call[0] == "metric"] == tests
    assert [call[2] for call in calls if call[0] == "decision"] == ["no-baseline"]
    assert [call[1:] for call in calls if call[0] == "report"] == [[report["run"]["id"], False]]
    told = " ".join(done.stdout.split())
    conftest = f"the plugin {cpu_host.project / 'conftest.py'}"
    assert f"pytest_gpupool_decision of {conftest} failed, and is called no more: RuntimeError('no such luck')" in told


BROKEN = """
    def pytest_gpupool_metric(): raise RuntimeError("of broken")
    def pytest_gpupool_report(): raise KeyError("of broken")
"""


def test_one_that_fails_costs_no_other_one_its_calls(cpu_host: Host) -> None:
    """Whichever is called first; told with its name, and the reports are written."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write("broken.py", BROKEN)
    cpu_host.write("conftest.py", CONFTEST)
    for order in (("-p", "broken"), ("-p", "broken", "-p", "no:cacheprovider", "-n2")):
        (cpu_host.project / "calls.json").unlink(missing_ok=True)
        done = cpu_host.pytest(*order, environ=cpu_host.environ(PYTHONPATH=str(cpu_host.project)))
        assert done.status == 0, done.output
        calls = json.loads((cpu_host.project / "calls.json").read_text())
        assert [call[0] for call in calls] == ["metric"] * 3 + ["report"]
        told = " ".join(done.stdout.split())
        assert "pytest_gpupool_metric of the plugin broken failed, and is called no more: RuntimeError(" in told
        assert "pytest_gpupool_report of the plugin broken failed, and is called no more: KeyError(" in told
        assert len(done.tests) == 3
