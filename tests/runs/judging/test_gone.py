"""What the baseline has and the run has not: it fails, since what is not measured cannot be seen to be worse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from program import gpupool
from support import Host

FILE = "--gpupool-baseline=baseline.json"

SUITE = """
    import os, pytest

    LEFT = os.environ.get("LEFT", "")

    def test_a(record_metric):
        record_metric("accuracy", 0.9, higher_is_better=True)
        if "metric" not in LEFT:
            record_metric("f1", 0.8, higher_is_better=True)

    if "test" not in LEFT:
        def test_b(record_metric):
            record_metric("loss", 0.3, unit="nats", higher_is_better=False)

    def test_c(record_metric):
        if "skip" in LEFT:
            pytest.skip("not today")
        record_metric("size", 3)
"""


@pytest.fixture
def accepted(cpu_host: Host) -> Host:
    """A host whose suite has a baseline."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write("other/test_other.py", "def test_other(record_metric): record_metric('m', 1)\n")
    assert cpu_host.pytest(FILE, "--gpupool-update-baseline").status == 0
    return cpu_host


def verdicts(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    """What became of each metric."""
    return {
        (test["nodeid"].rpartition("::")[2], metric["name"]): metric["verdict"]
        for test in report["tests"]
        for metric in test["metrics"]
    }


GONE = {("test_a", "f1"), ("test_b", "loss"), ("test_c", "size")}


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_it_fails_in_every_report(accepted: Host, args: list[str]) -> None:
    """A metric of a test that passed or was skipped, and a test that is no more; all that tell of runs agree."""
    run = accepted.pytest(FILE, *args, environ=accepted.environ(LEFT="metric test skip"))
    assert run.status == 1
    found = verdicts(run.report)
    assert {key for key, verdict in found.items() if verdict == "gone"} == GONE
    assert run.report["summary"]["metrics"]["gone"] == 3
    assert run.report["run"]["complete"]
    assert {name for name, outcome in run.outcomes.items() if outcome == "failed"} == {"test_a", "test_b", "test_c"}
    assert {name for name, outcome in run.junit_outcomes.items() if outcome == "failure"} == {
        "test_a",
        "test_b",
        "test_c",
    }
    assert run.tests["test_a"]["message"] == "f1 is gone: it was not recorded, baseline 0.8"
    assert run.tests["test_b"]["message"] == "loss is gone: the test is not in this run, baseline 0.3 nats"
    assert run.tests["test_c"]["message"] == "size is gone: the test is skipped, baseline 3"
    assert run.stdout.count("GONE") == 3
    assert (run.stdout.count("\nFAILED "), run.stdout.count("\nERROR ")) == (2, 0)
    outputs = ["--json", "again.json", "--html", "r.html", "--markdown", "r.md", "--junit", "j.xml"]
    assert gpupool(accepted, "report", "latest", *outputs)[0] == 0
    assert json.loads((accepted.project / "again.json").read_text())["tests"] == run.report["tests"]
    assert "f1 is gone" in (accepted.project / "j.xml").read_text()
    status, out, _ = gpupool(accepted, "compare", "baseline.json", "latest", "--format=json")
    assert status == 1
    pairs = {(pair["test"].rpartition("::")[2], pair["metric"]): pair["verdict"] for pair in json.loads(out)["metrics"]}
    assert pairs == found


def test_it_may_be_no_failure(accepted: Host) -> None:
    """``--gpupool-fail-on`` has the last word; the verdict is in the report all the same."""
    environ = accepted.environ(LEFT="metric test")
    run = accepted.pytest(FILE, "--gpupool-fail-on=regressed,invalid", environ=environ)
    assert run.status == 0
    assert run.outcomes["test_b"] == "skipped"
    assert run.report["summary"]["metrics"]["gone"] == 2
    assert gpupool(accepted, "compare", "baseline.json", "latest", "--fail-on=regressed")[0] == 0
    assert gpupool(accepted, "compare", "baseline.json", "latest", "--fail-on=gone")[0] == 1


@pytest.mark.parametrize(
    "args", [["-k", "not test_b"], ["test_suite.py::test_a"], ["--deselect=test_suite.py::test_b"], ["other"]]
)
def test_a_narrowed_run_says_nothing_of_tests_that_it_left_out(accepted: Host, args: list[str]) -> None:
    assert accepted.pytest(FILE, *args).status == 0


def test_what_lies_elsewhere_is_not_gone(accepted: Host) -> None:
    """Nor what of a path is, where that is not the one that was given; where it is, it is."""
    environ = accepted.environ(LEFT="test")
    assert accepted.pytest(FILE, "other", environ=environ).status == 0
    assert accepted.pytest(FILE, "test_suite.py", environ=environ).status == 1
    (accepted.project / "other" / "test_other.py").unlink()
    assert accepted.pytest(FILE, "test_suite.py").status == 0
    assert accepted.pytest(FILE).status == 1


def test_its_end_is_accepted_by_name(accepted: Host) -> None:
    """Else it stays in the file, and what to do is said."""
    accepted.pytest(FILE, environ=accepted.environ(LEFT="metric test"))
    status, out, err = gpupool(accepted, "baseline", "update", "baseline.json")
    assert "it is gone; accept it by name" in out + err
    command = ["baseline", "update", "baseline.json", "--accept", "*::test_a::f1", "--accept", "*::test_b"]
    status, out, _ = gpupool(accepted, *command)
    assert (status, "2 removed" in out) == (0, True)
    assert accepted.pytest(FILE, environ=accepted.environ(LEFT="metric test")).status == 0
    entries = json.loads((accepted.project / "baseline.json").read_text())["entries"]
    assert {entry["metric"] for entry in entries} == {"accuracy", "size", "m"}


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_what_a_conftest_deselects_is_not_gone(accepted: Host, args: list[str]) -> None:
    """Neither here nor in workers; what is no more is, and what is taken out without a word. A report says the same."""
    accepted.write(
        "conftest.py",
        """
        import os

        def pytest_collection_modifyitems(config, items):
            out = [item for item in items if item.name == "test_a"]
            if "silent" not in os.environ["LEFT"]:
                config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item not in out]
        """,
    )
    run = accepted.pytest(FILE, *args, environ=accepted.environ(LEFT="nothing"))
    assert (run.status, run.report["summary"]["metrics"]["gone"]) == (0, 0), run.output
    run = accepted.pytest(FILE, *args, environ=accepted.environ(LEFT="test"))
    assert (run.status, [key for key, one in verdicts(run.report).items() if one == "gone"]) == (
        1,
        [("test_b", "loss")],
    )
    run = accepted.pytest(FILE, *args, environ=accepted.environ(LEFT="silent"))
    gone = {key for key, one in verdicts(run.report).items() if one == "gone"}
    assert (run.status, gone) == (1, {("test_a", "accuracy"), ("test_a", "f1")})
