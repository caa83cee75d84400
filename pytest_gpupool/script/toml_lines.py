"""TOML lines: where in a file a key stands, which Python's parser does not tell."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")


class Lines:
    """The lines of a file, by what they hold."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        headers = [(number, match[1]) for number, line in enumerate(self._lines, 1) if (match := _HEADER.match(line))]
        self._headers = headers

    def of(self, table: str, place: int, *keys: str) -> int:
        """Return the line of a key of the table that is the ``place``-th of its name, from 0; keys within keys follow.

        Of what cannot be found the line of what it is in.
        """
        starts = [number for number, name in self._headers if name == table]
        if place >= len(starts):
            return self._find(1, len(self._lines), keys)
        start = starts[place]
        following = (number for number, name in self._headers if number > start and not name.startswith(f"{table}."))
        return self._find(start, next(following, len(self._lines) + 1) - 1, keys)

    def _find(self, first: int, last: int, keys: tuple[str, ...]) -> int:
        found = first
        for key in keys:
            pattern = re.compile(rf"""(?:^|[\s{{,.\["'])["']?{re.escape(key)}["']?\s*[=.\]]""")
            inside = (number for number in range(found, last + 1) if pattern.search(self._lines[number - 1]))
            found = next(inside, found)
        return found
