"""A worker ends with all that it started, and says where it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping

import psutil
import pytest

from pytest_gpupool.processes import ends
from pytest_gpupool.processes.ends import end, end_all, family
from pytest_gpupool.processes.stacks import stacks

GRACE = 30.0  # longer than a loaded machine needs; who hears the signal ends at once

SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"

PRELUDE = f"""
import os, signal, subprocess, sys, time
from pytest_gpupool.processes import ends as processes, stacks

processes.lead()

def start(code={SLEEP!r}, **options):
    return subprocess.Popen([sys.executable, "-ISc", code], **options)

def daemon():
    # Twice forked, as daemons do: in a session of its own, and its parent is gone.
    parent = "import os, subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=sys.stderr).pid)"
    command = [sys.executable, "-ISc", parent, sys.executable, "-ISc", {SLEEP!r}]
    return int(subprocess.check_output(command, start_new_session=True))

def say(*values):
    print(*values, flush=True)

def rest():
    while True:  # a signal that comes just before a sleep is only heard after it
        time.sleep(0.05)
"""


class Started:
    """A worker that the test started; ``said`` is the first line of numbers that it printed."""

    def __init__(self, popen: subprocess.Popen[str], marks: dict[str, str]) -> None:
        self.popen, self.pid, self.marks = popen, popen.pid, marks
        assert popen.stdout is not None
        self.said = [int(word) for word in popen.stdout.readline().split()]

    def wait(self) -> int:
        return self.popen.wait(GRACE)


Start = Callable[..., Started]


@pytest.fixture
def run() -> Iterator[str]:
    """The id of a run; whatever of it still lives after the test is killed."""
    run = f"test-{uuid.uuid4()}"
    yield run
    deadline = time.monotonic() + GRACE
    while left := marked({"GPUPOOL_RUN": run}):
        assert time.monotonic() < deadline, left
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)


@pytest.fixture
def start(run: str) -> Iterator[Start]:
    """Starts a worker that runs some code; its marks are in the environment of all that it starts."""
    started: list[Started] = []

    def begin(code: str, worker: str = "gw3", **options: object) -> Started:
        marks = {"GPUPOOL_RUN": run, "PYTEST_XDIST_WORKER": worker}
        popen: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **marks},
            **options,  # type: ignore[call-overload]
        )
        started.append(Started(popen, marks))
        return started[-1]

    yield begin
    for one in started:
        one.popen.kill()
        one.popen.wait()
        one.popen.stdout.close()  # type: ignore[union-attr]


def marked(marks: Mapping[str, str]) -> list[psutil.Process]:
    """Who lives with these marks, found in another way than the code does."""
    found = []
    for process in psutil.process_iter():
        try:
            if marks.items() <= process.environ().items() and lives(process.pid):
                found.append(process)
        except psutil.Error:
            continue
    return found


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestLead:
    """A worker's group is its own."""

    @pytest.mark.parametrize("new_session", [False, True], ids=["child", "session-leader"])
    def test_the_group_has_its_number(self, start: Start, new_session: bool) -> None:
        """Its children are in the group; a session's leader has one already."""
        code = "child = start()\nsay(os.getpgid(0), os.getpgid(child.pid))\ntime.sleep(600)"
        worker = start(code, start_new_session=new_session)
        assert worker.said == [worker.pid, worker.pid]


class TestFamily:
    """Who belongs to a worker."""

    def test_children_and_theirs(self, start: Start) -> None:
        """Also one in a session of its own, and one that was forked and started no program."""
        worker = start(
            "child, other = start(), start(start_new_session=True)\n"
            "forked = os.fork()\n"
            "forked or (os.setsid(), time.sleep(600))\n"
            "say(child.pid, other.pid, forked)\n"
            "time.sleep(600)"
        )
        assert family(worker.pid, {}) == {worker.pid, *worker.said}

    def test_a_daemon_is_found_by_its_marks(self, start: Start) -> None:
        """It has left group, session and parent; without marks it is nobody's."""
        worker = start("say(daemon())\ntime.sleep(600)")
        assert family(worker.pid, {}) == {worker.pid}
        assert family(worker.pid, worker.marks) == {worker.pid, *worker.said}

    def test_all_marks_count_and_all_of_each(self, start: Start) -> None:
        """gw3's daemon is neither gw33's nor gw's, nor that of another run's gw3."""
        worker = start("say(daemon())\ntime.sleep(600)")
        for other in ("gw33", "gw", ""):
            assert family(worker.pid, {**worker.marks, "PYTEST_XDIST_WORKER": other}) == {worker.pid}
        assert family(worker.pid, {**worker.marks, "GPUPOOL_RUN": "other"}) == {worker.pid}

    def test_who_stays_in_the_group_of_a_dead_worker(self, start: Start) -> None:
        """The worker's number is its group's."""
        worker = start("say(start().pid)\nos.kill(os.getpid(), signal.SIGKILL)")
        assert worker.wait() == -signal.SIGKILL
        assert family(worker.pid, {}) == set(worker.said)

    def test_a_zombie_is_not_in_it(self, start: Start) -> None:
        """Neither a child that the worker does not wait for, nor the worker itself."""
        worker = start(
            "child = start('pass')\nos.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)\nsay()\nos._exit(0)"
        )
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert family(worker.pid, worker.marks) == set()

    def test_a_process_whose_first_thread_ended_lives(self, start: Start) -> None:
        """The system calls it a zombie, but the others of its threads go on and hold what it has."""
        worker = start(
            "import ctypes, threading\n"
            "threading.Thread(target=lambda: (say(), time.sleep(600))).start()\n"
            "ctypes.CDLL(None).pthread_exit(None)"
        )
        deadline = time.monotonic() + GRACE
        while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not lives(worker.pid)
        assert family(worker.pid, {}) == {worker.pid}
        assert end(worker.pid, {}, grace=GRACE) == set()
        assert worker.wait() == -signal.SIGTERM

    def test_nobody_of_a_pid_that_is_gone(self, start: Start) -> None:
        """Nothing is raised."""
        worker = start("say()")
        worker.wait()
        assert family(worker.pid, worker.marks) == set()

    @pytest.mark.parametrize("pid", [0, 1, -1])
    def test_the_whole_machine_is_no_family(self, pid: int) -> None:
        """Those numbers are the kernel's, or mean everybody."""
        assert family(pid, {}) == set()

    def test_neither_the_asking_process_nor_its_ancestors(self, start: Start) -> None:
        """Not by its marks, nor as a member of the group, nor as a descendant; but its children."""
        worker = start(
            f"marks = {{name: os.environ[name] for name in {['GPUPOOL_RUN', 'PYTEST_XDIST_WORKER']}}}\n"
            "child = start()\n"
            "for pid in (child.pid, os.getpid()):\n"
            "    assert processes.family(pid, marks) == {child.pid}, pid\n"
            "assert processes.family(os.getppid(), {}).isdisjoint({os.getpid(), os.getppid()})\n"
            "say(1)\n"
            "time.sleep(600)"
        )
        assert worker.said == [1]

    def test_other_users_processes_are_passed_over(self, start: Start) -> None:
        """Their environments cannot be read, and nothing is raised."""
        if os.geteuid() != 0:
            pytest.skip("only root can be another user")
        worker = start(
            "child = start()\n"
            "os.setuid(65534)\n"
            "say(child.pid, *processes.family(child.pid, {'GPUPOOL_RUN': os.environ['GPUPOOL_RUN']}))\n"
            "time.sleep(600)"
        )
        child, *found = worker.said
        assert found == [child]


class TestEnd:
    """Ending a worker ends all of its family."""

    def test_a_child_that_sleeps(self, start: Start) -> None:
        """SIGTERM is enough for it and for the worker."""
        worker = start("say(start().pid)\ntime.sleep(600)")
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert worker.wait() == -signal.SIGTERM
        assert not marked(worker.marks)

    def test_the_worker_may_clean_up(self, start: Start) -> None:
        """It has the time of grace for it."""
        worker = start("signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), os._exit(7)))\nsay()\nrest()")
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert worker.wait() == 7

    def test_the_first_signal_may_be_another(self, start: Start) -> None:
        """SIGINT is Python's KeyboardInterrupt."""
        code = "try:\n    say()\n    rest()\nexcept KeyboardInterrupt:\n    os._exit(8)"
        worker = start(code)
        assert end(worker.pid, worker.marks, grace=GRACE, first=signal.SIGINT) == set()
        assert worker.wait() == 8

    @pytest.mark.parametrize("grace", [0.0, 0.1])
    def test_who_ignores_the_signal(self, start: Start, grace: float) -> None:
        """SIGKILL follows, for its children too."""
        worker = start(
            f"child = start({DEAF!r}, stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "say(child.pid)\n"
            "while True:\n    pass"
        )
        assert end(worker.pid, worker.marks, grace=grace) == set()
        assert worker.wait() == -signal.SIGKILL
        assert not marked(worker.marks)

    @pytest.mark.parametrize("kind", ["start(start_new_session=True).pid", "daemon()"], ids=["session", "daemon"])
    def test_who_left_the_group(self, start: Start, kind: str) -> None:
        """With or without a parent."""
        worker = start(f"say({kind})\ntime.sleep(600)")
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert not lives(worker.said[0])
        assert not marked(worker.marks)

    def test_who_was_a_child_stays_one(self, start: Start) -> None:
        """A forked process in a session of its own ignores the signal that ends its parent, and has no marks."""
        worker = start(
            "forked = os.fork()\n"
            "if not forked:\n"
            "    os.setsid()\n"
            "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "    say(os.getpid())\n"
            "time.sleep(600)"
        )
        assert end(worker.pid, {}, grace=0.3) == set()
        assert not lives(worker.said[0])

    def test_who_is_started_while_it_ends(self, start: Start) -> None:
        """A handler of the signal starts one more, in a session of its own."""
        worker = start(
            "signal.signal(signal.SIGTERM, lambda *_: (start(start_new_session=True), os._exit(0)))\nsay()\nrest()"
        )
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert worker.wait() == 0
        assert not marked(worker.marks)

    def test_a_stopped_one_hears_the_signal(self, start: Start) -> None:
        """It goes on, and ends by its own handler."""
        worker = start("signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\nsay()\nrest()")
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert worker.wait() == 7

    @pytest.mark.parametrize("waited_for", [False, True], ids=["zombie", "gone"])
    def test_a_worker_that_crashed_leaves_nobody(self, start: Start, waited_for: bool) -> None:
        """Its children and daemons are ended though it is dead."""
        worker = start(
            "import resource\n"
            "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
            "say(start().pid, daemon())\n"
            "os.kill(os.getpid(), signal.SIGSEGV)"
        )
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if waited_for:
            worker.wait()
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert not any(map(lives, worker.said))
        assert worker.wait() == -signal.SIGSEGV

    def test_a_worker_stuck_in_c(self, start: Start) -> None:
        """Python's handler of the signal never runs there; SIGKILL ends it."""
        worker = start(f"signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n{STUCK}")
        stuck_stacks(worker)
        assert end(worker.pid, worker.marks, grace=0.1) == set()
        assert worker.wait() == -signal.SIGKILL

    def test_others_live_on(self, start: Start) -> None:
        """Another worker of the run, and its daemon."""
        worker, other = (start("say(daemon())\ntime.sleep(600)", name) for name in ("gw3", "gw4"))
        assert end(worker.pid, worker.marks, grace=GRACE) == set()
        assert lives(other.pid)
        assert lives(other.said[0])

    def test_several_at_once(self, start: Start) -> None:
        """Each with its own marks; one that is gone is no hindrance."""
        workers = [start("say(daemon())\ntime.sleep(600)", f"gw{number}") for number in range(3)]
        gone = start("say()", "gw9")
        gone.wait()
        assert end_all([(one.pid, one.marks) for one in [*workers, gone]], grace=GRACE) == set()
        assert [one.wait() for one in workers] == [-signal.SIGTERM] * 3
        assert not any(lives(one.said[0]) for one in workers)

    def test_none_at_all(self) -> None:
        """Nothing to do."""
        assert end_all([], grace=GRACE) == set()

    def test_who_cannot_be_ended_is_told(self, start: Start) -> None:
        """Here because it is another user's."""
        if os.geteuid() != 0:
            pytest.skip("only root can be another user")
        worker = start(
            "child = start()\n"
            "os.setuid(65534)\n"
            "processes._KILL_SECONDS = 0.1\n"
            "say(child.pid, *processes.end(child.pid, {}, grace=0))\n"
            "time.sleep(600)"
        )
        child, *left = worker.said
        assert left == [child]

    def test_a_pid_that_is_used_again_gets_no_signal(self, start: Start) -> None:
        """Its start is another one."""
        worker = start("say()\ntime.sleep(600)")
        seen = ends._stat(worker.pid)
        assert seen is not None
        ends._send(worker.pid, seen.start - 1, signal.SIGKILL)
        assert lives(worker.pid)
        ends._send(worker.pid, seen.start, signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL


# A lock that is taken twice: no signal interrupts it, and PyDLL holds the GIL meanwhile.
STUCK = """
import ctypes, threading

def in_the_library():
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    say(fd)
    libc.pthread_mutex_lock(mutex)

def in_the_loader():
    time.sleep(600)

threading.Thread(target=in_the_loader, daemon=True).start()
fd = stacks.offer_stacks()
in_the_library()
"""


def stuck_stacks(worker: Started) -> str:
    """Wait until a worker that runs STUCK is stuck, and return its stacks then."""
    deadline = time.monotonic() + GRACE
    while "in say\n" in (text := stacks(worker.pid, worker.said[0], patience=GRACE)):
        assert time.monotonic() < deadline  # it is about to take the lock
    return text


class TestStacks:
    """A worker that hangs says where."""

    def test_stuck_in_c_with_the_gil(self, start: Start) -> None:
        """All threads are told, with their functions."""
        text = stuck_stacks(start(STUCK))
        assert "in in_the_loader\n" in text
        assert "Current thread 0x" in text
        assert "in in_the_library\n" in text

    def test_each_time_the_new_ones(self, start: Start) -> None:
        """And the worker goes on."""
        worker = start(STUCK)
        texts = [stacks(worker.pid, worker.said[0], patience=GRACE) for _ in range(3)]
        assert [text.count("in_the_library") for text in texts] == [1, 1, 1]
        assert lives(worker.pid)

    def test_what_the_worker_was_doing_goes_on(self, start: Start) -> None:
        """A sleep is not cut short."""
        code = "say(stacks.offer_stacks())\nsys.stdin.readline()\nos._exit(9)"
        worker = start(code, stdin=subprocess.PIPE)
        assert "<module>" in stacks(worker.pid, worker.said[0], patience=GRACE)
        worker.popen.communicate("\n")
        assert worker.wait() == 9

    def test_a_stopped_one_does_not_answer(self, start: Start) -> None:
        """Until it goes on, when it can be asked again."""
        worker = start(STUCK)
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert stacks(worker.pid, worker.said[0], patience=0.1) == ""
        os.kill(worker.pid, signal.SIGCONT)
        assert "in_the_library" in stacks(worker.pid, worker.said[0], patience=GRACE)

    @pytest.mark.parametrize("waited_for", [False, True], ids=["zombie", "gone"])
    def test_a_dead_one_does_not_answer(self, start: Start, waited_for: bool) -> None:
        """Nothing is raised."""
        worker = start("say(stacks.offer_stacks())\nos._exit(0)")
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if waited_for:
            worker.wait()
        assert stacks(worker.pid, worker.said[0], patience=GRACE) == ""

    @pytest.mark.parametrize("fd", [1, 99])
    def test_who_never_offered_them_is_not_asked(self, start: Start, fd: int) -> None:
        """The signal would end it."""
        worker = start("say()\ntime.sleep(600)")
        assert stacks(worker.pid, fd, patience=GRACE) == ""
        assert lives(worker.pid)

    def test_a_program_in_the_workers_place_is_not_asked(self, start: Start) -> None:
        """It has the pid, but not the handler."""
        worker = start(
            "fd = stacks.offer_stacks()\n"
            f"os.execv(sys.executable, [sys.executable, '-ISc', f'print({{fd}}, flush=True)' + {'; ' + SLEEP!r}])"
        )
        assert stacks(worker.pid, worker.said[0], patience=GRACE) == ""
        assert lives(worker.pid)

    def test_children_do_not_inherit_the_memory(self, start: Start) -> None:
        """Not even those that inherit what they can."""
        count = "import os; print(sum('gpupool' in os.readlink(f'/proc/self/fd/{fd}') for fd in range(99) if has(fd)))"
        has = "has = lambda fd: __import__('os').path.lexists(f'/proc/self/fd/{fd}'); "
        worker = start(
            f"count = [sys.executable, '-ISc', {has + count!r}]\n"
            "subprocess.run(count, pass_fds=[stacks.offer_stacks()])\n"
        )
        assert worker.said == [1]  # it is there where it is passed on
        worker = start(
            f"count = [sys.executable, '-ISc', {has + count!r}]\n"
            "stacks.offer_stacks()\n"
            "subprocess.run(count, close_fds=False)\n"
        )
        assert worker.said == [0]

    def test_the_clock_decides_how_long_is_waited(self, start: Start) -> None:
        """It is asked before each pause."""
        worker = start("fd = stacks.offer_stacks()\nos.kill(os.getpid(), signal.SIGSTOP) if say(fd) else 0\n" + SLEEP)
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        now = [0.0]
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            now[0] += seconds

        assert stacks(worker.pid, worker.said[0], patience=0.05, clock=lambda: now[0], sleep=sleep) == ""
        assert pauses == [0.02, 0.02, 0.02]
