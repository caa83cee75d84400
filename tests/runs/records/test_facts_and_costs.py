"""What tests say of themselves, and what they cost: in every report, and between two runs."""

from __future__ import annotations

import json

from program import gpupool
from support import Host

SUITE = """
    import os, pathlib
    import pytest

    STEP = os.environ.get("STEP", "step-1")

    @pytest.mark.parametrize("model", ["a", "b"])
    def test_cost(model, record_fact, record_metric, record_property):
        record_fact("checkpoint", STEP)
        record_fact("checkpoint", STEP)
        record_property("language", ["en", "de"])
        record_metric("tokens", 1000, reduce="sum")
        record_metric("cost", 0.25, unit="$", reduce="sum")
        again = pathlib.Path(__file__).with_name("again")
        assert model == "a" or again.exists() or again.write_text("") is None

    @pytest.mark.gpupool(repeats=2)
    def test_repeated(gpu, record_fact, record_metric):
        record_fact("turn", gpu.repeat)
        record_metric("tokens", 10, reduce="sum")

    def test_forked(record_fact, record_metric):
        if (pid := os.fork()) == 0:
            record_fact("child", True)
            record_metric("tokens", float("nan"), reduce="sum")
            os._exit(0)
        os.waitpid(pid, 0)

    def test_other(record_fact):
        record_fact("x", 1)
        record_fact("x", 2)

    def test_long(record_fact):
        record_fact("x", "y" * 1001)

    def test_none(record_fact):
        record_fact("x", None)

    def test_reduce(record_metric):
        record_metric("x", 1, reduce="mean")
"""


def test_facts_and_costs_are_in_every_report(cpu_host: Host) -> None:
    """With reruns, repeats and children; what is wrong says so; compare tells what differs."""
    host = cpu_host
    host.write("test_it.py", SUITE)
    args = ("-n", "2", "--reruns", "1", "--only-rerun", "AssertionError", "--junitxml=junit.xml")
    run = host.pytest(*args, "--gpupool-markdown=summary.md", companions=("rerunfailures",))
    for told in (
        "fact 'x' was recorded before in this test, as '1': give each its own name",
        "fact 'x' has 1001 characters, of 1000 at most: keep a long text by attach()",
        "fact 'x' is a text, a number or a bool, not a NoneType",
        "metric 'x': reduce is 'sum', for what adds up over the run, or None, not 'mean'",
        "gpupool: in all: tokens 3020, cost 0.75 $",
    ):
        assert told in run.stdout
    known = {"checkpoint": "step-1", "language": "['en', 'de']"}
    assert {name: test["facts"] for name, test in run.tests.items() if "facts" in test} == {
        "test_cost[a]": known,
        "test_cost[b]": known,
        "test_repeated": {"turn": "0, 1"},
        "test_forked": {"child": "True"},
        "test_other": {"x": "1"},
    }
    sums = [
        {"name": "tokens", "unit": "", "value": 3020, "count": 5},
        {"name": "cost", "unit": "$", "value": 0.75, "count": 3},
    ]
    assert sorted(run.report["summary"]["sums"], key=lambda one: -one["value"]) == sums
    assert run.junit["test_cost[a]"]["gpupool.fact.checkpoint"] == "step-1"
    assert run.junit["test_repeated"]["gpupool.fact.turn"] == "0, 1"
    assert "In all: tokens 3020, cost 0.75 &#36;." in (host.project / "summary.md").read_text()

    (host.project / "report.json").rename(host.project / "old.json")
    host.pytest("-k", "test_cost", environ=host.environ(STEP="step-2"))
    _, out, _ = gpupool(host, "compare", "old.json", "report.json")
    assert out.endswith("\nfacts that differ:\n  checkpoint: step-1 → step-2 (2 tests)\n")
    _, out, _ = gpupool(host, "compare", "old.json", "report.json", "--format", "json")
    assert json.loads(out)["facts"] == [
        {
            "name": "checkpoint",
            "old": "step-1",
            "new": "step-2",
            "tests": ["test_it.py::test_cost[a]", "test_it.py::test_cost[b]"],
        }
    ]
    _, out, _ = gpupool(host, "compare", "old.json", "report.json", "--format", "markdown")
    assert "\nFacts that differ:\n\n- checkpoint: step-1 → step-2 (2 tests)" in out


def test_a_resumed_run_has_the_facts_and_costs_of_what_it_keeps(cpu_host: Host) -> None:
    """As if it had run them."""
    host = cpu_host
    host.write(
        "test_it.py",
        """
        import os
        def test_kept(record_fact, record_metric):
            record_fact("a", "b")
            record_metric("tokens", 5, reduce="sum")
        def test_failed(record_metric):
            record_metric("tokens", 7, reduce="sum")
            assert os.environ.get("WELL") or 1 / 0
        """,
    )
    assert host.pytest().status == 1
    run = host.pytest("--gpupool-resume", environ=host.environ(WELL="1"))
    assert run.status == 0
    assert run.tests["test_kept"]["facts"] == {"a": "b"}
    assert run.report["summary"]["sums"] == [{"name": "tokens", "unit": "", "value": 12, "count": 2}]
