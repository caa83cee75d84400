"""Process ids: what tells a process from every other one of the host, for as long as the host runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ProcessId(NamedTuple):
    """A process by its number, by when it was started, and by the pid namespace in which that is its number.

    A number alone is used again, and every container has a process 1. ``started`` is in the kernel's ticks since the
    host started; ``pid_namespace`` is the namespace's inode.
    """

    pid: int
    started: int
    pid_namespace: int

    def to_json(self) -> dict[str, int]:
        """Return it as a note has it; :meth:`from_json` makes it again."""
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessId | None:
        """Make it of a note, whose other keys do not matter; None where the note does not tell, or not in numbers."""
        values = [data.get(name) for name in cls._fields]
        if not all(type(value) is int and value >= 0 for value in values):
            return None
        return cls(*values)  # type: ignore[arg-type]
