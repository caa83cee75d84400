"""Marks in the limits of a process: whoever it has started is known by them, whatever else it was given."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator

import pytest
from made_workers import GRACE, Start, lives, starting

from pytest_gpupool.processes import table
from pytest_gpupool.processes.termination import end_worker, processes_of

LIMIT = resource.RLIMIT_RTTIME
EVERYTHING = resource.RLIM_INFINITY

BEAR = """
import resource
from pytest_gpupool.processes import marks
LIMIT = resource.RLIMIT_RTTIME
take_off = marks.bear({name: os.environ[name] for name in ("GPUPOOL_RUN", "PYTEST_XDIST_WORKER")})
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


def test_a_daemon_with_an_empty_environment(start: Start) -> None:
    """It is its dead worker's, and nobody else's."""
    worker = start(BEAR + "say(daemon(env={}))\nos.kill(os.getpid(), signal.SIGKILL)")
    other = start(BEAR + "say(daemon(env={}))\nrest()", "gw33")
    worker.wait()
    assert not [one for pid in worker.said for one in table.environment(pid) if one.startswith(b"GPUPOOL")]
    assert processes_of(worker.known._replace(process=None)) == set(worker.said)
    assert processes_of(worker.known._replace(process=None, marks={**worker.marks, "GPUPOOL_RUN": "other"})) == set()
    assert processes_of(other.known) == {other.pid, *other.said}
    assert end_worker(worker.known, grace=GRACE) == set()
    assert not any(map(lives, worker.said))
    assert all(map(lives, other.said))
    assert end_worker(other.known, grace=GRACE) == set()


def test_who_is_kept_is_nobodys(start: Start) -> None:
    """By number and start; what it has started is the worker's all the same."""
    worker = start(BEAR + "say(daemon(env={}), daemon(env={}))\nos.kill(os.getpid(), signal.SIGKILL)")
    worker.wait()
    first, second = worker.said
    kept, used_again = table.identity(first), table.identity(second)
    assert kept is not None
    assert used_again is not None
    known = worker.known._replace(kept=[kept, used_again._replace(started=used_again.started - 1)])
    assert processes_of(known) == {second}
    assert end_worker(known, grace=GRACE) == set()
    assert lives(first)
    assert end_worker(worker.known, grace=GRACE) == set()


def test_they_limit_nothing_and_are_taken_off(start: Start) -> None:
    """The hard limit stays, what a run within another one has replaced comes back, and so does none."""
    worker = start(
        BEAR + "outer = resource.getrlimit(LIMIT)\n"
        "take_off_inner = marks.bear({'GPUPOOL_RUN': 'inner'})\n"
        "inner = resource.getrlimit(LIMIT)\n"
        "take_off_inner()\n"
        "again = resource.getrlimit(LIMIT)\n"
        "take_off()\n"
        "say(*outer, *inner, *again, *resource.getrlimit(LIMIT))"
    )
    outer, inner, again, none = (tuple(worker.said[place : place + 2]) for place in range(0, 8, 2))
    assert outer == again != inner
    assert none == (EVERYTHING, EVERYTHING)
    for soft, hard in (outer, inner):
        assert soft / 1e6 / 3600 / 24 / 365 > 100_000
        assert hard == EVERYTHING


@pytest.mark.parametrize("limits", [(200_000, EVERYTHING), (200_000, 200_000)], ids=["soft", "hard"])
def test_a_limit_that_somebody_has_set_stays(start: Start, limits: tuple[int, int]) -> None:
    """It is nobody's mark."""
    worker = start(
        f"import resource\nresource.setrlimit(resource.RLIMIT_RTTIME, {limits})\n{BEAR}"
        "child = start(env={}, start_new_session=True)\n"
        "shared = marks.are_shared_with(child.pid)\n"
        "take_off()\n"
        "say(child.pid, int(shared), *resource.getrlimit(LIMIT))"
    )
    child, shared, *after = worker.said
    assert (shared, tuple(after)) == (False, limits)
    worker.wait()
    assert processes_of(worker.known) == set()
    end_worker(worker.known._replace(process=table.identity(child)), grace=GRACE)


def test_who_has_taken_them_off_meanwhile(start: Start) -> None:
    """A test that has set its own limits keeps them: nothing is raised when they would be put back."""
    worker = start(BEAR + "resource.setrlimit(LIMIT, (5, 5))\ntake_off()\nsay(*resource.getrlimit(LIMIT))")
    assert worker.said == [5, 5]
    assert worker.wait() != -signal.SIGXCPU
