"""Identity: no two tests have the same id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from ...foreign.pytest_names import rename


def source_of(item: pytest.Item) -> list[Any] | None:
    """Return where a test is written: a path from rootdir, and the line, from 1; None where pytest knows no line."""
    path, line, _ = item.location
    return None if line is None or line < 0 else [path.replace(os.sep, "/"), line + 1]


def tell_apart(items: Sequence[pytest.Item]) -> None:
    """See that no two tests have the same id: the second of one id is called ``id #2``. Twice changes nothing.

    Several items of one id, as a collector of somebody's may make them, would hide each other's results.
    """
    taken, seen = {item.nodeid for item in items}, Counter[str]()
    if len(taken) == len(items):
        return
    for item in items:
        nodeid = item.nodeid
        seen[nodeid] += 1
        if seen[nodeid] == 1:
            continue
        while (name := f"{nodeid} #{seen[nodeid]}") in taken:
            seen[nodeid] += 1
        taken.add(name)
        rename(item, name)
