"""Shards become one run again, which is judged as if one machine had run all tests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from program import gpupool
from support import SCHEMA, Host, Run

SUITE = """
    import os
    import pathlib
    import pytest
    from pytest_gpupool import aggregate

    LOW = pathlib.Path(__file__).with_name("low").exists()

    @pytest.fixture(scope="module", params=["small", "large"])
    def model(request):
        return request.param

    @aggregate("accuracy", of="correct", by=("model",), floor=0.5)
    @pytest.mark.parametrize("case", range(8))
    def test_case(model, case, record_metric):
        record_metric("correct", int(case < (3 if LOW and model == "large" else 7)), higher_is_better=True)

    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_speed(size, record_metric):
        record_metric("speed", 50.0 * size if LOW and size == 4 else 100.0 * size, higher_is_better=True)

    @pytest.mark.gpupool(repeats=3)
    def test_repeated(gpu, record_metric): record_metric("loss", 0.5)

    def test_answers(record_metric):
        answers = {f"question {number}": int(not LOW or number % 2) for number in range(40)}
        value = sum(answers.values()) / len(answers)
        record_metric("answers", value, kind="proportion", samples=answers, higher_is_better=True)

    def test_fails(): assert not LOW, "it is low"
    @pytest.mark.skip(reason="not here")
    def test_skipped(): pass
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
"""

OLD = "def test_old(record_metric): record_metric('value', 1, higher_is_better=True)\n"

REVERSED = """
    import os

    def pytest_collection_modifyitems(items):
        if "REVERSED" in os.environ:
            items.reverse()
"""

OF_THE_MACHINE = {"worker", "devices", "started", "duration_s", "waited_s", "setup_s", "phases", "resources", "run"}


def stripped(value: Any) -> Any:
    """A report's part without times and workers."""
    if isinstance(value, dict):
        return {key: stripped(part) for key, part in value.items() if key not in OF_THE_MACHINE}
    return [stripped(part) for part in value] if isinstance(value, list) else value


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the tests, whoever has run them."""
    SCHEMA.validate(report)
    run, summary = report["run"], report["summary"]
    assert run["shard"] is None
    return {
        "run": {
            key: run[key] for key in ("complete", "collected", "finished", "exit_status", "rootdir", "seed", "git")
        },
        "tests": stripped(report["tests"]),
        "aggregates": report["aggregates"],
        "summary": {key: value for key, value in summary.items() if type(value) is not float},
    }


def shard(host: Host, index: int, count: int, *args: str, **environ: str) -> Run:
    """One machine's part, by what the first run has measured."""
    chosen = f"--gpupool-shard={index}/{count}"
    return host.pytest(chosen, "--gpupool-durations=known.json", *args, environ=host.environ(**environ))


def packed(host: Host) -> Path:
    """The latest run as one file, in a folder as CI systems make one."""
    status, out, err = gpupool(
        host, "pack", "latest", "-o", f"fetched/{len(list(host.project.glob('fetched/*')))}/run.tar.gz"
    )
    assert status == 0, err
    return Path(out.split(" packed into ")[1].split(",")[0]).parent


def merged(host: Host, *args: str | Path) -> tuple[int, dict[str, Any], str]:
    """The exit status of the merge, its report, and what it says."""
    status, out, err = gpupool(host, "merge", *args, "--json=merged.json")
    report: dict[str, Any] = json.loads((host.project / "merged.json").read_text())
    return status, report, out + err


JUDGED = ("--gpupool-baseline=baseline.json", "--gpupool-confirm=0")


def run_by_one_machine(host: Host) -> Run:
    """Accept a run as the baseline, then make values worse, take a test away, and run all that is left."""
    host.write("conftest.py", REVERSED)
    host.write("test_suite.py", SUITE)
    host.write("test_old.py", OLD)
    assert host.pytest(*JUDGED, "--gpupool-update-baseline").status == 0
    shutil.copy(host.project / ".gpupool/durations.json", host.project / "known.json")
    (host.project / "test_old.py").unlink()
    host.write("low", "")
    whole = host.pytest(*JUDGED)
    assert whole.status == 1, whole.output
    return whole


def test_eight_shards_are_the_run_of_one_machine(cpu_host: Host) -> None:
    """But for times and workers: outcomes, metrics, verdicts, aggregates, what is gone, in one order."""
    host = cpu_host
    whole = run_by_one_machine(host)
    told_of_whole, whole_tests, known = told(whole.report), set(whole.tests), (host.project / "known.json").read_text()
    verdicts = told_of_whole["summary"]["metrics"]
    assert (verdicts["regressed"], verdicts["gone"], verdicts["ok"]) == (7, 1, 16)
    assert [one["outcome"] for one in told_of_whole["aggregates"]] == ["passed", "failed"]

    given: list[Path] = []
    ran: list[str] = []
    for index in range(1, 9):
        # One reverses the order, one has workers.
        run = shard(
            host, index, 8, *JUDGED, *(["-n2"] if index == 2 else []), **{"REVERSED": "1"} if index == 3 else {}
        )
        assert run.status in (0, 1), run.output
        ran += run.tests
        heading = rf"^gpupool: shard {index}/8: {len(run.tests)} of 24 tests, \d\.\d s of \d\.\d s$"
        assert re.search(heading, run.stdout, re.MULTILINE), run.stdout
        assert {one["outcome"] for one in run.report["aggregates"]} <= {"incomplete"}
        given.append(packed(host) if index < 3 else host.project / ".gpupool/runs" / run.report["run"]["id"])
    assert sorted(ran) == sorted(name for name in whole_tests if name != "test_old")
    assert (host.project / "known.json").read_text() == known

    status, report, said = merged(host, *given, "--junit=merged.xml", "--html=merged.html", "--durations=later.json")
    assert status == 1, said
    assert told(report) == told_of_whole
    assert "8 of 8 shards merged as run" in said
    answers = next(test for test in report["tests"] if test["nodeid"].endswith("test_answers"))["metrics"][0]
    assert (answers["verdict"], answers["n"]) == ("regressed", 40)
    assert (host.project / "items" / f"values-{answers['per_item']}.json").is_file()
    assert "FAILED test_suite.py::test_fails - " in said
    assert {worker["id"].split("/")[0] for worker in report["workers"]} == set("12345678")
    assert len({worker["id"] for worker in report["workers"]}) == len(report["workers"])
    assert set(json.loads((host.project / "later.json").read_text())["tests"]) >= {"test_suite.py::test_speed[4]"}
    # Without one of them its tests are not run, and nothing is gone that may be there.
    status, report, said = merged(host, *given[1:])
    assert status == 1
    assert not report["run"]["complete"]
    assert report["summary"]["not-run"] > 0
    assert report["summary"]["metrics"]["gone"] == 0
    assert "no run is given of shard 1/8: " in said


SMALL = """
    import pathlib
    import pytest

    FIXED = pathlib.Path(__file__).with_name("fixed").exists()

    @pytest.mark.parametrize("case", range(4))
    def test_case(case): assert case or FIXED or [][1]
"""


def test_a_shard_that_failed_is_run_again(cpu_host: Host) -> None:
    """With the same command and ``--gpupool-resume``; that run counts in the place of the one that failed."""
    host = cpu_host
    host.write("test_suite.py", SMALL)
    assert shard(host, 2, 2).status == 0
    first = shard(host, 1, 2)
    assert first.status == 1, first.output
    earlier = first.report["run"]["id"]
    status, report, said = merged(host, ".gpupool")
    assert (status, report["summary"]["failed"], report["run"]["complete"]) == (1, 1, True)
    assert "FAILED test_suite.py::test_case[0] - " in said

    host.write("fixed", "")
    again = shard(host, 1, 2, f"--gpupool-resume={earlier}")
    assert again.status == 0, again.output
    status, report, said = merged(host, ".gpupool")
    assert (status, report["run"]["exit_status"]) == (0, 0), said
    assert "2 of 2 shards merged as run" in said
    assert report["summary"]["passed"] == 4
    assert report["run"]["command"].endswith(f" --gpupool-durations=known.json --gpupool-resume={earlier}")


def test_what_is_no_part_of_the_run_is_refused(cpu_host: Host) -> None:
    """Each with the reason, and exit status 4."""
    host = cpu_host
    host.write("test_suite.py", SMALL)
    host.write("fixed", "")

    def refused(*args: str | Path) -> str:
        status, out, err = gpupool(host, "merge", *args)
        assert (status, out) == (4, "")
        return err

    first, later = (shard(host, 1, 2).report["run"]["id"] for _ in range(2))
    said = refused(".gpupool")
    assert f"shard 1/2 is there several times, and none goes on with the other: {first} and {later}" in said
    runs = host.project / ".gpupool/runs"
    host.write("known.json", json.dumps({"format": "gpupool-durations", "version": 2, "tests": KNOWN, "fixtures": {}}))
    other = shard(host, 2, 2).report["run"]["id"]
    assert "they have cut the same tests by other durations" in refused(runs / later, runs / other)
    host.write("test_more.py", "def test_more(): pass\n")
    more = shard(host, 2, 2).report["run"]["id"]
    assert "only one of them has collected test_more.py::test_more" in refused(runs / other, runs / more)
    whole = host.pytest().report["run"]["id"]
    assert f"run {whole} is no shard" in refused(runs / whole)
    host.write("nothing.tar.gz", "")
    assert "nothing.tar.gz is no packed run: 'gpupool pack RUN' makes one" in refused("nothing.tar.gz")
    assert "there is no missing" in refused("missing")


KNOWN = {"test_suite.py::test_case[1]": {"CPU": {"seconds": [60.0], "used": "2026-11-21"}}}
"""What another machine knows."""
