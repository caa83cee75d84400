"""The server: a process that has imported what workers need, and forks itself for each. Nothing else ever runs in it.

A child is what ``python -c`` would have made of its program: the environment, directory and streams of who asked for it
at that moment, and a ``__main__`` of its own. The time that its imports took is saved, and what they made is shared
memory. No thread runs here and no lock is held, so that to fork is safe.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..processes import table
from ..processes.own import clock
from . import wire

FORK, STATUS = "fork", "status"
"""What is asked for: another process; what one that has ended has ended with."""

START = (
    "import sys; usual = sys.path[:]; sys.path[:] = [*sys.path[1:], sys.argv[3]]; "
    "from {module} import serve; serve(usual); del usual, serve; {program}"
)
"""What the server is started with. Its arguments: a descriptor of the socket to the client, a pidfd of the client, and
where the package lies."""


def serve(usual_path: list[str]) -> None:
    """Be the server until the client is gone; return in each child, and nowhere else.

    ``usual_path`` is the search path of a Python that has just started.
    """
    connection, parent = map(int, sys.argv[1:3])
    client = socket.socket(fileno=connection)
    try:
        [search_path, names], _ = wire.receive(client)
        wire.send(client, _unfit(search_path, names))
        gc.collect()
        gc.freeze()  # what is shared is not written to by looking at it
        while True:
            [question, argument], descriptors = _next(client, parent)
            if question == STATUS:
                wire.send(client, os.waitpid(argument, 0)[1])
                continue
            pid = _fork()
            if pid == 0:
                client.close()
                os.close(parent)
                _become(argument, descriptors, usual_path)
                return
            for descriptor in descriptors:
                os.close(descriptor)
            wire.send(client, pid)
    except (wire.Ended, ChildProcessError):
        os._exit(0)


def _unfit(search_path: list[str], names: list[str]) -> str | None:
    """Import these; return why this process is none to fork, None where it is."""
    sys.path[:] = search_path
    for name in names:
        with suppress(Exception):  # who needs it will say that it cannot be imported
            importlib.import_module(name)
    if len(table.threads()) > 1:
        return "a thread runs in it"
    if sys.gettrace() is not None or sys.getprofile() is not None or "coverage" in sys.modules:
        return "it is traced"
    return None


def _next(client: socket.socket, parent: int) -> tuple[Any, list[int]]:
    """Return what is asked next; a child that the client has forked may hold its socket open when it is gone."""
    wait = select.poll()
    wait.register(client, select.POLLIN)
    wait.register(parent, select.POLLIN)
    if any(descriptor == parent for descriptor, _ in wait.poll()):
        raise wire.Ended("the client's process has ended")
    return wire.receive(client)


def _fork() -> int:
    """Fork; return the child's number, 0 in the child, less than 0 for an error."""
    try:
        return os.fork()
    except OSError as error:
        return -(error.errno or 1)


def _become(environment: dict[bytes, bytes], descriptors: Sequence[int], usual_path: list[str]) -> None:
    """Have this child be as if Python had just been started, with the modules there already."""
    directory, *streams = descriptors
    os.fchdir(directory)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environb.clear()
    os.environb.update(environment)
    sys.path[:] = usual_path
    del sys.argv[1:], sys.orig_argv[4:]
    importlib.invalidate_caches()  # a directory may have got a module since, within a tick of its clock
    clock.read_again()
