"""Scripts and functions in several ranks: real ones, by torch.distributed.run with Gloo."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from program import gpupool
from support import LIMIT, Host, Watched, processes_of

pytest.importorskip("torch")

TRAIN = """
    import json, os, sys
    import torch, torch.distributed as dist
    from pytest_gpupool import script

    dist.init_process_group()
    rank = dist.get_rank()
    total = torch.tensor([rank + 1.0])
    dist.all_reduce(total)
    print("rank", rank, "of", dist.get_world_size(), json.loads(sys.argv[2])["lr"])
    script.record("total", total)
    script.record("tokens", 10 + rank, n=10 + rank)
    script.record("seconds", 1 + rank, unit="s")
    script.record("threads", int(os.environ["OMP_NUM_THREADS"]))
    dist.barrier()
    dist.destroy_process_group()
"""


def test_a_script_and_a_function_run_in_ranks(cpu_host: Host) -> None:
    """One for each device, unmodified; metrics are of rank 0, or of all; each rank has a log of its own."""
    cpu_host.write("train.py", TRAIN)
    cpu_host.write("one.sh", 'test "$WORLD_SIZE" = 1 && echo "{\\"rank\\": $RANK}"\n')
    threads = max(1, max(1, len(os.sched_getaffinity(0)) // 2) // 2)  # of two workers with two ranks each
    suite = """
        import pytest

        pytestmark = pytest.mark.gpupool(gpus=2)

        def summed(start, *, factor):
            import torch, torch.distributed as dist
            total = torch.tensor([float(start + dist.get_rank())])
            dist.all_reduce(total)
            return dist.get_backend(), float(total) * factor

        def lingering():
            # What is taken down with the interpreter aborts it; all else that a process does at its end is done.
            import __main__, atexit, os, threading, time
            rank = os.environ["RANK"]
            __main__.kept = type("Aborts", (), {"__del__": lambda self: os.abort()})()
            atexit.register(lambda: open(f"exit-{rank}", "w").close())
            threading.Thread(target=lambda: time.sleep(0.5) or open(f"thread-{rank}", "w").close()).start()
            print("last words", end="")

        def test_end(torchrun):
            done = torchrun(lingering)
            assert (done.returncode, done.stdout) == (0, "last words")

        def test_script(torchrun):
            about = {"seconds": {"higher_is_better": False}}
            done = torchrun("train.py", {"lr": 0.1}, metrics=about, reduce={"tokens": "mean", "seconds": "max"})
            assert (done.returncode, done.stdout) == (0, "rank 0 of 2 0.1\\n")
            assert done.metrics == {"total": 3.0, "tokens": 221 / 21, "seconds": 2, "threads": THREADS}

        def test_function(torchrun):
            assert torchrun(summed, {"factor": 2}, args=[3]).returned == (("gloo", 14.0), ("gloo", 14.0))

        def test_one(torchrun):
            assert torchrun("one.sh", nproc=1).metrics == {"rank": 0}
    """
    cpu_host.write("test_suite.py", suite.replace("THREADS", str(threads)))
    run = cpu_host.pytest("-n2")
    assert run.outcomes == dict.fromkeys(["test_end", "test_script", "test_function", "test_one"], "passed"), run.output
    assert len([*cpu_host.project.glob("exit-*"), *cpu_host.project.glob("thread-*")]) == 4
    assert run.metrics("test_script") == {"total": 3.0, "tokens": 221 / 21, "seconds": 2, "threads": threads}
    assert [metric["n"] for metric in run.tests["test_script"]["metrics"]] == [None, 21, None, None]
    folders = list((run.directory / ".gpupool" / "runs").glob("*/logs/*"))
    logs = {path.name: path.read_text() for folder in folders for path in folder.glob("*test_script*.ranks/*.log")}
    assert {name: text.splitlines()[1:] for name, text in logs.items()} == {
        "0.log": ["rank 0 of 2 0.1"],
        "1.log": ["rank 1 of 2 0.1"],
    }
    for follow in ([], ["-f"]):
        status, out, err = gpupool(cpu_host, "logs", *follow, "latest", "test_script", "--rank", "1")
        assert (status, out.splitlines()[1:], err) == (0, ["rank 1 of 2 0.1"], "")
    (whole,) = (path.read_text() for folder in folders for path in folder.glob("*test_script*.log"))
    assert {"[rank 0] rank 0 of 2 0.1", "[rank 1] rank 1 of 2 0.1"} <= set(whole.splitlines())
    assert not [path for folder in folders for path in folder.glob(".ranks-*")]


@pytest.mark.parametrize("off", ["-ogpupool=off", "-pno:gpupool"])
def test_it_works_where_the_pool_is_off(cpu_host: Host, off: str, pytestconfig: pytest.Config) -> None:
    """With as many ranks, and without logs."""
    if off != "-pno:gpupool" and not pytestconfig.getoption("long"):
        pytest.skip("torch is slow to load; scripts show that both are the same: --long")
    cpu_host.write("a.sh", 'echo "{\\"rank\\": $RANK, \\"ranks\\": $WORLD_SIZE}"\n')
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(gpus=2)
        def test(torchrun, capfd):
            assert torchrun("a.sh", reduce={"rank": "sum"}).metrics == {"rank": 1, "ranks": 2}
            assert '[rank 1] {"rank": 1, "ranks": 2}' in capfd.readouterr().out
        """,
    )
    run = Watched(cpu_host, off).finish()
    assert run.status == 0, run.output
    assert not (cpu_host.project / ".gpupool").exists()


ENDS = """
    import os, pathlib, sys, time
    from pytest_gpupool import script

    script.record("total", 3)
    print("up", flush=True)
    how, other = sys.argv[-1], pathlib.Path(f"rank-0-{sys.argv[-1]}")
    if os.environ["RANK"] == "0":
        other.touch()
        time.sleep(600)
    while not other.exists():
        time.sleep(0.01)
    if how == "dies":
        os.kill(os.getpid(), 9)
    raise ValueError("a bad rank")
"""


def test_a_rank_that_fails_ends_all(cpu_host: Host) -> None:
    """And its error comes first."""
    cpu_host.write("train.py", ENDS)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        pytestmark = pytest.mark.gpupool(gpus=2)

        def unfair():
            import torch.distributed as dist
            if dist.get_rank() == 1:
                raise ValueError("an unfair rank")
            dist.barrier()

        @pytest.mark.parametrize("how", ["fails", "dies"])
        def test(torchrun, how): torchrun("train.py", {"lr": 1}, args=[how], reduce={"total": "sum"})

        def test_function(torchrun): torchrun(unfair)
        """,
    )
    run = cpu_host.pytest()
    assert set(run.outcomes.values()) == {"failed"}, run.output
    told = {name: test["message"] for name, test in run.tests.items()}
    assert "train.py: rank 1 of 2 ended with exit status 1, which ended all, " in told["test[fails]"]
    assert re.search(
        r"command: torchrun --nproc-per-node=2 \S+/train\.py --params '{\"lr\": 1}' fails", told["test[fails]"]
    )
    assert re.search(r"last lines of rank 1's stderr:\n(.*\n)*.*ValueError: a bad rank\n", told["test[fails]"])
    assert "train.py: rank 1 of 2 ended with signal 9 (SIGKILL), which ended all, " in told["test[dies]"]
    assert "test_suite.unfair: rank 1 of 2 ended with exit status 1, which ended all, " in told["test_function"]
    assert "ValueError: an unfair rank" in told["test_function"]
    assert "function_rank.py" not in run.stdout
    for text in told.values():
        assert re.search(r"  logs of ranks: \.gpupool/runs/.*\.ranks$", text, re.MULTILINE)
    assert run.metrics("test[fails]") == run.metrics("test[dies]") == {"total": 6}
    assert not processes_of(cpu_host.lock_dir)


BAD = {
    "lambda": "test_lambda.<locals>.<lambda> cannot be pickled",
    "local": "test_local.<locals>.inner cannot be pickled",
    "unpicklable": "is called with cannot be pickled",
    "many": "nproc=3, but this test has 2 devices: mark it @pytest.mark.gpupool(gpus=3)",
    "none": "nproc=0: give a whole number from 1",
    "word": "nproc='two': give a whole number from 1",
    "missing": "there is no script trian.py in ",
    "kind": "torchrun runs a script or a function, not a int",
    "args": "args is a list, not 'x': write args=['x']",
    "params": "the parameters of a function are a dict, not [1]",
    "reduce": "reduce='median': give one of 'mean', 'sum', 'min', 'max'",
    "no_device": "this test has none: mark it @pytest.mark.gpupool(gpus=2)",
    "no_torch": "torchrun needs torch, whose torch.distributed.run starts ranks: pip install torch",
}


def test_what_cannot_run_is_told_at_once(cpu_host: Host) -> None:
    """Before anything starts."""
    cpu_host.write(
        "test_suite.py",
        """
        import sys
        import pytest

        pytestmark = pytest.mark.gpupool(gpus=2)

        def fine(): pass

        def test_lambda(torchrun): torchrun(lambda: 1)

        def test_local(torchrun):
            def inner(): pass
            torchrun(inner)

        def test_unpicklable(torchrun): torchrun(fine, {"x": (one for one in "")})
        def test_many(torchrun): torchrun(fine, nproc=3)
        def test_none(torchrun): torchrun(fine, nproc=0)
        def test_word(torchrun): torchrun(fine, nproc="two")
        def test_missing(torchrun): torchrun("trian.py")
        def test_kind(torchrun): torchrun(3)
        def test_args(torchrun): torchrun(fine, args="x")
        def test_params(torchrun): torchrun(fine, [1])
        def test_reduce(torchrun): torchrun(fine, reduce="median")

        @pytest.mark.gpupool(gpus=0)
        def test_no_device(torchrun): torchrun(fine)

        def test_no_torch(torchrun, monkeypatch):
            monkeypatch.setitem(sys.modules, "torch", None)
            torchrun(fine)
        """,
    )
    run = cpu_host.pytest()
    assert run.outcomes == {f"test_{name}": "failed" for name in BAD}, run.output
    for name, told in BAD.items():
        assert told in run.tests[f"test_{name}"]["message"]
    assert "job.py" not in run.stdout  # no traceback of ours
    assert "items/scripts.py" not in run.stdout


HANGS = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(os.getpid(), child.pid, os.environ["LOCAL_RANK"], flush=True)
    time.sleep(600)
"""


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def pids_in(host: Host) -> list[int]:
    """The processes of two ranks that hang, and of their children, once all have written."""
    found = "".join(path.read_text() for path in (host.project / ".gpupool").glob("runs/*/logs/*/*.ranks/*.log"))
    lines = re.findall(r"^(\d+) (\d+) [01]$", found, re.MULTILINE)
    return [int(pid) for line in lines for pid in line] if len(lines) == 2 else []


@pytest.mark.long
def test_a_limit_ends_all_ranks(cpu_host: Host) -> None:
    """With all that they have started."""
    cpu_host.write("hangs.py", HANGS)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(gpus=2)
        def test(torchrun): torchrun("hangs.py", timeout=20)
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.outcomes == {"test": "failed"}
    assert "hangs.py: took longer than 20 s and was ended with all that it had started" in run.tests["test"]["message"]
    assert len(pids := pids_in(cpu_host)) == 4
    assert all(map(is_gone, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_rank_outlives_a_run(cpu_host: Host, number: int) -> None:
    """However that is ended."""
    cpu_host.write("hangs.py", HANGS)
    cpu_host.write(
        "test_suite.py",
        "import pytest\n@pytest.mark.gpupool(gpus=2)\ndef test(torchrun): torchrun('hangs.py')\n",
    )
    run = cpu_host.start("-n1")
    deadline = time.monotonic() + LIMIT
    while not (pids := pids_in(cpu_host)):
        assert time.monotonic() < deadline, "the ranks never came"
        time.sleep(0.02)
    os.kill(run.process.pid, number)
    run.finish()
    while processes_of(cpu_host.lock_dir) or not all(map(is_gone, pids)):
        assert time.monotonic() < deadline, "something lives on"
        time.sleep(0.02)
