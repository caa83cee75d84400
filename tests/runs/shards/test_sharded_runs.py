"""A part of the tests on each machine: the same cut everywhere, and what is known of durations stays as it is."""

from __future__ import annotations

import json
import re

import pytest
from program import gpupool
from spans import KIND, remember
from support import Host, Run, records

SUITE = """
    import pytest

    @pytest.mark.parametrize("model", ["small", "large"])
    @pytest.mark.parametrize("task", range(4))
    def test_task(model, task): pass

    @pytest.mark.gpupool(gpus=2)
    def test_two(gpu): assert gpu.count == 2

    @pytest.mark.gpupool(gpus=9)
    def test_nine(): pass
"""

SHUFFLED = """
    import os
    import random

    def pytest_collection_modifyitems(items):
        random.shuffle(items)
"""


def line(run: Run) -> str:
    """What the run says of its shard."""
    found = re.findall(r"^gpupool: (shard .* of .* tests?, .*)$", run.stdout, re.MULTILINE)
    assert len(found) == 1, run.output
    return str(found[0])


def test_two_machines_have_all_tests_between_them(host: Host) -> None:
    """By seconds times GPUs, with workers and alone, each in an order of its own; nothing that is known changes."""
    host.write("test_it.py", SUITE)
    host.write("conftest.py", SHUFFLED)
    times = {f"test_it.py::test_task[{task}-{model}]": 60.0 for task in range(4) for model in ("small", "large")}
    remember(host, {**times, "test_it.py::test_two": 250.0, "test_it.py::test_nine": 0.0}, kind=KIND)
    known = (host.project / ".gpupool/durations.json").read_text()
    first = host.pytest("-n2", "--gpupool-shard=1/2")
    assert line(first) == "shard 1/2: 1 of 10 tests, 8 min of 16 min"
    assert first.outcomes == {"test_two": "passed"}
    assert "gpupool: shard 1/2, by .gpupool/durations.json" in first.stdout
    gitlab = {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "2"}
    host.write("pytest.ini", "[pytest]\ngpupool_shard = auto\n")
    second = host.pytest(environ=host.environ(**gitlab))
    assert line(second) == "shard 2/2: 9 of 10 tests, 8 min of 16 min"
    assert second.status == 1
    assert second.outcomes == dict.fromkeys(second.outcomes, "passed") | {"test_nine": "error"}
    assert "9" in str(second.tests["test_nine"]["message"])
    assert (host.project / ".gpupool/durations.json").read_text() == known
    # What other shards have is not what a conftest.py has left out.
    assert all(record["record"] != "deselected" for record in records(host.project))
    # What is planned is this shard's part.
    status, out, _ = gpupool(host, "plan", "--json", "--", "-n2", "--gpupool-shard=1/2")
    assert (status, json.loads(out)["tests"]) == (0, 1)


def test_a_shard_says_so_and_leaves_nothing_beside_what_it_reads(cpu_host: Host) -> None:
    """In each of its reports; the file of durations may lie where others keep it."""
    cpu_host.write("test_it.py", SUITE.partition("@pytest.mark.gpupool")[0])
    remember(cpu_host, {"test_it.py::test_task[0-small]": 60.0})
    known = cpu_host.project / "shared" / "durations.json"
    known.parent.mkdir()
    (cpu_host.project / ".gpupool" / "durations.json").replace(known)
    before = known.read_bytes()
    shard = ("--gpupool-shard=2/4", f"--gpupool-durations={known}")
    run = cpu_host.pytest("-n2", *shard, "--gpupool-markdown=summary.md", "--gpupool-html=report.html")
    assert run.status == 0, run.output
    own = len(run.outcomes)
    assert run.report["run"]["shard"] == {"index": 2, "count": 4, "tests": 8}
    assert f"gpupool: shard 2 of 4: {own} of 8 tests\n" in run.stdout
    for name in ("summary.md", "report.html"):
        assert f"Shard 2 of 4: {own} of 8 tests." in (cpu_host.project / name).read_text()
    assert [path.name for path in known.parent.iterdir()] == [known.name]
    assert known.read_bytes() == before
    assert [path.name for path in (cpu_host.project / ".gpupool").glob("durations*")] == []


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_shard_without_tests_is_no_failure(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """It says so, and leaves a record, so that nobody misses it."""
    cpu_host.write("test_it.py", "def test_it(): pass\n")
    run = cpu_host.pytest(*workers, "--gpupool-shard=2/2")
    assert run.status == run.report["run"]["exit_status"] == 0, run.output
    assert line(run) == "shard 2/2: 0 of 1 test, nothing is known of how long they take"
    assert run.report["run"]["complete"]
    cpu_host.pytest("--gpupool-shard=1/2")
    assert gpupool(cpu_host, "merge", ".gpupool")[0] == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--gpupool-shard=5/4"], "--gpupool-shard=5/4: give I/N with I from 1 to N, such as 2/4, N at most 10000"),
        (["--gpupool-shard="], "--gpupool-shard=: give I/N"),
        (["--gpupool-shard=auto"], "--gpupool-shard=auto: no CI system says which shard this is"),
        (["--gpupool-shard=1/2", "--dist=each", "-n2"], "--gpupool-shard and --dist each do not go together"),
        (
            ["--gpupool-shard=1/2", "--gpupool-baseline=b.json", "--gpupool-update-baseline"],
            "--gpupool-update-baseline and --gpupool-shard=1/2 do not go together",
        ),
        (["--gpupool-shard=1/2", "--gpupool-durations=."], "is no file: give the path of one"),
        (["--gpupool-durations=."], "is a directory: give the path of a file"),
        (
            ["--gpupool-shard=1/2", "--gpupool-dir=/proc/none"],
            "'gpupool merge' needs them; give a directory that you may",
        ),
    ],
)
def test_what_cannot_be(cpu_host: Host, args: list[str], said: str) -> None:
    """It is refused before any test runs."""
    cpu_host.write("test_it.py", "def test_it(): pass\n")
    run = cpu_host.pytest(*args)
    assert run.status == 4
    assert said in run.output
