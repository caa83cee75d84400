"""Identity: no two tests have the same id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from ...foreign.pytest_names import rename


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
