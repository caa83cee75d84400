"""Verdicts: what becomes of a metric beside its baseline.

Pure: standard library only, no clock, no files. Nothing here raises for a number that is not finite, or too large for
a float.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..metrics.metric import Metric, Number
from ..metrics.units import is_timed
from ..metrics.wording import allowed_text, baseline_text, change_text, number_text, others_text, shows_text, value_text
from ..values.verdicts import COMPARED, Verdict
from . import statistics
from .baseline import Entry
from .statistics import exact

_NOISE = Fraction(1, 1 << 50)
"""The rounding of a few floating-point operations, relative to their result: 0.1 + 0.2 is not 0.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and what it is based on; None is what does not apply, or no float can hold.

    ``baseline`` is the entry's value; ``change`` is relative to it, None where it is 0; ``allowed`` is the absolute
    change that is within the tolerance; ``detectable`` is the smallest absolute change that so many items could have
    shown, where the z-test applies; ``higher_is_better`` is the direction that counted; ``p_value`` is that of a change
    beyond the tolerance, where there was a test; ``note`` says what could not be compared, or cannot be shown.
    """

    verdict: Verdict
    baseline: Number | None = None
    change: float | None = None
    allowed: float | None = None
    detectable: float | None = None
    higher_is_better: bool | None = None
    p_value: float | None = None
    note: str | None = None


def judge(metric: Metric, entry: Entry | None, *, rtol: float, seed: str) -> Judgement:
    """Compare a metric with the entry for its test on its kind of device.

    A value that is not finite is ``invalid``, whatever the entry; one without an entry, or whose entry is in another
    unit, has ``no-baseline``. The allowed change is the larger of ``atol`` and ``rtol`` times the baseline's size: the
    call's two where it gives one of them (the other is then 0), else the entry's two, else this ``rtol``. A change up
    to that is ``ok``. A larger one is ``improved`` or ``regressed`` by the direction, the call's or else the entry's,
    and ``regressed`` where nobody gave one; but ``ok`` where a test finds it not significant
    (:data:`statistics.SIGNIFICANT`). That test is

    - with samples on both sides a paired bootstrap of their mean difference, in whichever direction this is: samples
      need not be what the value is the mean of. Without pairs (the two have different lengths, a sample is not
      finite, or none has changed) samples do not count;
    - else, with ``n`` and both values in [0, 1], and no unit of time or rate, the pooled two-proportion z-test. The
      baseline has the entry's ``n``, else the call's;
    - else none: the tolerance alone decides.

    Values are compared as the decimal numbers that people read, and the rounding of a few operations is forgiven (none
    where the tolerance is 0): 0.9 is within 0.1 of 1.0, as 0.1 + 0.2 is of 0.2. ``seed`` makes the bootstrap's chance
    the same each time.
    """
    direction = metric.higher_is_better
    if direction is None and entry is not None:
        direction = entry.higher_is_better
    if not _is_finite(metric.value):
        known = None if entry is None else entry.value
        return Judgement(verdict="invalid", baseline=known, higher_is_better=direction)
    if entry is None or not _is_finite(entry.value):
        return Judgement(verdict="no-baseline", higher_is_better=direction)
    if entry.unit and metric.unit and entry.unit != metric.unit:
        return Judgement(verdict="no-baseline", higher_is_better=direction, note=f"its entry's unit is {entry.unit}")
    return _compared(metric, entry, direction, rtol=rtol, seed=seed)


def adjusted(verdict: Verdict | None, unit: str, *, disturbed: bool, lost: bool) -> Verdict | None:
    """Return a verdict, adjusted for what happened around the test; None where it stays without one.

    ``lost``: the device failed, so that nothing it gave counts, with or without a baseline. ``disturbed``: it was used
    by others or throttled, so that a time or a rate tells nothing; other units do not mind. ``invalid`` and
    ``no-baseline`` stay.
    """
    if lost:
        return "invalid"
    if disturbed and verdict in COMPARED and is_timed(unit):
        return "contended"
    return verdict


_PHRASES = {
    "ok": "is ok",
    "improved": "improved",
    "regressed": "regressed",
    "contended": "is contended: its device was throttled, or used by others, meanwhile",
}


def sentence(metric: Mapping[str, Any], *, kind: str = "", others: Sequence[str] = ()) -> str:
    """Return the line that says what became of a metric, as records have it, and why.

    ``kind`` is the kind of device that the test ran on, ``others`` are those that have a baseline.
    """
    text, verdict = f"{metric['name']} {value_text(metric)}", metric["verdict"]
    if verdict is None:
        return text
    if verdict == "invalid":
        return f"{text} is invalid: {'it is not finite' if metric['value'] is None else 'its device was lost'}"
    if verdict == "no-baseline":
        return f"{text} has no baseline{f' for {kind}' if kind else ''}{_why(metric, kind, others)}"
    joint = "; " if verdict == "contended" else ": "
    return f"{text} {_PHRASES[verdict]}{joint}{', '.join([f'baseline {baseline_text(metric)}', *_reasons(metric)])}"


def _compared(metric: Metric, entry: Entry, direction: bool | None, *, rtol: float, seed: str) -> Judgement:
    value, baseline = exact(metric.value), exact(entry.value)
    allowed = _allowed(metric, entry, rtol)
    verdict: Verdict = _by_direction(value - baseline, direction) if _is_beyond(value, baseline, allowed) else "ok"
    p_value = None if verdict == "ok" else _p_value(metric, entry, seed)
    return Judgement(
        verdict="ok" if p_value is not None and p_value > statistics.SIGNIFICANT else verdict,
        baseline=entry.value,
        change=_float((value - baseline) / abs(baseline)) if baseline else None,
        allowed=_float(allowed),
        detectable=_detectable(metric, entry, direction),
        higher_is_better=direction,
        p_value=p_value,
        note="; ".join(_notes(metric, entry, direction)) or None,
    )


def _is_finite(number: Number) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _float(number: Fraction) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None


def _allowed(metric: Metric, entry: Entry, rtol: float) -> Fraction:
    given = ((metric.atol, metric.rtol), (entry.atol, entry.rtol), (None, rtol))
    pair = next(pair for pair in given if pair != (None, None))
    # What is no finite number allows nothing.
    absolute, relative = (Fraction() if one is None or not _is_finite(one) else exact(one) for one in pair)
    return max(absolute, relative * abs(exact(entry.value)))


def _is_beyond(value: Fraction, baseline: Fraction, allowed: Fraction) -> bool:
    # No noise is larger than a small part of a tolerance that somebody meant to be tiny.
    noise = min(max(abs(value), abs(baseline)) * _NOISE, allowed / 10**6)
    return abs(value - baseline) > allowed + noise


def _by_direction(change: Fraction, higher_is_better: bool | None) -> Verdict:
    return "improved" if higher_is_better is not None and (change > 0) == higher_is_better else "regressed"


def _p_value(metric: Metric, entry: Entry, seed: str) -> float | None:
    if (pairs := _pairs(metric, entry)) is not None:
        return statistics.paired_bootstrap_p_value(*pairs, seed=seed)
    if (sizes := _sizes(metric, entry)) is None:
        return None
    return statistics.two_proportion_p_value(metric.value, sizes[0], entry.value, sizes[1])


def _detectable(metric: Metric, entry: Entry, higher_is_better: bool | None) -> float | None:
    if _pairs(metric, entry) is not None or (sizes := _sizes(metric, entry)) is None:
        return None
    drop = _is_drop(metric, entry, higher_is_better)
    return statistics.smallest_detectable(entry.value, sizes[1], sizes[0], drop=drop)


def _is_drop(metric: Metric, entry: Entry, higher_is_better: bool | None) -> bool:
    # Or else a rise: what would be worse, or else what there was.
    return metric.value <= entry.value if higher_is_better is None else higher_is_better


def _notes(metric: Metric, entry: Entry, higher_is_better: bool | None) -> Iterator[str]:
    new, old = metric.samples, entry.samples
    if new and old and len(new) != len(old):
        yield f"samples not compared: {len(new)} here, {len(old)} in the baseline"
    elif new and old and not all(map(math.isfinite, [*new, *old])):
        yield "samples not compared: not all are finite"
    if _pairs(metric, entry) is not None or (sizes := _sizes(metric, entry)) is None:
        return
    drop = _is_drop(metric, entry, higher_is_better)
    end = 0 if drop else 1
    chance = statistics.two_proportion_p_value(end, sizes[0], entry.value, sizes[1])
    if entry.value != end and chance > statistics.SIGNIFICANT:
        known = "" if sizes[0] == sizes[1] else f" beside {number_text(sizes[1])} in the baseline"
        yield f"n={number_text(sizes[0])}{known} can show no {'drop' if drop else 'rise'}"


def _pairs(metric: Metric, entry: Entry) -> tuple[Sequence[float], Sequence[float]] | None:
    new, old = metric.samples or (), entry.samples or ()
    are_pairs = new and len(new) == len(old) and all(map(math.isfinite, new)) and all(map(math.isfinite, old))
    # Where no item has changed, a changed value comes from something else.
    return (new, old) if are_pairs and new != old else None


def _sizes(metric: Metric, entry: Entry) -> tuple[int, int] | None:
    # Of what the two values are proportions of, None where they are none.
    if metric.n is None or is_timed(metric.unit) or not (0 <= metric.value <= 1 and 0 <= entry.value <= 1):
        return None
    items = (*(metric.samples or ()), *(entry.samples or ()))
    if not {item for item in items if math.isfinite(item)} <= {0, 1}:
        return None  # scores that are no yes or no: their mean varies less than a proportion does
    return metric.n, entry.n or metric.n


def _why(metric: Mapping[str, Any], kind: str, others: Sequence[str]) -> str:
    if note := metric.get("note"):
        return f": {note}"
    return f" ({there})" if (there := others_text(others, kind)) else ""


def _reasons(metric: Mapping[str, Any]) -> Iterator[str]:
    if change := change_text(metric):
        yield f"change {change}"
    allowed = metric.get("allowed")
    if allowed is not None:
        yield f"allowed {allowed_text(metric)}"
        yield from _qualified(metric, exact(metric["value"]), exact(metric["baseline"]), exact(allowed))
    if note := metric.get("note"):
        yield note


def _qualified(metric: Mapping[str, Any], value: Fraction, baseline: Fraction, allowed: Fraction) -> Iterator[str]:
    # Why the tolerance alone does not explain the verdict.
    if metric["verdict"] == "regressed" and metric["higher_is_better"] is None:
        yield "in either direction, as higher_is_better is not given"
    if metric["verdict"] == "ok" and _is_beyond(value, baseline, allowed):
        yield ": ".join(filter(None, ["not significant", shows_text(metric)]))
