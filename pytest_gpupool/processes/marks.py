"""Marks: by what the processes are known that a worker has started, whatever has become of parents, groups, sessions.

Marks are variables, which whoever is started has in its environment, unless it is given another one. What nobody is
given another one of, since it limits nothing, is the limit of processor time under a real-time scheduling: the kernel
hands it on through forks, programs and the deaths of parents. So that a worker has there, as a number of microseconds
beyond all times, what its marks are in short.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping

from . import table
from .own.system import os

WORKER = "GPUPOOL_WORKER"
"""The variable that a worker is started with. All that it starts inherits it, what it forks too."""

_NONE = -1  # RLIM_INFINITY, as Python has it
_LEAST = 1 << 62  # 146,000 years; a limit below is one


def of_worker(run: str, worker: str) -> dict[str, str]:
    """Return the marks of a worker of a run."""
    return {WORKER: f"{run}/{worker}"}


def bear(marks: Mapping[str, str]) -> Callable[[], object]:
    """Have these marks in this process's limits, and those of what it starts from now on; return what takes them off.

    Where a real limit is set already they are not: then the environment alone tells.
    """
    number = _number(marks)
    before = _exchange(number, _is_free)
    return lambda: None if before is None else _exchange(before, lambda limit: limit == number)


def can_be_borne() -> bool:
    """Return whether this process, and who is forked from it, could bear marks, so that they need no environment."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        from resource import RLIMIT_RTTIME, getrlimit

        limit, most = getrlimit(RLIMIT_RTTIME)
        return most == _NONE and _is_free(limit)
    return False


def are_shared_with(pid: int) -> bool:
    """Return whether a process has in its limits the marks that this one has there."""
    own = table.realtime_limit("self")
    return own is not None and own >= _LEAST and table.realtime_limit(pid) == own


def marked(pids: Iterable[int], marks: Collection[Mapping[str, str]]) -> set[int]:
    """Return which processes have all of some marks."""
    wanted = [{os.fsencode(f"{name}={value}") for name, value in one.items()} for one in marks if one]
    if not wanted:
        return set()
    numbers = {_number(one) for one in marks if one}
    return {
        pid
        for pid in pids
        if table.realtime_limit(pid) in numbers or any(map(table.environment(pid).issuperset, wanted))
    }


def _is_free(limit: int) -> bool:
    return limit == _NONE or limit >= _LEAST  # the latter's are of a run in which this one is


def _exchange(limit: int, may_go: Callable[[int], bool]) -> int | None:
    """Set this process's limit, where the present one may go; return that, None where it stays."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not Linux; not allowed
        from resource import RLIMIT_RTTIME, getrlimit, setrlimit

        before, most = getrlimit(RLIMIT_RTTIME)
        if most == _NONE and may_go(before):
            setrlimit(RLIMIT_RTTIME, (limit, most))
            return before
    return None


def _number(marks: Mapping[str, str]) -> int:
    text = "\0".join(f"{name}={value}" for name, value in sorted(marks.items()))
    return _LEAST | (int.from_bytes(hashlib.sha256(os.fsencode(text)).digest()[:8]) >> 2)
