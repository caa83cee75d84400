"""The process table: what the kernel says in /proc of a process, its children and its environment. Linux only.

All of the package that reads /proc/PID does it here, by functions that no test has replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from ..values.process_id import ProcessId
from .own import clock
from .own.system import os

# Not everywhere, but this module can be imported everywhere: it then finds no /proc.
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 1
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1
_LARGEST_STAT = 1 << 12
_LARGEST_STATUS = 1 << 20  # it lists groups, of which a user may have 65536
_LARGEST_LIST = 1 << 16  # of children of one thread: some 8000
_LARGEST_ENVIRONMENT = 1 << 21  # the kernel takes no more, unless the limit of the stack was raised
_LARGEST_PID = 1 << 31


class Process(NamedTuple):
    """A process as the kernel has it: ``start`` in ticks since the machine started, ``name`` cut to 15 bytes.

    A pid is used again, so pid and ``start`` together are what tells a process from every other one. ``seconds`` is the
    processor time of all its threads and of all children that it has waited for, ``rss`` its resident memory in bytes.
    ``lives`` is false for a zombie.
    """

    parent: int
    group: int
    start: int
    seconds: float
    rss: int
    name: bytes
    lives: bool


def process(pid: int | str) -> Process | None:
    """Return what the kernel says of a process, None where there is none or it is hidden; ``"self"`` is this one."""
    if pid != "self" and not _is_our_table():
        return None
    text = _content(f"/proc/{pid}/stat", _LARGEST_STAT)
    if not text:
        return None
    # proc(5); the name may hold blanks and brackets itself.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Process(
        parent=int(fields[1]),
        group=int(fields[2]),
        start=int(fields[19]),
        seconds=sum(map(int, fields[11:15])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
        name=head.partition(b"(")[2],
        # The first thread of a process becomes a zombie when it ends, though others go on, and hold the GPU.
        lives=fields[0] not in (b"Z", b"X") or int(fields[17]) > 1,
    )


def start_of(pid: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None where there is none."""
    known = process(pid)
    return None if known is None else known.start


def identity(pid: int | None = None) -> ProcessId | None:
    """Return what a process is known by, None where there is none or /proc does not tell; of this process without pid.

    It is what the process itself says, so that it can be compared with a note that was written in a container: the
    number that it has in its own pid namespace. Of a process that hides its namespace, as other users' do, it is said
    as if that were ours.
    """
    # By "self", which is right also where /proc is that of another pid namespace, in which we have another number.
    known = process("self" if pid is None else pid)
    own = _pid_namespace("self")
    if known is None or own is None:
        return None
    if pid is None:
        return ProcessId(os.getpid(), known.start, own)
    namespace = _pid_namespace(pid)
    if namespace in (None, own):
        return ProcessId(pid, known.start, own)
    inner = _innermost_number(pid)
    return None if inner is None or namespace is None else ProcessId(inner, known.start, namespace)


def lives(identity: ProcessId) -> bool | None:
    """Return whether that process lives, a zombie does not; None where it cannot be told here.

    It cannot of a process of another pid namespace, nor where /proc is missing or is another namespace's.
    """
    if identity.pid_namespace != _pid_namespace("self") or not _is_our_table():
        return None
    known = process(identity.pid)
    if known is None:
        # Where /proc hides other users' processes it may be there all the same, or another one may be.
        return None if exists(identity.pid) else False
    return known.start == identity.started and known.lives


def is_process(pid: int, identity: ProcessId) -> bool:
    """Return whether the process that has this number here is that one, be it in a container of its own or not."""
    known = process(pid)
    if known is None or known.start != identity.started:
        return False
    namespace = _pid_namespace(pid)
    if namespace is not None and namespace != identity.pid_namespace:
        return False
    # Another user's process hides its namespace, but not its number there.
    return _innermost_number(pid) == identity.pid


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger, as by Ctrl-Z."""
    text = _content(f"/proc/{pid}/stat", _LARGEST_STAT) or b""
    return text.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])


def catches(pid: int, number: int) -> bool | None:
    """Return whether a process has a handler for a signal, None where that cannot be told."""
    for line in (_content(f"/proc/{pid}/status", _LARGEST_STATUS) or b"").splitlines():
        if line.startswith(b"SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return None


def owner(pid: int) -> int | None:
    """Return the uid that a process runs as, None where there is none."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def command(pid: int) -> str:
    """Return the command line of a process, "" where there is none or it is hidden; of a kernel thread the name."""
    words = (_content(f"/proc/{pid}/cmdline", _LARGEST_STAT) or b"").replace(b"\0", b" ").strip()
    known = None if words else process(pid)
    return (known.name if known is not None else words).decode(errors="replace")


def started_at(pid: int) -> float | None:
    """Return when a process was started in seconds since 1970, to a hundredth; None where there is none."""
    started = start_of(pid)
    if started is None:
        return None
    return clock.now() - clock.since_boot() + started / _TICKS


def all_processes() -> dict[int, Process]:
    """Return all processes of the machine that are not hidden, by pid."""
    pids = [int(name) for name in _names("/proc") if name.isdigit()]
    return {pid: known for pid in pids if (known := process(pid)) is not None}


def lines_of_all(name: str) -> list[bytes]:
    """Return the lines of a file of /proc that is about all processes."""
    return lines_at(f"/proc/{name}")


def lines_at(path: str) -> list[bytes]:
    """Return the lines of a file that the kernel makes, none where it is not there."""
    return (_content(path, _LARGEST_LIST) or b"").splitlines()


def exists(pid: int) -> bool:
    """Return whether there is a process of that number, be it hidden or another user's."""
    if not 0 < pid < _LARGEST_PID:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def open_file(pid: int, descriptor: int) -> int | None:
    """Return a descriptor, for reading, of the file that a process has open under that one; None where it has none."""
    try:
        return os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


def environment(pid: int) -> frozenset[bytes]:
    """Return the variables that a process was started with, ``NAME=value`` each; none where they cannot be read."""
    return frozenset((_content(f"/proc/{pid}/environ", _LARGEST_ENVIRONMENT) or b"").split(b"\0"))


def realtime_limit(pid: int | str) -> int | None:
    """Return for how many microseconds a process may run under a real-time scheduling, None where nothing limits it."""
    for line in (_content(f"/proc/{pid}/limits", _LARGEST_STAT) or b"").splitlines():
        if line.startswith(b"Max realtime timeout"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else None
    return None


def arguments(pid: int) -> list[str]:
    """Return what a process was started as, word by word; nothing where there is none or it is hidden."""
    words = (_content(f"/proc/{pid}/cmdline", _LARGEST_ENVIRONMENT) or b"").removesuffix(b"\0")
    return words.decode(errors="replace").split("\0") if words else []


def command_line(pid: int) -> str:
    """Return what a process was started as, its name in brackets where that is hidden."""
    words = (_content(f"/proc/{pid}/cmdline", _LARGEST_STATUS) or b"").split(b"\0")
    text = b" ".join(words).decode(errors="replace").strip()
    known = process(pid)
    return text or f"[{'' if known is None else known.name.decode(errors='replace')}]"


def lineage(pid: int, table: Mapping[int, Process] | None = None) -> dict[int, Process]:
    """Return a process and its ancestors by pid, the nearest first, from ``table`` or as the kernel has them now."""
    look = process if table is None else table.get
    found: dict[int, Process] = {}
    while pid > 0 and pid not in found and (known := look(pid)) is not None:
        found[pid] = known
        pid = known.parent
    return found


def with_descendants(roots: Iterable[int], table: Mapping[int, Process]) -> set[int]:
    """Return these pids and all that descend from them, be they in the table or not."""
    children: dict[int, list[int]] = {}
    for pid, known in table.items():
        children.setdefault(known.parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def threads() -> set[int]:
    """Return the kernel's numbers of the threads of this process, none where it does not tell."""
    return {int(name) for name in _names("/proc/self/task")}


def lists_children() -> bool:
    """Return whether the kernel lists the children of threads (CONFIG_PROC_CHILDREN)."""
    pid = os.getpid()
    return _content(f"/proc/{pid}/task/{pid}/children", _LARGEST_LIST) is not None


def children_by_lists(pid: int) -> set[int]:
    """Return whose parent a process is; only right where :func:`lists_children` is true."""
    return set(_children(pid))


def descendants_by_lists(root: int) -> set[int]:
    """Return who descends from a process, from its threads' lists: the cost does not grow with the machine's processes.

    Only right where :func:`lists_children` is true.
    """
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        new = children_by_lists(pid) - found
        found |= new
        todo += new
    return found


def _pid_namespace(pid: int | str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def _innermost_number(pid: int) -> int | None:
    """Return the number of a process in its own pid namespace, None where there is no such process."""
    for line in (_content(f"/proc/{pid}/status", _LARGEST_STATUS) or b"").splitlines():
        if line.startswith(b"NSpid:"):
            return int(line.split()[-1])
    return None


def _is_our_table() -> bool:
    """Return whether the numbers in /proc are those of our pid namespace: a container may still see its host's."""
    return _is_table_of(os.getpid())


@cache
def _is_table_of(own_number: int) -> bool:
    try:
        return os.readlink("/proc/self") == str(own_number)
    except OSError:
        return False


def _children(pid: int) -> Iterator[int]:
    for thread in _names(f"/proc/{pid}/task"):
        listed = _content(f"/proc/{pid}/task/{thread}/children", _LARGEST_LIST) or b""
        yield from map(int, listed.split())


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _content(path: str, most: int) -> bytes | None:
    """Return the beginning of a file of /proc, None where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)  # not inherited, as all that Python opens
    except OSError:
        return None
    try:
        return os.read(descriptor, most)
    except OSError:  # the process has ended since
        return None
    finally:
        os.close(descriptor)
