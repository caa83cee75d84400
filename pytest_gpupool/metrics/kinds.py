"""Kinds: what a metric is, which says by what test it is compared. What a call does not say is not guessed.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..values.errors import MetricProblem
from ..values.verdicts import KINDS, Kind
from .units import is_time

_CLOSE = 1e-5
"""How far, relative to the largest sample, a value may be from the mean of its samples: a float32's sums are."""


def checked(
    name: str, kind: object, value: int | float, *, unit: str, n: int | None, samples: Sequence[float] | None
) -> Kind:
    """Return the kind of a metric, the call's where it names one.

    Raises:
        MetricProblem: there is no such kind, or the value is not what one of that kind must be.
    """
    if kind is not None and kind not in KINDS:
        raise MetricProblem(f"metric {name!r}: kind is one of {', '.join(KINDS)}, not {kind!r}")
    found: Kind = kind or taken(value, unit=unit, n=n, samples=samples)
    if not _is_finite(value):
        return found
    if found == "proportion":
        _check_proportion(name, value, unit)
    if kind in _AMOUNTS and value < 0:  # a unit of seconds alone may be that of a difference
        raise MetricProblem(f"metric {name!r}: a {kind} is not below 0, as {value!r} is")
    if found in ("proportion", "mean") and samples is not None and all(map(math.isfinite, samples)):
        _check_mean(name, value, samples, scale_of(unit) if found == "proportion" else 1.0)
    return found


def taken(value: int | float, *, unit: str, n: int | None, samples: Sequence[float] | None) -> Kind:
    """Return what a metric is taken for whose call does not say it.

    A unit of time makes it a time. Samples that are all 0 or 1, or ``n`` with a whole number of successes, make it a
    proportion; other samples, a mean. All else is a score: neither the range of a value nor how its unit is spelt says
    what it is.
    """
    if is_time(unit):
        return "time"
    if samples is not None:
        return "proportion" if unit in _SCALES and all(one in (0, 1) for one in samples) else "mean"
    return "proportion" if n is not None and successes(value, unit, n) is not None else "score"


def scale_of(unit: str) -> float:
    """Return what the value of a proportion of 1 is: 100 of one in percent."""
    return _SCALES.get(unit, 1.0)


def successes(value: int | float, unit: str, n: int) -> int | None:
    """Return how many of ``n`` items a value is the proportion of, None where that is no whole number of them."""
    if unit not in _SCALES or not _is_finite(value) or not 0 <= value <= _SCALES[unit]:
        return None
    count = value / _SCALES[unit] * n
    return round(count) if abs(count - round(count)) <= 1e-6 * max(1.0, count) else None


_AMOUNTS = ("time", "rate", "size")

_SCALES = {"": 1.0, "%": 100.0}


def _check_proportion(name: str, value: int | float, unit: str) -> None:
    if unit not in _SCALES:
        raise MetricProblem(f"metric {name!r}: a proportion has no unit, or '%', not {unit!r}")
    if not 0 <= value <= _SCALES[unit]:
        percent = "; give unit='%' where it is a percentage" if unit == "" and 1 < value <= 100 else ""
        raise MetricProblem(f"metric {name!r}: a proportion is from 0 to {_SCALES[unit]:g}, not {value!r}{percent}")


def _check_mean(name: str, value: Any, samples: Sequence[float], scale: float) -> None:
    mean = scale * math.fsum(samples) / len(samples)
    if abs(value - mean) > _CLOSE * max(scale, *map(abs, samples)):
        raise MetricProblem(
            f"metric {name!r}: {value!r} is not the mean of its samples, which is {mean:.6g}; give kind='score' where "
            "it is something else"
        )


def _is_finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
