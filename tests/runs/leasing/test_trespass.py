"""Who leaves its worker's devices, as a plugin, conftest.py, module or test, is told so by name."""

from __future__ import annotations

import pytest
from support import Host, gpus, wait_for

SUITE = """
import os, time
import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number, gpu):
    assert os.environ["CUDA_VISIBLE_DEVICES"] == str(int(gpu.ids[0][4:12], 16))
"""

PLAIN, WORKER = ("--gpupool-devices=1",), ("-n1", "--gpupool-devices=1")
"""Both lease GPU 1."""
EITHER = pytest.mark.parametrize("args", [PLAIN, WORKER], ids=["plain", "n1"])

ZERO, ONE, _, THREE = (gpu.uuid for gpu in gpus(4))
LEASED = f"leased GPU 1 ({ONE})"
REMEDY = "remove that line, or switch the pool off with -p no:gpupool"

SET = 'import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "0"\n'
IN_CONFIGURE = f"def pytest_configure():\n    import os\n    {SET.splitlines()[1]}\n"


def owner(args: tuple[str, ...]) -> str:
    """How the process that leases is called."""
    return "this worker" if "-n1" in args else "this process"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SET, "conftest.py set CUDA_VISIBLE_DEVICES=0"),
        (IN_CONFIGURE, "pytest_configure of conftest.py set CUDA_VISIBLE_DEVICES=0"),
        ("import os\ndel os.environ['CUDA_VISIBLE_DEVICES']\n", "conftest.py removed CUDA_VISIBLE_DEVICES"),
    ],
    ids=["import", "configure", "removed"],
)
@EITHER
def test_a_conftest_that_chooses_devices_is_refused(host: Host, args: tuple[str, ...], text: str, said: str) -> None:
    """The run does not begin: exit 4, and a sentence that names the file and the lease."""
    host.write("conftest.py", text)
    host.write("test_suite.py", SUITE)
    run = host.pytest(*args)
    assert run.status == 4, run.output
    assert f"gpupool: {said}, but {owner(args)} {LEASED}: {REMEDY}" in run.output
    assert "gpupool: gpupool:" not in run.output
    assert "Traceback" not in run.output
    assert "INTERNAL" not in run.output


def test_with_several_workers_one_that_leased_another_gpu_refuses(host: Host) -> None:
    """Never is a result told of one GPU that came from another."""
    host.write("conftest.py", SET)
    host.write("test_suite.py", SUITE.replace("assert os", "time.sleep(600)  # the run is ended before: os"))
    run = host.pytest("-n2")
    assert run.status == 4, run.output
    assert f"gpupool: conftest.py set CUDA_VISIBLE_DEVICES=0, but this worker {LEASED}: {REMEDY}" in run.output


@EITHER
def test_a_plugin_is_named(host: Host, args: tuple[str, ...]) -> None:
    """Also one that a conftest.py loads."""
    host.write("chooser.py", SET)
    host.write("conftest.py", 'pytest_plugins = ["chooser"]\n')
    host.write("test_suite.py", SUITE)
    environ = host.environ(PYTHONPATH=str(host.project))
    run = host.pytest(*args, environ=environ)
    assert run.status == 4, run.output
    assert f"the plugin chooser set CUDA_VISIBLE_DEVICES=0, but {owner(args)} {LEASED}" in run.output


@EITHER
def test_a_module_that_chooses_devices_is_not_collected(host: Host, args: tuple[str, ...]) -> None:
    """Its collection fails by name; what is collected after it sees what was leased."""
    host.write("test_a.py", SET + "def test_never(): pass\n")
    host.write("test_b.py", SUITE)
    run = host.pytest(*args, "--continue-on-collection-errors")
    assert run.status == 1, run.output
    assert f"gpupool: test_a.py set CUDA_VISIBLE_DEVICES=0, but {owner(args)} {LEASED}: {REMEDY}" in run.output
    assert run.outcomes == {f"test_it[{number}]": "passed" for number in range(4)}


@EITHER
def test_a_conftest_of_a_folder_fails_that_folder(host: Host, args: tuple[str, ...]) -> None:
    """It is loaded as the folder is collected."""
    host.write("evals/conftest.py", SET)
    host.write("evals/test_a.py", "def test_never(): pass\n")
    host.write("test_b.py", SUITE)
    run = host.pytest(*args, "--continue-on-collection-errors")
    assert run.status == 1, run.output
    assert f"gpupool: evals/conftest.py set CUDA_VISIBLE_DEVICES=0, but {owner(args)} {LEASED}" in run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert len(run.outcomes) == 4


@EITHER
def test_another_spelling_of_the_lease_is_none_elses_device(host: Host, args: tuple[str, ...]) -> None:
    """As where a suite wants its GPU by UUID."""
    listed = 'os.environ["CUDA_VISIBLE_DEVICES"]'
    host.write("conftest.py", f'import os\n{listed} = os.environ.get("GPUPOOL_DEVICES", "-1")\n')
    host.write("test_suite.py", f"import os\ndef test_it(gpu): assert {listed} == gpu.ids[0]\n")
    run = host.pytest(*args)
    assert run.status == 0, run.output


def test_where_there_is_no_gpu_a_suite_may_say_what_it_likes(cpu_host: Host) -> None:
    """It changes nothing there."""
    cpu_host.write("conftest.py", SET)
    cpu_host.write("test_suite.py", 'import os\ndef test_it(): assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"\n')
    for args in ((), ("-n1",)):
        run = cpu_host.pytest(*args)
        assert run.status == 0, run.output


def test_on_cpu_slots_of_a_host_with_gpus_it_may_not(host: Host) -> None:
    """Tests would use a GPU that nobody has leased."""
    host.write("conftest.py", SET)
    host.write("test_suite.py", "def test_it(): pass\n")
    run = host.pytest("-n1", "--gpupool-devices=cpu")
    assert run.status == 4, run.output
    assert "conftest.py set CUDA_VISIBLE_DEVICES=0, but this worker leased no GPU" in run.output


CHANGES = """
import os
import pytest

def test_puts_back(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

def test_leaves_it():
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"

def test_next():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"

@pytest.mark.xfail
def test_is_expected_to_fail():
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    raise ValueError

def test_fails_anyway():
    try:
        raise ValueError
    finally:
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"
"""


@EITHER
def test_a_test_that_leaves_a_change_behind_fails(host: Host, args: tuple[str, ...]) -> None:
    """One that puts it back by its end does not; what comes after sees what was leased; no mark of its own hides it."""
    host.write("test_suite.py", CHANGES)
    run = host.pytest(*args)
    assert run.status == 1, run.output
    left = (
        "gpupool: test_suite.py::test_leaves_it (or a fixture or hook of it) set CUDA_VISIBLE_DEVICES=0 and did not "
        f"put it back, but {owner(args)} {LEASED}: leave it alone, or set it for a program that the test starts (env=…)"
    )
    assert left in run.output
    assert left in run.tests["test_leaves_it"]["message"]
    assert run.outcomes == {
        "test_puts_back": "passed",
        "test_leaves_it": "error",
        "test_next": "passed",
        "test_is_expected_to_fail": "error",
        "test_fails_anyway": "failed",
    }
    assert "test_fails_anyway (or a fixture or hook of it) set" in run.tests["test_fails_anyway"]["message"]


@EITHER
def test_what_a_hook_changes_before_anything_is_collected_is_refused(host: Host, args: tuple[str, ...]) -> None:
    """Nobody knows whose hook it was."""
    host.write("conftest.py", f"def pytest_sessionstart():\n    import os\n    {SET.splitlines()[1]}\n")
    host.write("test_suite.py", SUITE)
    run = host.pytest(*args)
    assert run.status in (1, 2), run.output  # 1 by xdist
    assert run.outcomes == {}
    said = f"gpupool: a hook of a plugin or of a conftest.py set CUDA_VISIBLE_DEVICES=0, but {owner(args)}"
    assert said in run.output


@EITHER
def test_what_a_hook_changes_between_tests_fails_the_next_one(host: Host, args: tuple[str, ...]) -> None:
    """It is put back for those after it."""
    hook = f"def pytest_runtest_logstart(nodeid):\n    if nodeid.endswith('[1]'):\n        {SET.splitlines()[1]}\n"
    host.write("conftest.py", f"import os\n{hook}")
    host.write("test_suite.py", SUITE)
    run = host.pytest(*args, "--gpupool-order=file")
    assert run.status == 1, run.output
    assert [run.outcomes[f"test_it[{number}]"] for number in range(4)] == ["passed", "error", "passed", "passed"]
    message = run.tests["test_it[1]"]["message"]
    assert "a hook of a plugin or of a conftest.py set CUDA_VISIBLE_DEVICES=0 before this test began, but" in message


ELSEWHERE = """
import torch

def test_first(): pass

def test_leaves_its_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    torch.cuda.init()

def test_last(gpu):
    torch.cuda.init()
"""


def test_a_worker_that_sees_another_gpu_is_replaced(host: Host) -> None:
    """The test fails by name, though it put the variable back; the next one runs in a new process."""
    host.write("test_suite.py", ELSEWHERE)
    run = host.pytest(*WORKER, "--gpupool-order=file", environ=host.torch_environ())
    assert run.status == 1, run.output
    assert run.outcomes == {"test_first": "passed", "test_leaves_its_gpu": "failed", "test_last": "passed"}
    stranger = ZERO  # which is not in this run's pool
    said = (
        f"gpupool: test_suite.py::test_leaves_its_gpu runs where CUDA was initialised with {stranger}, but this worker "
        f"{LEASED}"
    )
    assert said in run.output
    assert said in run.tests["test_leaves_its_gpu"]["message"]
    assert (
        f"gw0 ran no more tests after test_suite.py::test_leaves_its_gpu, since its process sees {stranger}, which it "
        "has not leased"
    ) in run.output
    assert run.tests["test_last"]["worker"] != run.tests["test_first"]["worker"]


def test_a_single_process_that_sees_another_gpu_ends(host: Host) -> None:
    """There is no other process to run the rest."""
    host.write("test_suite.py", ELSEWHERE)
    run = host.pytest(*PLAIN, "--gpupool-order=file", environ=host.torch_environ())
    assert run.status == 1, run.output
    assert run.outcomes == {"test_first": "passed", "test_leaves_its_gpu": "failed", "test_last": "not-run"}
    after = "gpupool: no other test can run here after test_suite.py::test_leaves_its_gpu: its process sees"
    assert after in run.output


@EITHER
def test_a_module_that_initialises_cuda_elsewhere_is_named(host: Host, args: tuple[str, ...]) -> None:
    """Though it puts the variable back: this process sees that device for good."""
    text = SET + 'import torch\ntorch.cuda.init()\nos.environ["CUDA_VISIBLE_DEVICES"] = "1"\n'
    host.write("test_a.py", text + "def test_never(): pass\n")
    host.write("test_b.py", "def test_b(): pass\n")
    run = host.pytest(*args, environ=host.torch_environ())
    assert run.status in (1, 2), run.output  # xdist goes on with test_b
    assert "passed" not in run.outcomes.values()
    assert "ERROR collecting test_b.py" not in run.output
    assert (
        f"gpupool: test_a.py initialised CUDA with {ZERO}, but "
        f"{owner(args)} {LEASED}: let it use CUDA inside tests or fixtures only"
    ) in run.output


ABROAD = """
import os, subprocess, sys, time
from pathlib import Path
from pytest_gpupool.worker.recording.recorder import recorder_key

def test_goes_abroad(request):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        Path("pid").write_text(f"{child.pid}\\n")
        while not request.config.stash[recorder_key].equipment.sampler.outsiders():
            time.sleep(0.05)
        child.kill()

def test_stays_at_home(): pass
"""


@pytest.mark.parametrize("args", [PLAIN, WORKER, ("-n1", "--gpupool-devices=cpu")], ids=["plain", "n1", "cpu"])
def test_a_child_on_a_gpu_that_is_not_leased_fails_its_test(host: Host, args: tuple[str, ...]) -> None:
    """What the sampler sees of it is told by name, with the pid and the GPU."""
    assert host.driver is not None
    host.write("test_suite.py", ABROAD)
    running = host.start(*args, "--gpupool-order=file", "--gpupool-sample=0.05")
    (pid,) = wait_for(host.project / "pid")
    host.driver.processes(3, (int(pid), 1))
    run = running.finish()
    assert run.status == 1, run.output
    assert run.outcomes == {"test_goes_abroad": "failed", "test_stays_at_home": "passed"}
    said = (
        f"gpupool: test_suite.py::test_goes_abroad used GPU 3 ({THREE}), which its "
        f"worker has not leased: pid {pid} (python"
    )
    assert said in run.tests["test_goes_abroad"]["message"]
    assert said in run.output


ISOLATED_ABROAD = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.gpupool(isolate=True)
def test_goes_abroad():
    Path("pid").write_text(f"{os.getpid()}\\n")
    while not Path("seen").exists():
        time.sleep(0.01)
    time.sleep(0.3)

def test_stays_at_home(): pass
"""

SEEN = """
from pathlib import Path
from pytest_gpupool.sampling import outside

look = outside.OutsideLook.look

def looks(*args):
    found = look(*args)
    if found:
        Path("seen").touch()
    return found

outside.OutsideLook.look = looks
"""
"""Tells when the sampler has seen somebody, in a process that the test cannot ask."""


@EITHER
def test_an_isolated_test_on_a_gpu_that_is_not_leased_fails(host: Host, args: tuple[str, ...]) -> None:
    """Its own process is among the children of the one that holds the lease."""
    assert host.driver is not None
    host.write("conftest.py", SEEN)
    host.write("test_suite.py", ISOLATED_ABROAD)
    running = host.start(*args, "--gpupool-order=file", "--gpupool-sample=0.05")
    (pid,) = wait_for(host.project / "pid")
    host.driver.processes(3, (int(pid), 1))
    run = running.finish()
    assert run.outcomes == {"test_goes_abroad": "failed", "test_stays_at_home": "passed"}, run.output
    assert (
        f"used GPU 3 ({THREE}), which its worker has not leased: pid {pid}" in run.tests["test_goes_abroad"]["message"]
    )


@EITHER
def test_an_isolated_test_that_sees_another_gpu_leaves_the_others_alone(host: Host, args: tuple[str, ...]) -> None:
    """Only its own process sees that for good."""
    host.write("test_suite.py", ELSEWHERE)
    run = host.pytest(*args, "--gpupool-isolate", "--gpupool-order=file", environ=host.torch_environ())
    assert run.outcomes == {"test_first": "passed", "test_leaves_its_gpu": "failed", "test_last": "passed"}, run.output
    assert "ran no more tests" not in run.output
