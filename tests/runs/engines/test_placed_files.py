"""Items, attachments and logs of workers on other hosts come to the run's own directory."""

from __future__ import annotations

import json

import pytest
from made_clusters import Cluster
from program import gpupool

SUITE = """
    import os
    import pytest

    @pytest.mark.parametrize("i", range(3))
    def test_a(i, record_sample, record_fact, attach, out_dir):
        for number in range(500):
            record_sample(number, input="x" * 300, score=number % 2)
        record_fact("place", "there")
        attach(f"text {i}", "note")
        (out_dir / "big.bin").write_bytes(bytes([i]) * 600_000)
        if (pid := os.fork()) == 0:
            record_sample("child", score=1)
            os._exit(0)
        os.waitpid(pid, 0)

    @pytest.mark.gpupool(isolate=True)
    def test_isolated(record_sample, attach):
        record_sample("one", score=1)
        attach("inside", "note")

    def test_crash(record_sample):
        record_sample("one", score=1)
        os.kill(os.getpid(), 9)
"""


def test_what_tests_keep_comes_over_the_wire(cluster: Cluster) -> None:
    """All of it, in every report, but what a worker that is killed had not sent yet of its files."""
    cluster.host.write("test_suite.py", SUITE)
    run = cluster.pytest("-n2")
    tests, directory = run.tests, max((cluster.host.project / ".gpupool" / "runs").iterdir())
    for i in range(3):
        test = tests[f"test_a[{i}]"]
        assert test["items"]["count"] == 501
        lines = (directory / test["items"]["file"]).read_text().splitlines()
        assert [json.loads(line).get("id") for line in lines] == [None, *map(str, range(500)), "child"]
        kept = {one["name"]: (directory / one["path"]).read_bytes() for one in test["attachments"]}
        assert kept == {"note": f"text {i}".encode(), "big.bin": bytes([i]) * 600_000}
        assert test["facts"] == {"place": "there"}
    isolated = tests["test_isolated"]
    assert isolated["items"]["count"] == 1
    assert [(directory / one["path"]).read_text() for one in isolated["attachments"]] == ["inside"]
    assert (tests["test_crash"]["outcome"], tests["test_crash"]["items"]["count"]) == ("crashed", 1)
    status, out, err = gpupool(cluster.host, "items", "latest", "crash", "--format", "jsonl")
    assert (status, json.loads(out)["id"], err) == (0, "one", "")


WRITES = """
    import os, subprocess, sys
    import pytest

    @pytest.fixture
    def around():
        print("set up")
        yield
        print("torn down")

    def test_writes(around):
        print("out of it")
        print("err of it", file=sys.stderr)
        subprocess.run(["echo", "by a child"])

    def test_writes_much():
        for _ in range(10):
            print("x" * 2**20)
        print("the end")

    @pytest.mark.gpupool(isolate=True)
    def test_isolated(around):
        print("inside")

    @pytest.mark.gpupool(isolate=True)
    def test_isolated_dies():
        print("before it dies", flush=True)
        os.kill(os.getpid(), 9)

    def test_script(run_script):
        run_script("said.sh")

    def test_crash():
        print("last words", flush=True)
        os.kill(os.getpid(), 9)
"""


def test_logs_come_over_the_wire(cluster: Cluster) -> None:
    """Of each test what it writes, once, as it does on this host."""
    cluster.host.write("test_suite.py", WRITES)
    cluster.host.write("said.sh", "echo out of a script\n")
    run = cluster.pytest("-n2")
    assert {name for name, outcome in run.outcomes.items() if outcome == "passed"} == {
        *("test_writes", "test_writes_much", "test_isolated", "test_script")
    }, run.output
    directory = max((cluster.host.project / ".gpupool" / "runs").iterdir())
    logs = {path.name.partition("test_suite.py_")[2][:-15]: path for path in directory.glob("logs/gw*/*.log")}
    said = {name: path.read_text().splitlines()[1:] for name, path in logs.items() if "much" not in name}
    # Which of the two streams is copied first is nobody's promise.
    assert sorted(said.pop("test_writes")) == sorted(["set up", "out of it", "err of it", "by a child", "torn down"])
    assert said == {
        "test_isolated": ["set up", "inside", "torn down"],
        "test_isolated_dies": ["before it dies"],
        "test_script": ["out of a script"],
        "test_crash": ["last words"],
    }
    much = logs["test_writes_much"].read_text()
    assert 8 * 2**20 < len(much) < 9 * 2**20
    assert "this log is full (8 MiB)" in much
    assert much.endswith("the end\n")
    status, out, err = gpupool(cluster.host, "logs", "latest", "test_script")
    assert (status, out.splitlines()[1:], err) == (0, ["out of a script"], "")


@pytest.mark.parametrize("isolate", [True, pytest.param(False, marks=pytest.mark.long)])
def test_logs_of_ranks_come_too(cluster: Cluster, isolate: bool) -> None:
    """Also where the test has a process of its own."""
    pytest.importorskip("torch")
    cluster.host.write("one.sh", 'echo "rank $RANK"\n')
    suite = """
        import pytest

        @pytest.mark.gpupool(gpus=2, isolate=ISOLATE)
        def test_ranks(torchrun): torchrun("one.sh")
    """
    cluster.host.write("test_suite.py", suite.replace("ISOLATE", str(isolate)))
    run = cluster.pytest("-n1")
    assert run.status == 0, run.output
    for rank in (0, 1):
        status, out, err = gpupool(cluster.host, "logs", "latest", "test_ranks", "--rank", str(rank))
        assert (status, out.splitlines()[1:], err) == (0, [f"rank {rank}"], "")
    status, _, err = gpupool(cluster.host, "logs", "latest", "--rank", "2")
    assert (status, "has a log of rank 2" in err) == (4, True)
