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
    assert "pytest_gpupool_decision of" in told
    assert "conftest.py failed, and is called no more: RuntimeError('no such luck')" in told


RAISES = """
    import pytest

    def pytest_gpupool_metric(nodeid, metric):
        metric.clear()
        {how}
"""
LISTENS = """
    import json

    HEARD = []

    def pytest_gpupool_metric(nodeid, metric):
        HEARD.append(metric["value"])

    def pytest_gpupool_report(report, config):
        config.rootpath.joinpath("heard.json").write_text(json.dumps(HEARD))
"""


HOWS = ["raise OSError('no space')", "pytest.fail('no space')", "raise SystemExit('no space')"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("order", [("raises", "listens"), ("listens", "raises")], ids=":".join)
def test_what_one_plugin_does_is_nothing_to_another(cpu_host: Host, order: tuple[str, str], how: str) -> None:
    """Be it called before or after: that one hears of every metric, and the one that failed is named."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write("raises.py", RAISES.format(how=how))
    cpu_host.write("listens.py", LISTENS)
    done = cpu_host.pytest(*(f"-p{name}" for name in order))
    assert done.status == 0, done.stdout + done.stderr
    assert json.loads((cpu_host.project / "heard.json").read_text()) == [0.5, 1.5, 2.5]
    told = " ".join(done.stdout.split())
    assert "pytest_gpupool_metric of raises failed, and is called no more: " in told
    assert "no space" in told
