"""Fresh processes: where a worker cannot be forked its isolated tests run all the same, and it says why once."""

from __future__ import annotations

import pytest
from support import Host, Run

SAYS = """
    import os, subprocess, time, warnings
    import pytest

    isolated = pytest.mark.gpupool(isolate=True)

    @isolated
    @pytest.mark.parametrize("number", [1, 2])
    def test_says(record_metric, record_property, number, gpu):
        print("by print")
        subprocess.run(["echo", "by a program"])
        warnings.warn("by warning")
        record_metric("number", float(number))
        record_property("name", "value")
        assert gpu.count == 1

    @isolated
    def test_forks_and_measures(record_metric):
        pid = os.fork()
        if pid == 0:
            record_metric("child", 1.0)
            os._exit(0)
        os.waitpid(pid, 0)

    @isolated
    def test_fails():
        assert [1, 2] == [1, 3]

    @isolated
    def test_exits():
        print("before the exit", flush=True)
        os._exit(3)

    @isolated
    def test_aborts():
        os.abort()

    @pytest.mark.gpupool(isolate=True, timeout=1)
    def test_hangs():
        print("before it hangs", flush=True)
        subprocess.Popen(["sleep", "1000"])
        time.sleep(1000)

    @isolated
    @pytest.mark.gpupool(repeats=2)
    def test_repeats(record_metric, gpu):
        record_metric("repeat", float(gpu.repeat))
"""

OUTCOMES = {
    "test_says[1]": "passed",
    "test_says[2]": "passed",
    "test_forks_and_measures": "passed",
    "test_fails": "failed",
    "test_exits": "crashed",
    "test_aborts": "crashed",
    "test_hangs": "timeout",
    "test_repeats": "passed",
}

THREAD = """
    import threading, time
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def thread():
        threading.Thread(target=time.sleep, args=(1000,), name="heartbeat", daemon=True).start()
"""


def test_all_comes_back_from_a_fresh_process_as_well(gpu_host: Host) -> None:
    """And nothing of it is left."""
    gpu_host.write("conftest.py", THREAD)
    gpu_host.write("test_suite.py", SAYS)
    run = gpu_host.pytest("-rA")
    assert run.outcomes == OUTCOMES, run.output
    assert run.metrics("test_says[2]") == {"number": 2.0}
    assert run.metrics("test_forks_and_measures") == {"child": 1.0}
    assert run.metrics("test_repeats") == {"repeat": 0.5}
    assert run.junit["test_says[1]"]["name"] == "value"
    for said in ("by print", "by a program", "UserWarning: by warning", "before the exit", "before it hangs"):
        assert said in run.stdout
    messages = {name: test["message"] or "" for name, test in run.tests.items()}
    assert "At index 1 diff: 2 != 3" in run.stdout
    assert "ended with exit status 3" in messages["test_exits"]
    assert "in test_aborts" in messages["test_aborts"]
    assert "in test_hangs" in messages["test_hangs"]
    logs = {log.name: log.read_text() for log in gpu_host.project.glob(".gpupool/runs/*/logs/*/*")}
    assert [text.count("by print\n") for name, text in logs.items() if "test_says" in name] == [1, 1]
    says_why_once_by_worker(run)
    gpu_host.wait_until_gone()


def test_workers_start_fresh_processes(gpu_host: Host) -> None:
    """Each says why."""
    gpu_host.write("conftest.py", THREAD)
    gpu_host.write("test_suite.py", SAYS)
    run = gpu_host.pytest("-n2", "-rA", "-k", "says or exits")
    assert run.outcomes == {name: OUTCOMES[name] for name in ("test_says[1]", "test_says[2]", "test_exits")}, run.output
    assert set(run.exits.values()) == {"finished"}
    assert run.stdout.count("by a program") == 2
    says_why_once_by_worker(run)
    gpu_host.wait_until_gone()


def says_why_once_by_worker(run: Run) -> None:
    told = [line for line in run.output.splitlines() if "since it could not be forked" in line]
    assert len(told) == len({worker["id"] for worker in run.report["workers"]})
    assert all("the thread 'heartbeat' runs in this process" in line for line in told)


def test_other_plugins_work_in_fresh_processes(cpu_host: Host) -> None:
    """Each adds to coverage what it has measured, and ends at pytest-timeout's limit as elsewhere."""
    cpu_host.write("conftest.py", THREAD)
    cpu_host.write("covered.py", "def half(number):\n    if number % 2:\n        return 0\n    return number // 2\n")
    cpu_host.write(
        "test_suite.py",
        """
        import pytest, time
        from covered import half

        pytestmark = pytest.mark.gpupool(isolate=True)

        @pytest.mark.parametrize("number", [1, 2])
        def test_half(number): half(number)

        @pytest.mark.timeout(1)
        def test_hangs(): time.sleep(1000)
        """,
    )
    run = cpu_host.pytest("--cov=covered", "--cov-report=json", companions=("pytest_cov", "timeout"))
    assert run.outcomes == {"test_half[1]": "passed", "test_half[2]": "passed", "test_hangs": "failed"}, run.output
    assert '"percent_covered": 100.0' in (cpu_host.project / "coverage.json").read_text()
    assert "Timeout (>1.0s) from pytest-timeout" in run.tests["test_hangs"]["message"]


USES = """
    import os
    import pytest
    import torch

    LOADED_BY = os.getpid()

    @pytest.fixture(scope="session")
    def model(): torch.cuda.init()

    @pytest.fixture(scope="session")
    def model_on_gpu(gpu): torch.cuda.init()

    pytestmark = pytest.mark.gpupool(isolate=True)

    def is_forked(): return LOADED_BY == os.getppid()

    def test_first(model_on_gpu): assert is_forked()
    def test_second(model_on_gpu): assert is_forked()
    def test_third(model): assert not is_forked()
    def test_fourth(): assert not is_forked()
"""


def test_a_fixture_that_uses_the_device_without_the_fixture_gpu_is_named(gpu_host: Host) -> None:
    """Since from then on no test can be forked; one that requests gpu uses it in the process of each test."""
    gpu_host.write("test_suite.py", USES)
    run = gpu_host.pytest("-n1", "--gpupool-order=file", environ=gpu_host.torch_environ())
    assert run.outcomes == dict.fromkeys(("test_first", "test_second", "test_third", "test_fourth"), "passed"), (
        run.output
    )
    (told,) = [line for line in run.output.splitlines() if "since it could not be forked" in line]
    assert "is initialised in this process since its fixture 'model' was set up, which does not request 'gpu'" in told


THREADS = {
    "pthread": """
        import ctypes, pytest

        def test_computes():
            libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
            assert libc.pthread_create(ctypes.byref(thread), None, libc.sleep, ctypes.c_void_p(1000)) == 0

        @pytest.mark.gpupool(isolate=True)
        def test_computes_as_well(): pass
    """,
    "torch": """
        import pytest, torch

        def test_computes():
            torch.set_num_threads(4)
            large = torch.randn(1000, 1000)
            assert torch.isfinite((large @ large).exp().sum() * 0) is not None

        @pytest.mark.gpupool(isolate=True)
        def test_computes_as_well():
            large = torch.randn(1000, 1000)
            assert (large @ large).shape == (1000, 1000)
    """,
}


@pytest.mark.parametrize("library", THREADS)
def test_threads_that_a_library_has_started_are_seen(cpu_host: Host, library: str, pytestconfig: pytest.Config) -> None:
    """Python knows nothing of them, and a child has none of them."""
    if library == "torch":
        if not pytestconfig.getoption("long"):
            pytest.skip("loads torch twice: --long")
        pytest.importorskip("torch")
    cpu_host.write("test_suite.py", THREADS[library])
    run = cpu_host.pytest()
    assert run.status == 0, run.output
    assert "a library has started" in run.output


def test_what_keeps_a_fresh_process_from_its_test_is_the_tests_error(cpu_host: Host) -> None:
    """As where its module cannot be loaded twice."""
    cpu_host.write("conftest.py", THREAD)
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest

        if os.path.exists("loaded"):
            raise RuntimeError("loaded before")
        open("loaded", "w").close()

        @pytest.mark.gpupool(isolate=True)
        def test_one(): pass

        def test_other(): pass
        """,
    )
    run = cpu_host.pytest()
    assert run.outcomes == {"test_one": "error", "test_other": "passed"}, run.output
    message = run.tests["test_one"]["message"]
    assert "this isolated test has got no process" in message
    assert "loaded before" in message
