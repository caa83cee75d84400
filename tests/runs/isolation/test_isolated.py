"""Isolated tests: what they do to their process stays there, and what they say comes back as if nothing was between."""

from __future__ import annotations

import os
import signal

import pytest
from support import Host, Run, Watched, records, wait_for

each_way = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
by_one = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])

HARM = """
    import ctypes, logging, os, signal, subprocess, sys, time, warnings
    import pytest

    pytestmark = pytest.mark.gpupool(isolate=True)

    def test_says(record_metric, record_property):
        print("by print")
        subprocess.run(["echo", "by a program"])
        logging.getLogger("suite").warning("by logging")
        warnings.warn("by warning")
        record_metric("accuracy", 0.5, higher_is_better=True)
        record_property("name", "value")

    def test_changes():
        os.chdir("/")
        os.environ["LEFT"] = "1"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.modules["json"] = None
        sys.path.clear()

    @pytest.fixture
    def noisy():
        print("as it was set up")

    def test_segfaults(noisy):
        print("before the fault", flush=True)
        ctypes.string_at(0)

    def test_exits():
        os.write(1, b"before the exit")
        os._exit(3)

    def test_exits_well():
        os._exit(0)

    def test_is_killed():
        os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.gpupool(timeout=1)
    def test_hangs():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "1000"])
        print("before it hangs", flush=True)
        time.sleep(1000)

    def test_leaves_processes():
        subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL)
        if os.fork() == 0:
            time.sleep(1000)

    def test_comes_back_twice():
        os.fork()

    def test_finds_nothing_of_that(request):
        import json
        assert os.getcwd() == str(request.config.rootpath)
        assert "LEFT" not in os.environ
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_is_alone():
        assert os.getpid() == os.getpgid(0)
        with open("pids", "a") as file:
            file.write(f"alone {os.getpid()} {os.getppid()}\\n")

    @pytest.mark.gpupool(isolate=False)
    def test_is_not_isolated():
        with open("pids", "a") as file:
            file.write(f"other {os.getpid()} {os.getppid()}\\n")
"""

OUTCOMES = {
    "test_says": "passed",
    "test_changes": "passed",
    "test_segfaults": "crashed",
    "test_exits": "crashed",
    "test_exits_well": "crashed",
    "test_is_killed": "crashed",
    "test_hangs": "timeout",
    "test_leaves_processes": "passed",
    "test_comes_back_twice": "passed",
    "test_finds_nothing_of_that": "passed",
    "test_is_alone": "passed",
    "test_is_not_isolated": "passed",
}


@each_way
def test_harm_stays_in_the_process_of_the_test(gpu_host: Host, workers: tuple[str, ...]) -> None:
    """And all that is known of it is told: how the process ended, where it was, and what it had written."""
    gpu_host.write("test_suite.py", HARM)
    run = gpu_host.pytest(*workers, "-rA")
    assert run.outcomes == OUTCOMES, run.output
    assert run.status == 1
    assert set(run.exits.values()) == {"finished"}
    messages = {name: test["message"] or "" for name, test in run.tests.items()}
    assert "was killed by SIGSEGV, in its call" in messages["test_segfaults"]
    assert "in test_segfaults" in messages["test_segfaults"]
    assert "ended with exit status 3 before the test was over, in its call" in messages["test_exits"]
    assert "ended with exit status 0 before" in messages["test_exits_well"]
    assert "was killed by SIGKILL" in messages["test_is_killed"]
    assert "took longer than 1 s" in messages["test_hangs"]
    assert "in test_hangs" in messages["test_hangs"]
    for said in ("as it was set up", "before the fault", "before the exit", "before it hangs"):
        assert said in run.stdout
    assert "came back into pytest and was ended" in run.output
    gpu_host.wait_until_gone()
    what_a_test_says_has_come_back(run)
    processes_are_children_of_those_that_run_the_others(run)
    records_are_those_of_any_test(gpu_host)


def what_a_test_says_has_come_back(run: Run) -> None:
    """Its output, also by its descriptors, logs, warnings, metrics and properties."""
    assert run.metrics("test_says") == {"accuracy": 0.5}
    properties = run.junit["test_says"]
    assert properties["name"] == "value"
    assert float(properties["gpupool.metric.accuracy"]) == 0.5
    for said in ("by print", "by a program", "by logging", "UserWarning: by warning"):
        assert said in run.stdout
    assert None not in run.tests["test_says"]["phases"].values()
    logs = list(run.directory.glob(".gpupool/runs/*/logs/*/*test_says*"))
    assert [("by print" in log.read_text(), "by a program" in log.read_text()) for log in logs] == [(True, True)]


def processes_are_children_of_those_that_run_the_others(run: Run) -> None:
    """They are forked from these, so that what these have loaded is there."""
    lines = (line.split() for line in (run.directory / "pids").read_text().splitlines())
    pids = {name: (int(pid), int(parent)) for name, pid, parent in lines}
    workers = {worker["pid"] for worker in run.report["workers"]}
    assert pids["alone"][1] in workers
    assert pids["alone"][0] not in workers
    assert pids["other"][0] in workers


def records_are_those_of_any_test(host: Host) -> None:
    """One start and one end for each attempt, written by the process that lives on."""
    kinds = [(line["record"], line.get("test", "").rpartition("::")[2]) for line in records(host.project)]
    for test in ("test_says", "test_segfaults"):
        assert [kind for kind, of in kinds if of == test and kind in ("start", "end")] == ["start", "end"]


KINDS = """
    import doctest, os, unittest, warnings
    import pytest

    def double(x):
        \"\"\"Double it.

        >>> double(2)
        5
        \"\"\"
        return 2 * x

    class TestCase(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.there = True

        def test_passes(self):
            assert self.there

        def test_fails(self):
            self.assertEqual(1, 2)

    class TestOutcomes:
        @pytest.mark.skip(reason="for a reason")
        def test_skipped(self): pass

        def test_skips(self): pytest.skip("on its way")

        @pytest.mark.xfail
        def test_xfails(self): assert False

        @pytest.mark.xfail
        def test_xfails_by_a_crash(self):
            if os.environ["MAY_CRASH"]:
                os.abort()
            assert False

        @pytest.mark.xfail
        def test_xpasses(self): pass

        @pytest.mark.xfail(strict=True)
        def test_xpasses_strictly(self): pass

        @pytest.fixture
        def bad_set_up(self): raise RuntimeError("as it is set up")

        @pytest.fixture
        def bad_tear_down(self):
            yield
            raise RuntimeError("as it is torn down")

        def test_set_up(self, bad_set_up): pass

        def test_tear_down(self, bad_tear_down): print("all well")

        def test_invalid(self, record_metric): record_metric("loss", float("nan"))

        def test_finalizes(self, request, capsys):
            request.node.addfinalizer(lambda: print("finalized"))
            print("captured")
            assert capsys.readouterr().out == "captured\\n"

        @pytest.fixture
        def quiet(self):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield

        def test_hears_no_warning(self, quiet): warnings.warn("not heard")

        def test_records_warnings(self, recwarn):
            warnings.warn("recorded")
            assert len(recwarn) == 1

        def test_subtests(self, subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1
"""


def test_all_kinds_of_tests_and_outcomes_are_as_without(cpu_host: Host) -> None:
    """By the report, by pytest's own count and by its exit status."""
    cpu_host.write("test_suite.py", KINDS)
    options = ["--doctest-modules", "-rA"]
    if not hasattr(pytest, "Subtests"):
        options += ["--deselect", "test_suite.py::TestOutcomes::test_subtests"]  # before pytest 9
    plain = cpu_host.pytest(*options, environ=cpu_host.environ(MAY_CRASH=""))
    expected = [plain.status, plain.outcomes, messages_in(plain), plain.junit_outcomes, _counts(plain.stdout)]
    assert plain.status == 1
    for workers in ((), ("-n2",)):
        run = cpu_host.pytest("--gpupool-isolate", *workers, *options, environ=cpu_host.environ(MAY_CRASH="1"))
        found = [run.status, run.outcomes, messages_in(run), run.junit_outcomes, _counts(run.stdout)]
        assert found == expected, run.output


def messages_in(run: Run) -> dict[str, bool]:
    """Of which tests there is one."""
    return {name: bool(test["message"]) for name, test in run.tests.items()}


def _counts(output: str) -> str:
    return output.strip().splitlines()[-1].rpartition(" in ")[0]


WIDE = """
    import os
    import pytest

    pytestmark = pytest.mark.gpupool(isolate=True)

    def say(what):
        with open("said", "a") as file:
            file.write(f"{what} {os.getpid()}\\n")

    @pytest.fixture(scope="session")
    def dataset():
        print("loading")
        say("dataset")
        yield list(range(1000))
        say("no-dataset")

    @pytest.fixture(scope="module")
    def model(gpu, dataset):
        say("model")
        yield sum(dataset)
        say("no-model")

    @pytest.fixture(scope="module")
    def broken():
        say("broken")
        raise RuntimeError("cannot be loaded")

    def test_first(model):
        say("test")
        assert model == 499500

    def test_second(model):
        say("test")

    def test_broken(broken): pass

    def test_still_broken(broken): pass
"""


@by_one
def test_what_is_shared_is_set_up_once_before_and_what_uses_the_device_in_each(
    cpu_host: Host, workers: tuple[str, ...]
) -> None:
    """By whether it requests ``gpu``; each is torn down where it was set up."""
    cpu_host.write("test_suite.py", WIDE)
    run = cpu_host.pytest(*workers, "-rA")
    assert run.outcomes == {
        "test_first": "passed",
        "test_second": "passed",
        "test_broken": "error",
        "test_still_broken": "error",
    }, run.output
    said = [line.split() for line in (cpu_host.project / "said").read_text().splitlines()]
    pids: dict[str, list[str]] = {}
    for what, pid in said:
        pids.setdefault(what, []).append(pid)
    assert len(pids["dataset"]) == len(pids["broken"]) == 1
    assert pids["dataset"] == pids["broken"] == pids["no-dataset"]
    assert len(set(pids["test"])) == 2
    assert pids["test"] == pids["model"] == pids["no-model"]
    assert pids["dataset"][0] not in pids["test"]
    assert "cannot be loaded" in run.tests["test_still_broken"]["message"]
    assert "loading" in run.stdout


ORDERLY = """
    import os, pytest
    pytestmark = pytest.mark.gpupool(isolate=True)

    {body}
"""


@by_one
def test_x_stops_after_the_first_crash(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """As after any failure."""
    body = "@pytest.mark.parametrize('number', range(20))\n    def test_one(number): os.abort()"
    cpu_host.write("test_suite.py", ORDERLY.format(body=body))
    run = cpu_host.pytest(*workers, "-x")
    assert list(run.outcomes.values()).count("crashed") == 1
    assert "stopping after 1 failures" in run.stdout


def test_pytest_exit_ends_the_run(gpu_host: Host) -> None:
    """With its reason and its status."""
    body = "def test_one(): pytest.exit('enough', 7)\n    def test_two(): pass"
    gpu_host.write("test_suite.py", ORDERLY.format(body=body))
    run = gpu_host.pytest()
    assert run.status == 7
    assert "enough" in run.stdout
    assert run.outcomes["test_two"] == "not-run"
    gpu_host.wait_until_gone()


def test_an_interrupt_in_a_test_ends_the_run(cpu_host: Host) -> None:
    """As one of the user's."""
    cpu_host.write("test_suite.py", ORDERLY.format(body="def test_one(): raise KeyboardInterrupt"))
    assert cpu_host.pytest().status == 2


def test_ctrl_c_ends_the_test_and_the_run(gpu_host: Host) -> None:
    """Although the test is in no group of the terminal's."""
    body = "def test_one():\n        open('there', 'w').write('x\\n')\n        __import__('time').sleep(1000)"
    gpu_host.write("test_suite.py", ORDERLY.format(body=body))
    watched = Watched(gpu_host)
    wait_for(gpu_host.project / "there")
    watched.process.send_signal(signal.SIGINT)
    assert watched.finish().status == 2
    gpu_host.wait_until_gone()


@by_one
def test_a_test_ends_with_the_process_that_has_started_it(gpu_host: Host, workers: tuple[str, ...]) -> None:
    """A worker that is killed leaves no test running, and the run knows what it ran."""
    body = """def test_one():
        with open("there", "w") as file:
            file.write(f"{os.getppid()}\\n")
        __import__("time").sleep(1000)
    """
    gpu_host.write("test_suite.py", ORDERLY.format(body=body))
    watched = Watched(gpu_host, *workers, "--max-worker-restart=0")
    (pid,) = wait_for(gpu_host.project / "there")
    os.kill(int(pid), signal.SIGKILL)
    run = watched.finish()
    if workers:
        assert run.outcomes == {"test_one": "crashed"}
    gpu_host.wait_until_gone()


def test_a_debugger_is_refused(cpu_host: Host) -> None:
    """With a word on what to do."""
    cpu_host.write("test_suite.py", ORDERLY.format(body="def test_one(): pass"))
    run = cpu_host.pytest("--pdb")
    assert run.status == 4
    assert "--pdb and --trace do not reach test_suite.py::test_one" in run.output
    assert cpu_host.pytest("--trace", "-pno:gpupool").status != 4


MANY = """
    import atexit, os, threading, time
    import pytest

    pytestmark = pytest.mark.gpupool(isolate=True)

    @pytest.fixture
    def small(): yield

    def test_set_up(small): pass

    def test_exits(): atexit.register(lambda: open("ended", "a").write("test\\n"))

    def test_holds(gpu):
        assert gpu.is_gpu
        files = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                 if os.path.islink(f"/proc/self/fd/{number}")]
        assert [file for file in files if file.endswith(".lock")], files

    @pytest.mark.gpupool(repeats=3)
    def test_repeats(record_metric, gpu):
        open("pids", "a").write(f"{os.getpid()}\\n")
        record_metric("score", float(gpu.repeat), higher_is_better=True)

    def test_measures_and_crashes(record_metric):
        record_metric("first", 1.0)
        if os.fork() == 0:
            record_metric("second", 2.0)
            os._exit(0)
        os.wait()
        os.abort()

    def test_leaves_threads(record_metric):
        def late():
            time.sleep(1000)
            record_metric("late", 1)
        threading.Thread(target=late, name="left").start()
        threading.Thread(target=late, name="of a library", daemon=True).start()

    @pytest.mark.gpupool(isolate="yes")
    def test_chooses(): pass
"""


def test_much_else_is_as_with_any_test(gpu_host: Host) -> None:
    """Metrics before a crash, repeats, set-up as it is shown, exit functions, the lease, what the marker refuses."""
    gpu_host.write("conftest.py", "import atexit\natexit.register(lambda: open('ended', 'a').write('session\\n'))")
    gpu_host.write("test_suite.py", MANY)
    run = gpu_host.pytest("--setup-show")
    passed = ("test_set_up", "test_exits", "test_holds", "test_repeats", "test_leaves_threads")
    outcomes = dict.fromkeys(passed, "passed")
    assert run.outcomes == outcomes | {"test_measures_and_crashes": "crashed", "test_chooses": "error"}, run.output
    shown = [line.strip() for line in run.stdout.splitlines() if "small" in line]
    assert [line.split()[0] for line in shown] == ["SETUP", "test_suite.py::test_set_up", "TEARDOWN"], run.stdout
    assert (gpu_host.project / "ended").read_text().splitlines() == ["test", "session"]
    assert run.metrics("test_repeats") == {"score": 1.0}
    assert len(set((gpu_host.project / "pids").read_text().split())) == 3
    # By whoever of the test's processes measures.
    assert run.metrics("test_measures_and_crashes") == {"first": 1.0, "second": 2.0}
    assert "PytestWarning: gpupool: test_suite.py::test_leaves_threads is over, and with its process ends" in run.stdout
    assert "'of a library'" not in run.output
    assert "@pytest.mark.gpupool(isolate='yes'): isolate must be True, False or None" in run.output
