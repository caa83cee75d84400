"""'gpupool scaling' runs pytest at each number of workers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import Any

from program import gpupool
from support import Host, wait_for

SUITE = """
    import os, time
    from pathlib import Path
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def together():  # each worker has a test
        folder = Path("workers" + os.environ["PYTEST_XDIST_WORKER_COUNT"])
        folder.mkdir(exist_ok=True)
        (folder / os.environ["PYTEST_XDIST_WORKER"]).touch()
        while len(list(folder.iterdir())) < int(os.environ["PYTEST_XDIST_WORKER_COUNT"]):
            time.sleep(0.01)

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric):
        record_metric("accuracy", case / 3)
        record_metric("took", os.getpid(), unit="s")
"""


BY_WORKERS = """
    import os
    def test_workers(record_metric): record_metric("workers", int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    def test_fails_alone(): assert os.environ["PYTEST_XDIST_WORKER_COUNT"] != "1"
"""


# Installed here, and they only take time.
COMPANIONS = ("cacheprovider", "randomly", "rerunfailures", "timeout", "pytest_cov", "hypothesispytest")


WITHOUT_OTHERS = " ".join(f"-pno:{name}" for name in COMPANIONS)


def scaling(host: Host, *args: str) -> tuple[int, str, str]:
    return gpupool(host, "scaling", *args, PYTEST_ADDOPTS=WITHOUT_OTHERS)


def test_one_suite_at_two_numbers(cpu_host: Host) -> None:
    """The table, the metrics that differ and the tests that fail; the chart, the reports and the outputs are kept."""
    cpu_host.write("test_a.py", SUITE)
    cpu_host.write("test_b.py", BY_WORKERS)
    status, out, err = scaling(cpu_host, "-n", "1,2", "--json=new/measured.json", "--", "test_a.py", "test_b.py")
    assert status == 1
    head, first, second, *lines = out.splitlines()
    assert head.split() == ["N", "WORKERS", "TIME", "MAKESPAN", "SPEEDUP", "EFFICIENCY"]
    assert first.split()[:2] + first.split()[-3:] == ["1", "1", "1.00", "100%", "excellent"]
    assert second.split()[:2] == ["2", "2"]
    assert lines == [
        "gpupool: 1 test failed at n=1 only: test_b.py::test_fails_alone",
        "gpupool: 1 of 4 metrics DIFFER; 3 of time or of a rate not compared",
        "TEST                     METRIC   N=1  N=2  SPREAD",
        "test_b.py::test_workers  workers    1    2     0.5",
        "gpupool: the chart is in .gpupool/scaling/scaling.svg",
    ]
    assert "gpupool: n=1: 4 passed, 1 failed in " in err
    assert "gpupool: n=2: 5 passed in " in err
    kept = cpu_host.project / ".gpupool" / "scaling"
    assert sorted(path.name for path in kept.iterdir()) == [
        ".gitignore", "lock", "n1.json", "n1.log", "n2.json", "n2.log", "scaling.svg",
    ]  # fmt: skip
    assert "pytest test_a.py test_b.py</text>" in (kept / "scaling.svg").read_text()
    assert not (cpu_host.project / ".gpupool" / "durations.json").exists()
    measured = json.loads((cpu_host.project / "new" / "measured.json").read_text())
    assert [(run["n"], run["workers"], run["exit_status"]) for run in measured["runs"]] == [(1, 1, 1), (2, 2, 0)]
    assert measured["metrics"]["differing"] == [
        {"test": "test_b.py::test_workers", "metric": "workers", "values": {"1": 1, "2": 2}}
    ]


def test_workers_that_share_cores_are_of_no_class(cpu_host: Host) -> None:
    """Neither in the table nor in the JSON and the chart: they slow each other down."""
    cpu_host.write("test_a.py", SUITE)
    cpu_host.write("one_core.py", "import os\nos.cpu_count = lambda: 1\n")  # what the reports say of the host
    args = ("scaling", "-n", "1,2", "--json=measured.json", "--", "test_a.py")
    options = {"PYTEST_ADDOPTS": f"{WITHOUT_OTHERS} -p one_core", "PYTHONPATH": str(cpu_host.project)}
    status, out, err = gpupool(cpu_host, *args, **options)
    assert status == 0, err
    _, first, second, note, *_ = out.splitlines()
    assert first.split()[-1] == "excellent"
    assert second.split()[-2:] == ["shares", "cores"]
    assert note == "gpupool: workers that share cores slow each other down: their speedup says nothing of GPUs"
    runs = json.loads((cpu_host.project / "measured.json").read_text())["runs"]
    assert [(run["class"], run["shared_cores"]) for run in runs] == [("excellent", None), (None, 1)]
    chart = (cpu_host.project / ".gpupool" / "scaling" / "scaling.svg").read_text()
    assert re.search(r"with 1 workers .* \(excellent\); with 2 workers .* \(they share cores\)\.<", chart)


def test_every_run_starts_from_the_same_knowledge(cpu_host: Host) -> None:
    """The user's own durations, which stay as they are; one worker alone keeps the order of the file."""
    cpu_host.write(
        "test_a.py", 'def test_a(): pass\ndef test_b(record_metric): record_metric("m", 1)\ndef test_c(): pass\n'
    )
    tests = {
        f"test_a.py::test_{name}": {"CPU": {"seconds": [seconds]}}
        for name, seconds in zip("abc", (1, 2, 3), strict=True)
    }
    known = cpu_host.write(
        ".gpupool/durations.json", json.dumps({"format": "gpupool-durations", "version": 1, "tests": tests})
    )
    before = known.read_bytes()
    status, out, _ = scaling(cpu_host, "-n1", "--chart=a/chart.SVG", "test_a.py")
    assert status == 0
    assert out.endswith("1.00        100%  excellent\ngpupool: the chart is in a/chart.SVG\n")
    assert known.read_bytes() == before
    alone = json.loads((cpu_host.project / ".gpupool" / "scaling" / "n1.json").read_text())["tests"]
    assert [test["nodeid"][-1] for test in sorted(alone, key=lambda test: str(test["started"]))] == ["a", "b", "c"]


def test_a_run_that_cannot_run_ends_it(cpu_host: Host) -> None:
    """With its exit status and the end of its output."""
    cpu_host.write("test_a.py", "def test_a(): pass\n")
    status, out, err = scaling(cpu_host, "-n", "1,2,4", "--", "--gpupool-devices=7", "test_a.py")
    assert (status, out) == (4, "")
    assert "--gpupool-devices=7" in err
    assert err.endswith(
        "gpupool: n=1 ended with exit status 4; not measured: n=2, 4; its output is in .gpupool/scaling/n1.log\n"
    )
    status, _, err = scaling(cpu_host, "-n", "1", "--", "-o", "gpupool=off", "test_a.py")
    assert status == 4
    assert "gpupool: pytest wrote no report: pytest-gpupool is off there" in err


def test_what_was_measured_is_told_where_it_is_interrupted(cpu_host: Host) -> None:
    """The run that goes on hears the signal and ends in order; no process is left."""
    cpu_host.write(
        "test_a.py",
        """
        import os, time
        from pathlib import Path
        def test_a(record_metric):
            while os.environ["PYTEST_XDIST_WORKER_COUNT"] == "2":
                Path("waits").write_text("\\n")
                time.sleep(0.01)
        """,
    )
    command = [sys.executable, "-m", "pytest_gpupool", "scaling", "-n", "1,2,3", "--", "test_a.py"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environ = cpu_host.environ(PYTEST_ADDOPTS=WITHOUT_OTHERS)
    with subprocess.Popen(command, cwd=cpu_host.project, env=environ, **pipes) as process:
        wait_for(cpu_host.project / "waits")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert process.returncode == 143
    assert out.splitlines()[1].split()[:2] == ["1", "1"]
    assert err.endswith("gpupool: interrupted at n=2; not measured: n=3\n")
    assert not cpu_host.processes()
