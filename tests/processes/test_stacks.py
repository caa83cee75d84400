"""A worker that hangs says where."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from made_workers import GRACE, SLEEP, STUCK, Start, lives, starting, stuck_stacks

from pytest_gpupool.processes.stacks import stacks


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


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
        texts = [stacks(worker.pid, worker.said[0], timeout=GRACE) for _ in range(3)]
        assert [text.count("in_the_library") for text in texts] == [1, 1, 1]
        assert lives(worker.pid)

    def test_what_the_worker_was_doing_goes_on(self, start: Start) -> None:
        """A sleep is not cut short."""
        code = "say(stacks.offer_stacks())\nsys.stdin.readline()\nos._exit(9)"
        worker = start(code, stdin=subprocess.PIPE)
        assert "<module>" in stacks(worker.pid, worker.said[0], timeout=GRACE)
        worker.popen.communicate("\n")
        assert worker.wait() == 9

    def test_who_has_put_back_all_handlers_answers_once_it_has_renewed_its_offer(self, start: Start) -> None:
        """Until then it does not, and is not ended by the question."""
        put_back = "for one in signal.valid_signals() - {9, 19}: signal.signal(one, signal.getsignal(one) or 0)\n"
        code = (
            f"fd = stacks.offer_stacks()\n{put_back}say(fd)\nsys.stdin.readline()\nstacks.renew_offer()\nsay()\n{SLEEP}"
        )
        worker = start(code, stdin=subprocess.PIPE)
        assert stacks(worker.pid, worker.said[0], timeout=GRACE) == ""
        assert worker.popen.stdin is not None
        assert worker.popen.stdout is not None
        worker.popen.stdin.write("\n")
        worker.popen.stdin.flush()
        worker.popen.stdout.readline()
        assert "<module>" in stacks(worker.pid, worker.said[0], timeout=GRACE)

    def test_a_forked_child_offers_nothing(self, start: Start) -> None:
        """The memory is its parent's."""
        code = "fd, (read, write) = stacks.offer_stacks(), os.pipe()\npid = os.fork()\n"
        code += f"os.read(read, 1) and say(pid, fd) if pid else os.write(write, b'.')\n{SLEEP}"
        worker = start(code)
        pid, fd = worker.said
        assert stacks(pid, fd, timeout=GRACE) == ""
        assert lives(pid)

    def test_a_stopped_one_does_not_answer(self, start: Start) -> None:
        """Until it goes on, when it can be asked again."""
        worker = start(STUCK)
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert stacks(worker.pid, worker.said[0], timeout=0.1) == ""
        os.kill(worker.pid, signal.SIGCONT)
        assert "in_the_library" in stacks(worker.pid, worker.said[0], timeout=GRACE)

    @pytest.mark.parametrize("waited_for", [False, True], ids=["zombie", "gone"])
    def test_a_dead_one_does_not_answer(self, start: Start, waited_for: bool) -> None:
        """Nothing is raised."""
        worker = start("say(stacks.offer_stacks())\nos._exit(0)")
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if waited_for:
            worker.wait()
        assert stacks(worker.pid, worker.said[0], timeout=GRACE) == ""

    @pytest.mark.parametrize("fd", [1, 99])
    def test_who_never_offered_them_is_not_asked(self, start: Start, fd: int) -> None:
        """The signal would end it."""
        worker = start("say()\ntime.sleep(600)")
        assert stacks(worker.pid, fd, timeout=GRACE) == ""
        assert lives(worker.pid)

    def test_a_program_in_the_workers_place_is_not_asked(self, start: Start) -> None:
        """It has the pid, but not the handler."""
        worker = start(
            "fd = stacks.offer_stacks()\n"
            f"os.execv(sys.executable, [sys.executable, '-ISc', f'print({{fd}}, flush=True)' + {'; ' + SLEEP!r}])"
        )
        assert stacks(worker.pid, worker.said[0], timeout=GRACE) == ""
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

        assert stacks(worker.pid, worker.said[0], timeout=0.05, clock=lambda: now[0], sleep=sleep) == ""
        assert pauses == [0.02, 0.02, 0.02]
