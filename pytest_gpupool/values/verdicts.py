"""Verdicts: what may become of a metric beside its baseline, and what follows from each.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

Verdict = Literal["ok", "improved", "regressed", "gone", "no-baseline", "contended", "invalid"]


class Meaning(NamedTuple):
    """What follows from a verdict."""

    severity: int
    """How much it needs a look: 0 the least."""
    is_bad: bool = False
    """Whether it needs a look at all, and fails a test where nobody says otherwise."""
    is_good: bool = False
    """Whether it can never fail a test."""
    is_compared: bool = False
    """Whether it rests on the difference from the baseline."""
    is_disturbed: bool = False
    """Whether the value says nothing of the model or the device: something else decided it."""


MEANINGS: dict[Verdict, Meaning] = {
    "ok": Meaning(0, is_good=True, is_compared=True),
    "improved": Meaning(1, is_good=True, is_compared=True),
    "regressed": Meaning(4, is_bad=True, is_compared=True),
    "gone": Meaning(5, is_bad=True),
    "no-baseline": Meaning(2),
    "contended": Meaning(3, is_disturbed=True),
    "invalid": Meaning(6, is_bad=True, is_disturbed=True),
}
"""The rules on verdicts, in the order in which reports count them."""

VERDICTS: tuple[Verdict, ...] = tuple(MEANINGS)
"""Every verdict that a metric may have in a report."""

WORST_FIRST: tuple[Verdict, ...] = tuple(sorted(VERDICTS, key=lambda one: -MEANINGS[one].severity))
"""Every verdict, in the order in which they need a look."""

BAD: tuple[Verdict, ...] = tuple(one for one in WORST_FIRST if MEANINGS[one].is_bad)
"""Verdicts that need a look, the worst first; they fail a test where nobody says otherwise."""

GOOD = frozenset(one for one in VERDICTS if MEANINGS[one].is_good)
"""Verdicts that need no look, and never fail a test."""

COMPARED = frozenset(one for one in VERDICTS if MEANINGS[one].is_compared)
"""Verdicts that rest on the difference from the baseline."""

DISTURBED = frozenset(one for one in VERDICTS if MEANINGS[one].is_disturbed)
"""Verdicts on values that say nothing of the model or the device."""

FAILING: tuple[Verdict, ...] = tuple(one for one in VERDICTS if one not in GOOD)
"""The verdicts that may fail a test."""

GONE: Verdict = "gone"
"""The verdict on a metric that the baseline has and the run has not: it has no value."""

INVALID: Verdict = "invalid"
"""The one verdict that needs neither a baseline nor the rest of the run."""

ERROR = 0.01
"""How likely a run of an unchanged suite may be red, over all its metrics, where an option does not say it."""

CONFIRM = 4
"""How often a test is measured again at most, of which a metric is suspect, where an option does not say it."""

RTOL = 0.01
"""The allowed relative change where neither the call, nor the baseline, nor an option gives a tolerance."""


CPU_PRESSURE = 20.0
"""Percent of a test's time in which programs waited for a processor, from which on its times say little.

Some of it is there on any host with as many workers as cores: the controller and the kernel take their turns.
"""


def is_disturbed(used: Mapping[str, Any]) -> bool:
    """Say whether something else changed what a test measured of time: its device was throttled, or used by others.

    A CPU slot is used by others where programs have waited for a processor, see :data:`CPU_PRESSURE`.
    ``used`` is what was measured of the test, as records and reports have it under ``resources``.
    """
    waited = used.get("cpu_pressure_percent") or 0.0
    return bool(used.get("throttled") or used.get("foreign_pids") or waited >= CPU_PRESSURE)


def is_lost(metric: Mapping[str, Any]) -> bool:
    """Say whether a metric, as records have it, is invalid since its device failed, and not by its value."""
    return metric["verdict"] == "invalid" and metric["value"] is not None


def rank(verdict: str | None) -> int:
    """Return the place of a verdict among :data:`WORST_FIRST`, 0 for the worst; a metric without one is the last."""
    return len(WORST_FIRST) if verdict is None else [*WORST_FIRST].index(verdict)  # type: ignore[arg-type]


Kind = Literal["proportion", "mean", "time", "rate", "size", "score"]
"""What a metric is, which says by what test it is compared.

A share of items; a mean over items; a duration; something per time; an amount; one number of unknown noise.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)
