"""Kept: the files that tests have kept, as far as they are there and go along with an export."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...records.beside.attachments import is_place
from ...values.texts import one_line

LARGEST = 32 << 20
"""Bytes of a file that goes along."""
MOST_FILES = 10_000
"""Files that go along with one export."""
MOST_BYTES = 1 << 30
"""Bytes of all of them."""


class Kept:
    """Finds files in the run's directory, or what was copied of it, and remembers what does not go along, and why."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._files = self._bytes = 0
        self._left: dict[str, list[str]] = {}

    def found(self, files: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
        """Yield of files, by their names in a tracker, those that go along: the name, and where each lies."""
        for name, place in files.items():
            if path := self._found(place):
                yield name, path

    @property
    def told(self) -> str:
        """What people are told of it: how many go along, and what does not; nothing where there is none."""
        several = "" if self._files == 1 else "s"
        count = f", and {self._files} file{several} that tests have kept" if self._files else ""
        left = [f"{one_line(places[0])} {_others(places)}{why}" for why, places in self._left.items()]
        return count + (f"; not with it: {'; '.join(left)}" if left else "")

    def _found(self, place: str) -> Path | None:
        path, size = self._file(place)
        if path is None:
            why = "is not there, or is no file of the run's directory"
        elif size > LARGEST:
            why = f"has more than {LARGEST >> 20} MiB"
        elif self._files >= MOST_FILES:
            why = f"is beyond {MOST_FILES} files"
        elif self._bytes + size > MOST_BYTES:
            why = f"is beyond {MOST_BYTES >> 20} MiB"
        else:
            self._files, self._bytes = self._files + 1, self._bytes + size
            return path
        self._left.setdefault(why, []).append(place)
        return None

    def _file(self, place: str) -> tuple[Path | None, int]:
        """Return where a file is, and its size; no link is followed on the way there from the run's directory."""
        for folder in self._folders if is_place(place) else ():
            path = folder / place
            try:
                about = path.lstat()
                if stat.S_ISREG(about.st_mode) and path.resolve(strict=True) == path and os.access(path, os.R_OK):
                    return path, about.st_size
            except (OSError, RuntimeError):  # a circle of links is the latter
                continue
        return None, 0


def _others(places: Sequence[str]) -> str:
    return f"(and {len(places) - 1} more) " if len(places) > 1 else ""
