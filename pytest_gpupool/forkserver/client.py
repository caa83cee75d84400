"""The client: starts the server, and asks it for processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from ..processes import signals
from ..processes.own.forks import Owner
from ..processes.own.system import os
from . import server, wire
from .forked import ForkedProcess

_IMPORT_SECONDS = 60.0
_ANSWER_SECONDS = 10.0  # after which a server that does not answer is ended: somebody has stopped it
_END_SECONDS = 2.0
_HEARD_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "COV")
"""What such variables say is heard when a program starts, or Python: who is forked does not hear it."""


class Unavailable(Exception):
    """No process can be had of the server; whoever wants one starts it himself."""


class ForkServer:
    """The client's side. Each process is as if this one had started it, but that its parent is the server.

    Its methods are for any thread.
    """

    def __init__(self, modules: Sequence[str], search_path: Sequence[str], program: str) -> None:
        """Start the server, and return at once.

        It imports ``modules`` by ``search_path``; each process then runs ``program`` as ``python -u -c`` does.

        Raises:
            Unavailable: this system has no such thing.
        """
        self._owner = Owner()
        self._lock = threading.Lock()
        self._is_ready = False
        self._environment = _heard_at_start(os.environb)
        with ExitStack() as theirs:
            try:
                ours, other = socket.socketpair()
                theirs.callback(other.close)
                parent = os.pidfd_open(os.getpid())
                theirs.callback(os.close, parent)
                self._process = _start(other.fileno(), parent, program)
            except (AttributeError, OSError) as error:  # not Linux; a kernel older than 5.3; no more processes
                raise Unavailable(str(error)) from error
        ours.settimeout(_IMPORT_SECONDS)
        self._connection = ours
        self._say([list(search_path), list(modules)])

    def start(self) -> ForkedProcess:
        """Start a process in this one's environment and directory, its standard input and output pipes to this one.

        Raises:
            Unavailable: the server is gone or unfit, or the process would not hear of what has changed meanwhile.
        """
        environment = dict(os.environb)
        if _heard_at_start(environment) != self._environment:
            raise Unavailable("the environment has changed")
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                inner, stdin = os.pipe()
                theirs.callback(os.close, inner)
                ours.callback(os.close, stdin)
                stdout, outer = os.pipe()
                theirs.callback(os.close, outer)
                ours.callback(os.close, stdout)
                directory = os.open(".", os.O_PATH)
                theirs.callback(os.close, directory)
                pid = self._ask(server.FORK, environment, (directory, inner, outer, 2))
                if pid < 0:
                    raise OSError(-pid, os.strerror(-pid))
                descriptor = os.pidfd_open(pid)
            except OSError as error:
                raise Unavailable(str(error)) from error
            ours.pop_all()
            return ForkedProcess(pid, descriptor, stdin, stdout, self._status)

    def close(self) -> None:
        """Let the server end, and wait for that."""
        if not self._owner.is_here:
            return
        with self._lock:
            self._connection.close()
        if not signals.ends_within(self._process.pid, _END_SECONDS):
            self._process.kill()
        self._process.wait()

    def _status(self, pid: int) -> int | None:
        try:
            status: int = self._ask(server.STATUS, pid)
        except Unavailable:
            return None
        return status

    def _ask(self, question: str, argument: object, descriptors: Sequence[int] = ()) -> Any:
        with self._lock:
            if not self._is_ready:
                why = self._hear()
                if why is not None:
                    self._lose(why)
                self._is_ready = True
                self._connection.settimeout(_ANSWER_SECONDS)
            try:
                self._say([question, argument], descriptors)
                return self._hear()
            except KeyboardInterrupt:  # else the next question would get this one's answer
                self._end()
                raise

    def _say(self, message: object, descriptors: Sequence[int] = ()) -> None:
        try:
            wire.send(self._connection, message, descriptors)
        except wire.Ended as error:
            self._lose(str(error))

    def _hear(self) -> Any:
        try:
            return wire.receive(self._connection)[0]
        except wire.Ended as error:
            self._lose(str(error))

    def _lose(self, why: str) -> NoReturn:
        self._end()
        raise Unavailable(why)

    def _end(self) -> None:
        """It answers late or never, or nobody listens: it is not to answer any more."""
        self._connection.close()
        self._process.kill()


def _start(connection: int, parent: int, program: str) -> subprocess.Popen[bytes]:
    code = server.START.format(module=server.__name__, program=program)
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(connection), str(parent), root],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(connection, parent),
        process_group=0,  # what a terminal sends to all is not for it
    )


def _heard_at_start(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    prefixes = tuple(map(os.fsencode, _HEARD_AT_START))
    return {name: value for name, value in environment.items() if name.startswith(prefixes)}
