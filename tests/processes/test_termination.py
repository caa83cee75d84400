"""A worker ends with all that it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest
from made_workers import GRACE, STUCK, Start, lives, marked, starting, stuck_stacks

from pytest_gpupool.processes import table, termination
from pytest_gpupool.processes.table import Process, start_of
from pytest_gpupool.processes.termination import Worker, end_worker, end_workers, processes_of
from pytest_gpupool.values.process_id import ProcessId

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


def the_namespace() -> int:
    own = table.identity()
    assert own is not None
    return own.pid_namespace


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


class TestGroup:
    """A worker's group is its own."""

    @pytest.mark.parametrize("new_session", [False, True], ids=["child", "session-leader"])
    def test_the_group_has_its_number(self, start: Start, new_session: bool) -> None:
        """Its children are in the group; a session's leader has one already."""
        code = "child = start()\nsay(os.getpgid(0), os.getpgid(child.pid))\ntime.sleep(600)"
        worker = start(code, start_new_session=new_session)
        assert worker.said == [worker.pid, worker.pid]


class TestProcessesOf:
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
        assert processes_of(worker.known._replace(marks={})) == {worker.pid, *worker.said}

    def test_a_daemon_is_found_by_its_marks(self, start: Start) -> None:
        """It has left group, session and parent; without marks it is nobody's."""
        worker = start("say(daemon())\ntime.sleep(600)")
        assert processes_of(worker.known._replace(marks={})) == {worker.pid}
        assert processes_of(worker.known) == {worker.pid, *worker.said}

    def test_all_marks_count_and_all_of_each(self, start: Start) -> None:
        """gw3's daemon is neither gw33's nor gw's, nor that of another run's gw3."""
        worker = start("say(daemon())\ntime.sleep(600)")
        for other in ("gw33", "gw", ""):
            assert processes_of(worker.known._replace(marks={**worker.marks, "PYTEST_XDIST_WORKER": other})) == {
                worker.pid
            }
        assert processes_of(worker.known._replace(marks={**worker.marks, "GPUPOOL_RUN": "other"})) == {worker.pid}

    def test_who_stays_in_the_group_of_a_dead_worker(self, start: Start) -> None:
        """The worker's number is its group's."""
        worker = start("say(start().pid)\nos.kill(os.getpid(), signal.SIGKILL)")
        assert worker.wait() == -signal.SIGKILL
        assert processes_of(worker.known._replace(marks={})) == set(worker.said)

    def test_a_zombie_is_not_in_it(self, start: Start) -> None:
        """Neither a child that the worker does not wait for, nor the worker itself."""
        worker = start(
            "child = start('pass')\nos.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)\nsay()\nos._exit(0)"
        )
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert processes_of(worker.known) == set()

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
        assert processes_of(worker.known._replace(marks={})) == {worker.pid}
        assert end_worker(worker.known._replace(marks={}), grace=GRACE) == set()
        assert worker.wait() == -signal.SIGTERM

    def test_nobody_of_a_pid_that_is_gone(self, start: Start) -> None:
        """Nothing is raised."""
        worker = start("say()")
        worker.wait()
        assert processes_of(worker.known) == set()

    @pytest.mark.parametrize("pid", [0, 1, -1])
    def test_the_whole_machine_is_no_workers(self, pid: int) -> None:
        """Those numbers are the kernel's, or mean everybody."""
        assert processes_of(Worker(ProcessId(pid, start_of(1) or 0, the_namespace()), {})) == set()

    def test_neither_the_asking_process_nor_its_ancestors(self, start: Start) -> None:
        """Not by its marks, nor as a member of the group, nor as a descendant; but its children."""
        worker = start(
            f"marks = {{name: os.environ[name] for name in {['GPUPOOL_RUN', 'PYTEST_XDIST_WORKER']}}}\n"
            "child = start()\n"
            "for pid in (child.pid, os.getpid()):\n"
            "    assert termination.processes_of(known(pid, marks)) == {child.pid}, pid\n"
            "assert termination.processes_of(known(os.getppid(), {})).isdisjoint({os.getpid(), os.getppid()})\n"
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
            "say(child.pid, *termination.processes_of(known(child.pid, {'GPUPOOL_RUN': os.environ['GPUPOOL_RUN']})))\n"
            "time.sleep(600)"
        )
        child, *found = worker.said
        assert found == [child]


class TestEnd:
    """Ending a worker ends all that it started."""

    def test_a_child_that_sleeps(self, start: Start) -> None:
        """SIGTERM is enough for it and for the worker."""
        worker = start("say(start().pid)\ntime.sleep(600)")
        assert end_worker(worker.known, grace=GRACE) == set()
        assert worker.wait() == -signal.SIGTERM
        assert not marked(worker.marks)

    def test_the_worker_may_clean_up(self, start: Start) -> None:
        """It has the time of grace for it."""
        worker = start("signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), os._exit(7)))\nsay()\nrest()")
        assert end_worker(worker.known, grace=GRACE) == set()
        assert worker.wait() == 7

    def test_a_machine_that_stalls_takes_nobody_s_time(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as whoever waits is kept from looking, the worker is kept from cleaning up."""
        stalled = [0.0]

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            stalled[0] += 10 * GRACE

        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + stalled[0], sleep=sleep)
        monkeypatch.setattr(termination, "clock", clock)
        worker = start("signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), os._exit(7)))\nsay()\nrest()")
        assert end_worker(worker.known, grace=GRACE) == set()
        assert worker.wait() == 7

    def test_the_first_signal_may_be_another(self, start: Start) -> None:
        """SIGINT is Python's KeyboardInterrupt."""
        code = "try:\n    say()\n    rest()\nexcept KeyboardInterrupt:\n    os._exit(8)"
        worker = start(code)
        assert end_worker(worker.known, grace=GRACE, first=signal.SIGINT) == set()
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
        assert end_worker(worker.known, grace=grace) == set()
        assert worker.wait() == -signal.SIGKILL
        assert not marked(worker.marks)

    @pytest.mark.parametrize("kind", ["start(start_new_session=True).pid", "daemon()"], ids=["session", "daemon"])
    def test_who_left_the_group(self, start: Start, kind: str) -> None:
        """With or without a parent."""
        worker = start(f"say({kind})\ntime.sleep(600)")
        assert end_worker(worker.known, grace=GRACE) == set()
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
        assert end_worker(worker.known._replace(marks={}), grace=0.3) == set()
        assert not lives(worker.said[0])

    def test_who_is_started_while_it_ends(self, start: Start) -> None:
        """A handler of the signal starts one more, in a session of its own."""
        worker = start(
            "signal.signal(signal.SIGTERM, lambda *_: (start(start_new_session=True), os._exit(0)))\nsay()\nrest()"
        )
        assert end_worker(worker.known, grace=GRACE) == set()
        assert worker.wait() == 0
        assert not marked(worker.marks)

    def test_a_child_that_a_look_has_missed(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was forked after the look had begun, and its parent ended before that one was looked at."""
        worker = start("say(start().pid)\nrest()")
        (child,) = worker.said
        missed: list[int] = []
        look = table.all_processes

        def look_at_a_bad_moment() -> dict[int, Process]:
            now = look()
            has_ended = worker.pid not in now or not now[worker.pid].lives
            if not has_ended or not missed:
                missed.extend([child] * has_ended)
                del now[child]
            return now

        monkeypatch.setattr(table, "all_processes", look_at_a_bad_moment)
        assert end_worker(worker.known._replace(marks={}), grace=GRACE) == set()
        assert missed == [child]
        assert not lives(child)

    def test_a_stopped_one_hears_the_signal(self, start: Start) -> None:
        """It goes on, and ends by its own handler."""
        worker = start("signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\nsay()\nrest()")
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert end_worker(worker.known, grace=GRACE) == set()
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
        assert end_worker(worker.known, grace=GRACE) == set()
        assert not any(map(lives, worker.said))
        assert worker.wait() == -signal.SIGSEGV

    def test_a_worker_stuck_in_c(self, start: Start) -> None:
        """Python's handler of the signal never runs there; SIGKILL ends it."""
        worker = start(f"signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n{STUCK}")
        stuck_stacks(worker)
        assert end_worker(worker.known, grace=0.1) == set()
        assert worker.wait() == -signal.SIGKILL

    def test_others_live_on(self, start: Start) -> None:
        """Another worker of the run, and its daemon."""
        worker, other = (start("say(daemon())\ntime.sleep(600)", name) for name in ("gw3", "gw4"))
        assert end_worker(worker.known, grace=GRACE) == set()
        assert lives(other.pid)
        assert lives(other.said[0])

    def test_several_at_once(self, start: Start) -> None:
        """Each with its own marks; one that is gone is no hindrance."""
        workers = [start("say(daemon())\ntime.sleep(600)", f"gw{number}") for number in range(3)]
        gone = start("say()", "gw9")
        gone.wait()
        assert end_workers([one.known for one in [*workers, gone]], grace=GRACE) == set()
        assert [one.wait() for one in workers] == [-signal.SIGTERM] * 3
        assert not any(lives(one.said[0]) for one in workers)

    def test_none_at_all(self) -> None:
        """Nothing to do."""
        assert end_workers([], grace=GRACE) == set()

    def test_who_cannot_be_ended_is_told(self, start: Start) -> None:
        """Here because it is another user's."""
        if os.geteuid() != 0:
            pytest.skip("only root can be another user")
        worker = start(
            "child = start()\n"
            "os.setuid(65534)\n"
            "termination._KILL_SECONDS = 0.1\n"
            "say(child.pid, *termination.end_worker(known(child.pid, {}), grace=0))\n"
            "time.sleep(600)"
        )
        child, *left = worker.said
        assert left == [child]

    def test_a_number_that_is_used_again_gets_no_signal(self, start: Start) -> None:
        """Whoever has a worker's number now is not ended for it, nor the group that it leads."""
        stranger = start("say(start().pid)\ntime.sleep(600)")
        process = stranger.known.process
        assert process is not None
        worker = Worker(process._replace(started=process.started - 1), {"GPUPOOL_RUN": "no such run"})
        assert end_worker(worker, grace=GRACE) == set()
        assert lives(stranger.pid)
        assert lives(stranger.said[0])

    def test_a_number_of_another_pid_namespace_gets_no_signal(self, start: Start) -> None:
        """A container's 17 is not ours."""
        stranger = start("say()\ntime.sleep(600)")
        process = stranger.known.process
        assert process is not None
        worker = Worker(process._replace(pid_namespace=process.pid_namespace + 1), {})
        assert end_worker(worker, grace=GRACE) == set()
        assert lives(stranger.pid)
