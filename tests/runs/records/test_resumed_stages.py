"""Going on with a run of several stages: a later one may build on all that the lower ones have left."""

from __future__ import annotations

from support import Host, Run

SUITE = """
    import os
    import pytest

    def test_first(): pass
    def test_second(): assert os.path.exists("second") or [][1]

    @pytest.mark.gpupool(stage=1)
    class TestLater:
        def test_later(self, record_metric): record_metric("there", os.path.exists("second"))
        def test_last(self): assert os.path.exists("last") or [][1]
"""


def own(run: Run) -> set[str]:
    """The tests whose results are this run's own."""
    return {
        test["nodeid"].rpartition("::")[2] for test in run.report["tests"] if test["run"] == run.report["run"]["id"]
    }


def test_a_later_stage_runs_again_with_any_test_of_a_lower_one(cpu_host: Host) -> None:
    """It is said; where all of the lower ones are kept, so are those of the later ones that are final."""
    cpu_host.write("test_suite.py", SUITE)
    assert cpu_host.pytest("-n2").metrics("TestLater::test_later") == {"there": False}
    cpu_host.write("second", "")
    run = cpu_host.pytest("-n2", "--gpupool-resume")
    assert own(run) == {"test_second", "test_later", "test_last"}, run.output
    assert run.metrics("TestLater::test_later") == {"there": True}
    because = "1 of 4 results kept; run again although finished: 1 because of tests of a lower stage that run\n"
    assert because in run.stdout
    cpu_host.write("last", "")
    run = cpu_host.pytest("--gpupool-resume")
    assert own(run) == {"test_last"}, run.output
    assert run.status == 0
    assert "3 of 4 results kept\n" in run.stdout
