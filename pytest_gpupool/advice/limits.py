"""Limits: timeouts that come far too late.

It is told of each limit that tests had, by their marker or the command line, where it is at least ten times what the
longest of them took, with what that had to set up. Three times that would do, but no less than 30 s: where a test takes
seconds, a busy machine or a cold cache is most of it. Only where all of them ran to their end: one that was cut off
says that the limit is of use, and not how long the test takes.

What it saves: ``(limit - proposed) / (run + limit)``, where ``run`` is how long devices were held in all: the share of
the time that the run would take where one of these tests hangs, and is the last to end.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..records.folding.result import TestResult
from ..records.folding.results import Results
from ..values.nodeids import name_of
from ..values.outcomes import WHOLE
from ..values.texts import cut_middle, one_line
from .items import Advice
from .leases import Holds
from .wording import seconds_text, share_text

FAR = 10.0
"""How many times what a test takes is far too late."""
ENOUGH = 3.0
"""How many times is enough."""
LEAST_LIMIT = 30.0
"""No shorter limit is proposed, in seconds."""

_SHORTEST = 0.1  # seconds: how much longer than that is nothing to count
_WIDEST = 60


def advice(results: Results, holds: Holds) -> Iterator[Advice]:
    """Yield it, whatever it saves."""
    general = results.settings.get("timeout")
    by_limit: dict[float, list[TestResult]] = {}
    for test in results.ran:
        limit = test.asked.get("timeout", general)
        if limit is not None and test.outcome not in ("skipped", "not-run"):
            by_limit.setdefault(limit, []).append(test)
    for limit, tests in by_limit.items():
        if any(test.outcome not in WHOLE for test in tests):
            continue
        longest = max(tests, key=_took)
        proposed = _round(max(LEAST_LIMIT, ENOUGH * _took(longest)))
        if limit < FAR * _took(longest) or proposed >= limit:
            continue
        saves, name = (limit - proposed) / (holds.span + limit), cut_middle(one_line(name_of(longest.nodeid)), _WIDEST)
        times = f"{limit / max(_took(longest), _SHORTEST):.0f} times"
        text = (
            f"a timeout of {limit:g} s is {times} what the longest test that has it took "
            f"({seconds_text(_took(longest))}, {name}): {proposed} s would do, and a run in which one hangs would take "
            f"{share_text(saves)} less time"
        )
        yield Advice("timeout", text, saves, "hang")


def _took(test: TestResult) -> float:
    return (test.duration or 0.0) + sum(test.set_ups.values())


def _round(seconds: float) -> int:
    """Return so many seconds or more, as people would write them."""
    step = 10 if seconds < 600 else 60
    return math.ceil(seconds / step) * step
