"""Measurement: how long a call takes, repeated until the median is known well enough or a limit is reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..processes.own import clock
from ..processes.own.garbage import collection_paused
from ..values.errors import MetricProblem
from . import metric as metrics
from .median import Median, median

if TYPE_CHECKING:
    from .metric import Metric

_LEAST, _MOST = 10, 1000
"""How many samples there are at least, where there is time, and at most: a record has each of them."""

_MORE = 1.1
"""By which factor samples grow until the next look at the median, which sorts them."""

Spans = Sequence[tuple[float, float]]
"""From when to when on the monotonic clock."""


class Clock(Protocol):
    """What times calls."""

    name: str

    def seconds(self, call: Callable[[], object], number: int) -> float:
        """Return how long so many calls take."""

    def number(self, call: Callable[[], object]) -> int:
        """Return how many calls to time at once."""

    def frequency(self) -> float | None:
        """Return the device's frequency in MHz, None where nobody tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to measure: seconds of calls that do not count, the least and the most that do, and the error to reach.

    Raises:
        MetricProblem: one of them makes no sense.
    """

    name: str
    warmup: float
    min_time: float
    rel_error: float
    max_time: float

    def __post_init__(self) -> None:
        for argument in ("warmup", "min_time", "rel_error", "max_time"):
            value = getattr(self, argument)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                what = "a share such as 0.01" if argument == "rel_error" else "a number of seconds"
                raise MetricProblem(f"measure {self.name!r}: {argument} is {what}, not {value!r}")
        if self.max_time < self.min_time:
            raise MetricProblem(
                f"measure {self.name!r}: max_time ({self.max_time:g} s) is less than min_time ({self.min_time:g} s)"
            )


class _Sample(NamedTuple):
    began: float
    ended: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Measurement:
    """What was measured. ``first`` is the first call of all, in which libraries load and compile, in seconds."""

    clock: str
    first: float
    warmup_calls: int = 1
    calls: int = 1
    samples: list[_Sample] = field(default_factory=list)
    throttled: Spans = ()
    limit: str | None = None
    frequencies: list[float] = field(default_factory=list)

    def kept(self) -> list[float]:
        """Return the seconds of a call in each sample; those of a throttled device count only where all are."""
        kept = [one.seconds for one in self.samples if not _overlaps(one, self.throttled)]
        return kept or [one.seconds for one in self.samples]

    def median(self) -> Median:
        """Return the median of what is kept."""
        return median(self.kept())

    def to_metric(self, name: object) -> Metric:
        """Return it as what the test has recorded. Raises MetricProblem where the name is none."""
        kept, known = self.kept(), self.median()
        timing: dict[str, Any] = {
            "clock": self.clock,
            "repeats": kept,
            "calls_per_repeat": self.calls,
            "interval": None if known.low is None else [known.low, known.high],
            "relative_error": known.relative_error,
            "limit": self.limit,
            "discarded": len(self.samples) - len(kept),
            "first_call_s": self.first,
            "warmup_calls": self.warmup_calls,
            "device_clock_mhz": [min(self.frequencies), max(self.frequencies)] if self.frequencies else None,
        }
        return replace(metrics.make(name, known.value, unit="s", higher_is_better=False), timing=timing)


def measure(call: Callable[[], object], plan: Plan, throttled: Callable[[], Spans]) -> Measurement:
    """Return how long a call takes. ``throttled`` tells when the device was, as far as somebody has looked.

    What the call raises is raised.
    """
    timer = _clock()
    with collection_paused():  # of garbage, as timeit does
        found = _warmed_up(call, timer, plan)
        _repeat(call, timer, plan, found, throttled)
    return found


def _warmed_up(call: Callable[[], object], timer: Clock, plan: Plan) -> Measurement:
    began = clock.monotonic()
    found = Measurement(clock=timer.name, first=timer.seconds(call, 1))
    while clock.monotonic() - began < plan.warmup:
        timer.seconds(call, 1)
        found.warmup_calls += 1
    found.calls = timer.number(call)
    return found


def _repeat(
    call: Callable[[], object], timer: Clock, plan: Plan, found: Measurement, throttled: Callable[[], Spans]
) -> None:
    began, measured, look_at = clock.monotonic(), 0.0, _LEAST
    while True:
        start = clock.monotonic()
        seconds = timer.seconds(call, found.calls)
        end = clock.monotonic()
        found.samples.append(_Sample(start, end, seconds / found.calls))
        measured += seconds
        count = len(found.samples)
        if count >= look_at and measured >= plan.min_time:
            look_at = max(count + 1, int(count * _MORE))
            _look(timer, found, throttled)
            error = found.median().relative_error
            if error is not None and error <= plan.rel_error:
                return
        found.limit = "samples" if count >= _MOST else "time" if end - began >= plan.max_time else None
        if found.limit is not None:
            _look(timer, found, throttled)
            return


def _look(timer: Clock, found: Measurement, throttled: Callable[[], Spans]) -> None:
    found.throttled = throttled()
    if (frequency := timer.frequency()) is not None:
        found.frequencies.append(frequency)


def _overlaps(sample: _Sample, spans: Spans) -> bool:
    return any(sample.began < end and begin < sample.ended for begin, end in spans)


def _clock() -> Clock:
    from ..devices.torch import clock as device_clock

    if device_clock.is_used():
        return device_clock.DeviceClock()
    from .host_clock import HostClock

    return HostClock()
