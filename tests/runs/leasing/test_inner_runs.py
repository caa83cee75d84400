"""pytest inside a test has the test's devices: the lease is believed where a process above holds it, else not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support import Host, records, wait_for

CALL = """
import os, subprocess, sys
from pathlib import Path

def call(*args, env=None):
    options = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "--gpupool-json=inner.json", *args]
    done = subprocess.run(
        [sys.executable, *options], cwd="inner", env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    Path("inner/said").write_text(done.stdout + done.stderr)
    return done.returncode
"""

INNER = """
import json, os, time
import pytest

@pytest.mark.parametrize("number", range(4))
def test_inner(number, gpu):
    time.sleep(0.1)
    record = {name: os.environ.get(name) for name in ("GPUPOOL_RUN", "GPUPOOL_DEVICES", "CUDA_VISIBLE_DEVICES")}
    with open("seen.jsonl", "a") as file:
        print(json.dumps({**record, "ids": gpu.ids}), file=file)
"""


def write(host: Host, outer: str, inner: str = INNER) -> None:
    """An outer suite, and an inner one in a folder of its own."""
    host.write("caller.py", CALL)
    host.write("pytest.ini", "[pytest]\npythonpath = .\n")
    host.write("test_outer.py", f"import pytest\nfrom caller import call\n{outer}")
    host.write("inner/pytest.ini", "[pytest]\n")
    host.write("inner/test_inner.py", inner)


def report(host: Host) -> dict[str, Any]:
    """The inner run's report."""
    made: dict[str, Any] = json.loads((host.project / "inner/inner.json").read_text())
    return made


def seen(host: Host) -> list[dict[str, Any]]:
    """What the inner tests saw."""
    return [json.loads(line) for line in (host.project / "inner/seen.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("inner", ["", "'-n3'", "'-nauto'"], ids=["plain", "n3", "auto"])
@pytest.mark.parametrize("outer", [(), ("-n1",)], ids=["outer-plain", "outer-n1"])
def test_the_test_s_device_is_the_inner_run_s_pool(host: Host, outer: tuple[str, ...], inner: str) -> None:
    """No more workers than devices, all that a run makes, and nothing is locked or waited for."""
    assert host.driver is not None
    write(host, f"def test_outer(gpu):\n    assert call({inner}) == 0\n")
    run = host.pytest("--gpupool-devices=2", "test_outer.py", "--gpupool-wait=0", *outer)
    said = (host.project / "inner/said").read_text()
    assert run.status == 0, run.output + said
    device = host.driver.uuids[2]
    made, outer_run = report(host), run.report["run"]["id"]
    assert [one["id"] for one in made["devices"]] == [device]
    assert made["run"]["complete"]
    assert {test["outcome"] for test in made["tests"]} == {"passed"}
    assert {tuple(test["devices"]) for test in made["tests"]} == {(device,)}
    assert len(made["workers"]) == 1
    assert f"gpupool: within the lease of {outer_run} (GPUPOOL_RUN), which has these devices" in said
    assert "ignored" not in said
    expected = {"GPUPOOL_RUN": made["run"]["id"], "GPUPOOL_DEVICES": device, "CUDA_VISIBLE_DEVICES": "2"}
    assert all(one == {**expected, "ids": [device]} for one in seen(host))
    assert made["run"]["id"] != outer_run
    assert list((host.project / "inner/.gpupool/runs").iterdir())
    assert {line["test"] for line in records(host.project) if line["record"] == "start"} == {
        "test_outer.py::test_outer"
    }
    assert not host.held()


def test_inner_workers_share_several_devices_out(host: Host) -> None:
    """Each has one alone, and one test may have them all; two inner runs at once exclude each other."""
    assert host.driver is not None
    outer = """
import threading
@pytest.mark.gpupool(gpus=3)
def test_outer():
    threads = [threading.Thread(target=call, args=("-n3", f"--gpupool-json={name}.json")) for name in "ab"]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
    inner = """
import fcntl, os, time
import pytest

@pytest.mark.parametrize("number", range(6))
def test_alone(number, gpu):
    with open(gpu.ids[0], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.1)

@pytest.mark.gpupool(gpus=3)
def test_together(gpu):
    files = [open(id_, "w") for id_ in gpu.ids]
    for file in files: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(0.1)
"""
    write(host, outer, inner)
    run = host.pytest("-n1", "test_outer.py", "--gpupool-devices=1,2,3")
    assert run.status == 0, run.output
    for name in "ab":
        made = json.loads((host.project / f"inner/{name}.json").read_text())
        assert {test["outcome"] for test in made["tests"]} == {"passed"}, made["tests"]
        assert len(made["tests"]) == 7
        assert {one["id"] for one in made["devices"]} == set(host.driver.uuids[1:])


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_stale_variable_is_told_and_the_pool_is_on(host: Host, workers: tuple[str, ...]) -> None:
    """Nobody above holds it."""
    assert host.driver is not None
    host.write("test_suite.py", "import os\ndef test_it(gpu): assert os.environ['GPUPOOL_RUN'] != 'gone'\n")
    environ = host.environ(GPUPOOL_RUN="gone", GPUPOOL_DEVICES=host.driver.uuids[1])
    run = host.pytest(*workers, "--gpupool-devices=3", environ=environ)
    assert run.status == 0, run.output
    said = f"GPUPOOL_RUN=gone is set, but no process above this one holds {host.driver.uuids[1]}: ignored"
    assert f"gpupool: {said}" in run.stdout
    assert f"gpupool: warning: {said}" in run.stdout
    assert run.tests["test_it"]["devices"] == [host.driver.uuids[3]]


def test_a_variable_that_names_no_device_is_told(host: Host) -> None:
    """As one that a script has set."""
    host.write("test_suite.py", "def test_it(): pass\n")
    run = host.pytest(environ=host.environ(GPUPOOL_RUN="mine"))
    assert run.status == 0, run.output
    assert "GPUPOOL_RUN=mine is set, but GPUPOOL_DEVICES is not, and tells no device: ignored" in run.stdout


@pytest.mark.parametrize("outer", [(), ("-n1",)], ids=["outer-plain", "outer-n1"])
def test_within_a_cpu_slot_a_run_has_cpu_slots(host: Host, outer: tuple[str, ...]) -> None:
    """There is no lease to be verified, and the GPUs are hidden."""
    write(host, "def test_outer(gpu):\n    assert call('-n2') == 0\n")
    run = host.pytest("test_outer.py", "--gpupool-devices=cpu", *outer)
    said = (host.project / "inner/said").read_text()
    assert run.status == 0, run.output + said
    assert "ignored" not in said
    made = report(host)
    assert {test["outcome"] for test in made["tests"]} == {"passed"}
    assert {one["kind"] for one in made["devices"]} == {"cpu"}
    assert len(made["workers"]) == 2


def test_within_a_lease_a_device_outside_of_it_cannot_be_chosen(host: Host) -> None:
    """It is not in this run's reach."""
    write(host, "def test_outer(gpu):\n    assert call('--gpupool-devices=0') == 4\n")
    run = host.pytest("-n1", "test_outer.py", "--gpupool-devices=2")
    assert run.status == 0, run.output
    assert "--gpupool-devices=0: no device '0' here; there are: 2 (" in (host.project / "inner/said").read_text()


IN_PROCESS = """
import os
import pytest, torch

pytest_plugins = ["pytester"]
{initialise}

@pytest.mark.parametrize("number", range(2))
def test_outer(gpu, pytester, number):
    before = dict(os.environ)
    pytester.makepyfile(
        test_inner='''
            import os
            def test_inner(gpu):
                assert gpu.is_gpu and gpu.ids[0] in {ids!r}.split(",")
                assert os.environ["GPUPOOL_RUN"] != {run!r}
        '''.format(ids=os.environ["GPUPOOL_DEVICES"], run=os.environ["GPUPOOL_RUN"])
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly", "--gpupool-json=inner.json", {args})
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gpupool: within the lease of *"])
    assert list(pytester.path.glob(".gpupool/runs/*"))
    after = dict(os.environ)
    assert {**after, "PYTEST_CURRENT_TEST": ""} == {**before, "PYTEST_CURRENT_TEST": ""}  # any inner pytest removes it

def test_after(gpu):
    assert gpu.ids == os.environ["GPUPOOL_DEVICES"].split(",")
"""


INITIALISE = "torch.cuda.init()"
# Any two of the three in all four ways; all of them with --long.
OWN_PROCESS = [
    pytest.param((), "", "", id="outer-plain-plain-fresh"),
    pytest.param((), "'-n1'", INITIALISE, id="outer-plain-n1-cuda"),
    pytest.param(("-n1",), "", INITIALISE, id="outer-n1-plain-cuda"),
    pytest.param(("-n1",), "'-n1'", "", id="outer-n1-n1-fresh"),
    pytest.param((), "", INITIALISE, id="outer-plain-plain-cuda", marks=pytest.mark.long),
    pytest.param((), "'-n1'", "", id="outer-plain-n1-fresh", marks=pytest.mark.long),
    pytest.param(("-n1",), "", "", id="outer-n1-plain-fresh", marks=pytest.mark.long),
    pytest.param(("-n1",), "'-n1'", INITIALISE, id="outer-n1-n1-cuda", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("outer", "args", "initialise"), OWN_PROCESS)
def test_pytest_in_the_test_s_own_process(host: Host, outer: tuple[str, ...], args: str, initialise: str) -> None:
    """It works whether CUDA is initialised or not, again and again, and leaves lease, records and environment alone."""
    text = IN_PROCESS.replace("{initialise}", initialise).replace("{args}", args)
    host.write("test_outer.py", text)
    run = host.pytest("--gpupool-devices=1,2", *outer, environ=host.torch_environ())
    assert run.status == 0, run.output
    assert run.outcomes == {"test_outer[0]": "passed", "test_outer[1]": "passed", "test_after": "passed"}
    assert {tuple(test["devices"]) for test in run.tests.values()} == {tuple(run.tests["test_after"]["devices"])}


@pytest.mark.parametrize("outer", [(), ("-n1",)], ids=["outer-plain", "outer-n1"])
def test_where_cuda_is_initialised_the_inner_run_has_all_that_its_process_sees(
    host: Host, outer: tuple[str, ...]
) -> None:
    """No device is taken for somebody else's."""
    text = """
import os
import pytest, torch
pytest_plugins = ["pytester"]

@pytest.mark.gpupool(gpus=2)
def test_outer(gpu, pytester):
    torch.cuda.init()
    inner = f"import torch\\ndef test_inner(gpu):\\n    assert gpu.ids == {gpu.ids}\\n    torch.cuda.init()"
    pytester.makepyfile(test_inner=inner)
    pytester.runpytest_inprocess("-p", "no:randomly").assert_outcomes(passed=1)
"""
    host.write("test_outer.py", text)
    run = host.pytest("--gpupool-devices=1,2", *outer, environ=host.torch_environ())
    assert run.status == 0, run.output


def test_the_end_of_the_outer_worker_is_that_of_the_inner_ones(host: Host) -> None:
    """They are its family, whatever group they are in and whatever run they say."""
    inner = """
import os, time
def test_inner():
    with open("pids", "a") as file: print(os.getpid(), file=file)
    time.sleep(600)
"""
    outer = """
import os
from pathlib import Path
def test_outer():
    Path("outer_pid").write_text(f"{os.getpid()}\\n")
    call("-n1")

def test_after(gpu): pass
"""
    write(host, outer, inner)
    running = host.start("-n1", "test_outer.py", "--gpupool-devices=0", "--gpupool-order=file")
    (outer_pid,) = wait_for(host.project / "outer_pid")
    wait_for(host.project / "inner/pids")
    os.kill(int(outer_pid), signal.SIGKILL)
    run = running.finish()
    assert run.outcomes == {"test_outer": "crashed", "test_after": "passed"}
    host.wait_until_gone()


def test_the_outer_lease_holds_while_the_inner_run_goes_on(host: Host, tmp_path: Path) -> None:
    """And after it: the inner run ends, and frees nothing of the outer's."""
    inner = """
from pathlib import Path
import time
def test_inner():
    Path("began").write_text("\\n")
    while not Path("go").exists(): time.sleep(0.01)
"""
    outer = """
from pathlib import Path
import time
def test_outer():
    call("-n1")
    Path("inner_over").write_text("\\n")
    while not Path("go").exists(): time.sleep(0.01)
"""
    write(host, outer, inner)
    running = host.start("-n1", "test_outer.py", "--gpupool-devices=0")
    wait_for(host.project / "inner/began")
    assert host.held() == {0}
    (host.project / "inner/go").touch()
    wait_for(host.project / "inner_over")
    assert host.held() == {0}
    (host.project / "go").touch()
    assert running.finish().status == 0
    assert not host.held()
