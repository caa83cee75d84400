"""The comparison of two runs: what became of each metric, and of each test.

Pure: standard library only, no clock, no files. ``compare`` makes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..metrics.metric import Number
from ..values.outcomes import BAD
from ..values.verdicts import GONE, WORST_FIRST

CONCERNS = (GONE, *(one for one in WORST_FIRST if one != GONE))
"""What may become of a metric, the worst first."""

Value = Number | str | None
"""A metric's value; ``nan``, ``inf`` or ``-inf`` as text, None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A metric in both: its values, and what became of it.

    ``change`` is relative to the older value, None where that is 0 or absent; ``n`` is the newer value's number of
    items; ``note`` says what else is to be known; the others are as in :class:`case.Decision`.
    """

    test: str
    metric: str
    unit: str
    old: Value
    new: Value
    verdict: str
    kind: str | None = None
    n: int | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    allowed: float | None = None
    atol: float | None = None
    detectable: float | None = None
    detectable_alone: float | None = None
    higher_is_better: bool | None = None
    p_value: float | None = None
    cohort: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long something took, in seconds, in the older and in the newer run."""

    test: str
    old: float
    new: float

    @property
    def change(self) -> float | None:
        """The relative change, None where the older one is 0."""
        return self.new / self.old - 1 if self.old else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeChange:
    """A test whose outcome is another one now."""

    test: str
    old: str
    new: str

    @property
    def is_worse(self) -> bool:
        """Whether it is bad, and was not."""
        return self.new in BAD and self.old not in BAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that two runs tell about each other, the worst first; tests that only one of them has by name.

    ``durations`` are of the tests that both have; a baseline has neither these nor outcomes. ``params`` are the
    parameters of each test of the newer one.
    """

    metrics: tuple[Pair, ...]
    outcomes: tuple[OutcomeChange, ...] = ()
    durations: tuple[Duration, ...] = ()
    makespan: Duration | None = None
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many metrics there are of each of :data:`CONCERNS`, without those that none is of."""
        counts = Counter(pair.verdict for pair in self.metrics)
        return {concern: counts[concern] for concern in CONCERNS if counts[concern]}

    @property
    def total(self) -> Duration | None:
        """The sums of the durations."""
        if not self.durations:
            return None
        return Duration(test="", old=sum(one.old for one in self.durations), new=sum(one.new for one in self.durations))

    def fails(self, kinds: Collection[str]) -> bool:
        """Say whether a verdict is one of these kinds.

        An outcome that is bad and was not counts as ``regressed``.
        """
        if any(pair.verdict in kinds for pair in self.metrics):
            return True
        return "regressed" in kinds and any(one.is_worse for one in self.outcomes)
