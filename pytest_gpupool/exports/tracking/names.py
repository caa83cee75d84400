"""Names: what things are called in a tracker, which takes few signs, and may keep each thing in a file of its name."""

from __future__ import annotations

import re

_OTHER = re.compile(r"[^\w./ -]+", re.ASCII)
_LONGEST = 240  # MLflow takes 250 characters


def plain(name: str) -> str:
    """Return a name as every tracker takes it: of few signs, and, as a path, one that leads nowhere else."""
    parts = (part.strip("_ ") for part in _OTHER.sub("_", name)[:_LONGEST].split("/"))
    return "/".join(part for part in parts if part.strip(".")) or "_"


class Names:
    """The names that one run of a tracker has given away: each once, and none of them the folder of another one."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._folders: set[str] = set()

    def one(self, name: str, between: str = " ") -> str:
        """Return a name that is free, and is taken from now on: this one, or it with a number before its suffix.

        With ``between`` as a blank the number is its end: what is no file has no suffix.
        """
        if not self._taken.isdisjoint(_folders_of(name)):
            name = name.replace("/", "_")
        stem, dot, suffix = name.rpartition(".")
        if between == " " or not stem or "/" in suffix:
            stem, dot, suffix = name, "", ""
        number, free = 1, name
        while free in self._taken or free in self._folders:
            number += 1
            free = f"{stem}{between}{number}{dot}{suffix}"
        self._taken.add(free)
        self._folders.update(_folders_of(free))
        return free


def _folders_of(name: str) -> list[str]:
    return [name[: found.start()] for found in re.finditer("/", name)]
