"""The tail: what has been added to the journals of a run's directory since they were read last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..records.archive import CONTROLLER
from ..records.record import Record, is_sound

_MOST = 1 << 22
"""Bytes that are read of one journal at a time, and the rest of a line: as many as take some hundredths of a second."""


class Tail:
    """Follows the journals of a directory; also those that are new there."""

    def __init__(self, directory: Path, *, most: int = _MOST) -> None:
        self._directory = directory
        self._most = most
        self._offsets: dict[str, int] = {}

    def read(self) -> Iterator[Record]:
        """Yield the sound records of each line that is whole by now. A journal that cannot be read has none.

        The workers' come first: what the controller says of a test is about what its worker has said before.
        """
        for name in sorted(self._grown(), key=lambda name: (name == CONTROLLER, name)):
            yield from self._read(name)

    def _grown(self) -> list[str]:
        try:
            with os.scandir(self._directory) as entries:
                return [
                    entry.name
                    for entry in entries
                    if entry.name.endswith(".jsonl") and entry.stat().st_size > self._offsets.get(entry.name, 0)
                ]
        except OSError:
            return []

    def _read(self, name: str) -> Iterator[Record]:
        begin = self._offsets.get(name, 0)
        try:
            with (self._directory / name).open("rb") as file:
                file.seek(begin)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # it is being written
                    self._offsets[name] = self._offsets.get(name, 0) + len(line)
                    record = _record(line)
                    if record is not None:
                        yield record
                    if self._offsets[name] - begin >= self._most:
                        return
        except OSError:
            return


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if is_sound(record) else None
