"""Streams: what each rank of a job writes: kept, logged, and passed on line by line, with the rank before each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ...logs.log_file import LogFile
from ..output import KEPT, STREAMS, Kept

_LONGEST_LINE = 2**16
_KEPT_OF_OTHERS = 2**18
"""Bytes of each stream that are kept of ranks but the first."""


class RankStreams:
    """Named pipes in a folder, ``0.stdout`` and so on, into which the ranks write.

    So that who ends first is known: a pipe is at its end when its rank has ended.
    """

    def __init__(self, folder: Path, logs: Sequence[LogFile | None], pass_on: Callable[[str, bytes], None]) -> None:
        """One of ``logs`` for each rank. Raises OSError where pipes cannot be made."""
        self._logs = logs
        self._pass_on = pass_on
        self._kept = [Kept(_KEPT_OF_OTHERS if rank else KEPT) for rank in range(len(logs))]
        self._lines: dict[str, bytearray] = {}
        self._open: dict[str, int] = {}
        self._at_end: set[str] = set()
        self.ended: list[int] = []
        """The ranks that have ended, in this order."""
        for rank in range(len(logs)):
            for stream in STREAMS:
                name = f"{rank}.{stream}"
                os.mkfifo(folder / name, 0o600)
                self._open[name] = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._lines[name] = bytearray()

    def __enter__(self) -> RankStreams:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for descriptor in self._open.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)

    @property
    def inputs(self) -> dict[int, str]:
        """The pipes' names, by their descriptors here."""
        return {descriptor: name for name, descriptor in self._open.items()}

    def hear(self, name: str, data: bytes) -> None:
        """Some has come from a pipe; nothing, where it is at its end."""
        rank, stream = _parts(name)
        log = self._logs[rank]
        if log is not None:
            log.write(data)
        self._kept[rank].hear(stream, data)
        lines = self._lines[name]
        lines += data
        if not data:
            self._at_end.add(name)
            if all(f"{rank}.{one}" in self._at_end for one in STREAMS):
                self.ended.append(rank)
        is_whole = not data or len(lines) > _LONGEST_LINE
        self._pass_lines(name, len(lines) if is_whole else lines.rfind(b"\n") + 1)

    def close(self) -> None:
        """Nothing more comes: pass on what has no end of line, and close the logs."""
        for name, lines in self._lines.items():
            self._pass_lines(name, len(lines))
        for log in self._logs:
            if log is not None:
                log.close()

    def text(self, rank: int, stream: str) -> str:
        """Return what is kept of a stream."""
        return self._kept[rank].text(stream)

    def _pass_lines(self, name: str, size: int) -> None:
        if size:
            rank, stream = _parts(name)
            lines = bytes(self._lines[name][:size]).removesuffix(b"\n").split(b"\n")
            self._pass_on(stream, b"".join(b"[rank %d] %b\n" % (rank, line) for line in lines))
            del self._lines[name][:size]


def _parts(name: str) -> tuple[int, str]:
    rank, _, stream = name.partition(".")
    return int(rank), stream
