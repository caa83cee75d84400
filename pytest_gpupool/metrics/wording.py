"""Wording: how metrics are written wherever people read them, in texts of bounded length for any number.

Pure: standard library only, no clock, no files. Nothing here raises for what a record may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractions import Fraction

    from .metric import Number

_DIGITS = 4
_MOST_DIGITS = 17  # which every float is told by
_LONG = 10**20  # below, ints are shown whole: all of 64 bits are
_MANY = 1000  # a change beyond is no matter of percents
_FEW = 0.0005  # a change below is shown by its first digits
_MOST_OTHERS = 3  # kinds of device that are named


def number_text(number: Number, digits: int = _DIGITS) -> str:
    """Return ``0.9137`` or ``1e+300`` with so many digits, an int of up to 20 whole."""
    if isinstance(number, int):
        return str(number) if abs(number) < _LONG else _long_text(number, digits)
    return f"{number:.{digits}g}"


def amount_text(number: Number, unit: str) -> str:
    """Return a number with its unit."""
    return f"{number_text(number)} {unit}".rstrip()


def value_text(metric: Mapping[str, Any]) -> str:
    """Return a metric's value with its unit, ``0.9137``, ``nan nats``; in digits that tell it from its baseline."""
    value = metric["value"]
    number = metric.get("non_finite", "–") if value is None else number_text(value, _digits(metric))
    return f"{number} {metric['unit']}".rstrip()


def baseline_text(metric: Mapping[str, Any]) -> str:
    """Return a metric's baseline as its value is shown, nothing where there is none."""
    baseline = metric.get("baseline")
    return "" if baseline is None else f"{number_text(baseline, _digits(metric))} {metric['unit']}".rstrip()


def percent_text(change: Number, digits: int = 1) -> str:
    """Return ``-3.5%`` with so many decimals, or as many as show that there was a change; ``+1e+300×`` of a large one.

    The change is relative: 1 is 100 %, and once the baseline's size.
    """
    if abs(change) >= _MANY:
        return f"{'+' if change > 0 else '-'}{number_text(abs(change))}×"
    if not change:
        return "0%"
    return f"{change:+.{digits}%}" if abs(change) >= _FEW else f"{100 * change:+.2g}%"


def change_text(metric: Mapping[str, Any]) -> str:
    """Return how far a metric is from its baseline, nothing where that is not known, or the baseline is 0.

    ``-3.5%``, in decimals that tell it from the allowed change; ``+1 tokens`` where no float can hold the relative one.
    """
    change, value, baseline = metric.get("change"), metric["value"], metric.get("baseline")
    if change:
        return percent_text(change, _decimals(metric, abs(change)))
    if value is None or not baseline:
        return ""
    return "0%" if value == baseline else f"{_difference_text(value, baseline)} {metric['unit']}".rstrip()


def allowed_text(metric: Mapping[str, Any]) -> str:
    """Return the change that was allowed: ``1%``, or ``0.25 ms`` where that was asked for; nothing where unknown."""
    allowed = metric.get("allowed")
    if allowed is None:
        return ""
    share = None if allowed == metric.get("atol") else _share(metric)
    if share is None or share >= _MANY:
        return amount_text(allowed, metric["unit"])
    return f"{100 * share:{'.3g' if share < 10 else '.0f'}}%"


def shows_text(metric: Mapping[str, Any]) -> str:
    """Return ``80% sure to see 7.1 points``: the change that 80 % of such runs would show; nothing where unknown.

    Of a proportion in points, else relative to the baseline.
    """
    detectable, baseline = metric.get("detectable"), metric.get("baseline")
    if detectable is None or baseline is None:
        return ""
    if metric.get("kind") == "proportion":
        return f"80% sure to see {_points(detectable, metric)} points"
    if not baseline:
        return f"80% sure to see {amount_text(detectable, metric['unit'])}"
    return f"80% sure to see {_percent(detectable, baseline)}%"


def interval_text(metric: Mapping[str, Any]) -> str:
    """Return ``(-10 to -3.8 points)``, the interval of a change, ``(-10 to -3.8%)`` where it is no proportion's."""
    interval, baseline = metric.get("interval"), metric.get("baseline")
    if interval is None or not baseline:
        return ""
    low, high = interval
    if metric.get("kind") == "proportion":
        size = abs(baseline)
        return f"({_points(low * size, metric)} to {_points(high * size, metric)} points)"
    return f"({_percent(low, 1)} to {_percent(high, 1)}%)"


def chance_text(metric: Mapping[str, Any]) -> str:
    """Return ``p 0.0021``, adjusted for all decisions of the run; nothing where no noise is known."""
    p_value = metric.get("p")
    return "" if p_value is None else f"p {number_text(p_value, 2)}"


def _points(difference: Number, metric: Mapping[str, Any]) -> str:
    return number_text(difference * (1 if metric["unit"] == "%" else 100), 2)


def _percent(difference: Number, baseline: Number) -> str:
    from fractions import Fraction  # most runs have no baseline

    return number_text(_number(100 * Fraction(difference) / abs(Fraction(baseline))), 2)


def limits(metric: Mapping[str, Any]) -> Iterator[str]:
    """Yield what bounds the comparison with a baseline: ``allowed 1%``, ``p 0.3``, what would be seen, and a note."""
    if allowed := allowed_text(metric):
        yield f"allowed {allowed}"
    yield from filter(None, [chance_text(metric), shows_text(metric), metric.get("note"), timing_note(metric)])


def spread_text(metric: Mapping[str, Any]) -> str:
    """Return ``± 0.012 over 5 repeats``, the standard deviation of a metric between repeats; else nothing."""
    repeated = metric.get("repeated")
    if repeated is None:
        return ""
    spread = "" if repeated["spread"] is None else f"± {number_text(repeated['spread'], 2)} "
    return f"{spread}over {repeated['count']} repeats"


def timing_text(metric: Mapping[str, Any]) -> str:
    """Return how ``measure`` has measured a metric: ``median of 40 by perf_counter, ± 0.4%``; else nothing."""
    timing = metric.get("timing")
    if timing is None:
        return ""
    error, slow = timing["relative_error"], timing["first_call_s"]
    parts = [
        f"median of {len(timing['repeats'])} by {timing['clock']}",
        "" if error is None else f"± {100 * error:.2g}%",
        ""
        if timing["device_clock_mhz"] is None
        else "device at {:.0f} to {:.0f} MHz".format(*timing["device_clock_mhz"]),
        timing_note(metric),
        f"first call {number_text(slow)} s, warm-up that is not counted",
    ]
    return ", ".join(filter(None, parts))


def timing_note(metric: Mapping[str, Any]) -> str:
    """Return what makes a median of ``measure`` less sure than was asked for, nothing where all is well."""
    timing = metric.get("timing") or {}
    error, discarded = timing.get("relative_error"), timing.get("discarded", 0)
    known = "not known" if error is None else f"{100 * error:.2g}%"
    parts = [
        f"stopped by the limit of {timing['limit']}, error {known}" if timing.get("limit") else "",
        f"{discarded} of {discarded + len(timing['repeats'])} samples discarded: device throttled" if discarded else "",
    ]
    return "; ".join(filter(None, parts))


def others_text(others: Sequence[str], kind: str | None) -> str:
    """Return ``there is one for NVIDIA A100`` of the kinds of device that have a baseline, beside ``kind``."""
    names = [other for other in others if other != kind]
    more = [f"{len(names) - _MOST_OTHERS} more"] if len(names) > _MOST_OTHERS else []
    return f"there is one for {', '.join([*names[:_MOST_OTHERS], *more])}" if names else ""


def _long_text(number: int, digits: int) -> str:
    from decimal import Decimal  # takes an int of any size, as no float and no text does

    mantissa, _, exponent = f"{Decimal(number):.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{exponent}"


def _digits(metric: Mapping[str, Any]) -> int:
    value, baseline = metric["value"], metric.get("baseline")
    if value is None or baseline is None or value == baseline:
        return _DIGITS
    enough = range(_DIGITS, _MOST_DIGITS + 1)
    return next((digits for digits in enough if number_text(value, digits) != number_text(baseline, digits)), _DIGITS)


def _decimals(metric: Mapping[str, Any], change: Number) -> int:
    share = _share(metric)
    if share is None or not _FEW <= change < _MANY or abs(share - change) <= 1e-9 * change:
        return 1
    return next((decimals for decimals in range(1, 10) if f"{change:.{decimals}%}" != f"{share:.{decimals}%}"), 1)


def _difference_text(value: Number, baseline: Number) -> str:
    from fractions import Fraction  # most runs have no such metric

    text = number_text(_number(Fraction(value) - Fraction(baseline)))
    return text if text.startswith("-") else f"+{text}"


def _share(metric: Mapping[str, Any]) -> float | None:
    # The allowed change relative to the baseline, None where there is none, or no float can hold it.
    allowed, baseline = metric.get("allowed"), metric.get("baseline")
    if allowed is None or not baseline:
        return None
    from fractions import Fraction  # most runs have no baseline

    share = _number(Fraction(allowed) / abs(Fraction(baseline)))
    return share if isinstance(share, float) else None


def _number(exact: Fraction) -> Number:
    try:
        return float(exact)
    except OverflowError:
        return round(exact)
