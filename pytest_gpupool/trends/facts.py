"""Facts of two runs: which of what tests say of themselves is another thing in the later one.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..values.texts import cut, one_line

Report = Mapping[str, Any]

_MOST = 20
_WIDEST = 80


def changed(old: Report, new: Report) -> list[dict[str, Any]]:
    """Return what differs of tests that both have: ``name``, ``old``, ``new`` (None where it has none), ``tests``.

    What differs in the same way in most tests comes first.
    """
    before = {test["nodeid"]: test.get("facts", {}) for test in old["tests"]}
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for test in new["tests"]:
        if test["nodeid"] in before:
            was, now = before[test["nodeid"]], test.get("facts", {})
            for name in {**was, **now}:
                if was.get(name) != now.get(name):
                    found.setdefault((name, was.get(name), now.get(name)), []).append(test["nodeid"])
    differing = [
        {"name": name, "old": one, "new": other, "tests": tests} for (name, one, other), tests in found.items()
    ]
    return sorted(differing, key=lambda one: -len(one["tests"]))


def lines(found: Sequence[Mapping[str, Any]], *, all_of_them: bool = False) -> Iterable[str]:
    """Yield a line for each difference."""
    shown = found if all_of_them else found[:_MOST]
    for one in shown:
        tests = one["tests"]
        where = one_line(tests[0]) if len(tests) == 1 else f"{len(tests)} tests"
        yield f"{_text(one['name'])}: {_text(one['old'])} → {_text(one['new'])} ({where})"
    if len(found) > len(shown):
        yield f"… and {len(found) - len(shown)} more (-v shows all)"


def _text(text: str | None) -> str:
    return "none" if text is None else cut(one_line(text), _WIDEST)
