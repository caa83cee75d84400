"""The journal: an append-only file of one JSON record per line, one file per writer.

A line is written by one system call, so that after a kill every line but the last one is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Appends records to ``path``. Where the file cannot be written it says so once and keeps nothing.

    ``problem`` is None while all is well, else the reason why later records are not on disk.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.problem: str | None = None
        self._descriptor: int | None = None

    def append(self, line: str) -> None:
        """Write one record, as :func:`dump` gives it, unless the journal is off or has failed before."""
        if self.path is None or self.problem is not None:
            return
        data = line.encode() + b"\n"
        try:
            written = os.write(self._open(), data)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
            return
        if written < len(data):
            self.problem = f"{self.path}: the disk is full"

    def close(self) -> None:
        """Close the file; a later record opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            assert self.path is not None
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return self._descriptor


def dump(record: Mapping[str, Any]) -> str:
    """Return a record as one line of strict JSON, in ASCII."""
    return json.dumps(record, allow_nan=False, separators=(",", ":"))


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal; a line that is not a whole record is passed over."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for line in text.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
