"""Wording: how metrics are written wherever people read them, in texts of bounded length for any number.

Pure: standard library only, no clock, no files. Nothing here raises for what a record may hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fractions import Fraction

    from .metric import Number

_DIGITS = 4
_MOST_DIGITS = 17  # which every float is told by
_LONG = 10**20  # below, ints are shown whole: all of 64 bits are
_MANY = 1000  # a change beyond is no matter of percents
_FEW = 0.0005  # a change below is shown by its first digits
_FEW_DIGITS = 3  # of a number with a prefix, or a time in a finer unit
_SURE_DIGITS = 3  # of points
_SMALL = 1e-3  # a time below is shown in a finer unit
_MUCH = 1e4  # from here a number that is no time has a prefix
_LARGEST = 1e15  # and from here an exponent
_TIMES = ("s", "ms", "µs", "ns")
_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k"}
_NEAR = 3  # orders of magnitude, within which a baseline is shown as its value is
_MOST_OTHERS = 3  # kinds of device that are named


class _Scale(NamedTuple):
    """How a number is made one that can be read: times this power of ten, with a prefix, in this unit."""

    power: int
    prefix: str
    unit: str

    @property
    def digits(self) -> int:
        """So many are shown at first."""
        return _FEW_DIGITS if self.power else _DIGITS

    def text(self, number: Number, digits: int) -> str:
        """Return the number without its unit."""
        if not self.power:
            return f"{number_text(number, digits)}{self.prefix}"
        try:
            scaled = number * 10**self.power if self.power >= 0 else number / 10**-self.power
        except OverflowError:  # an int may be of any size
            return number_text(number, digits)
        return f"{number_text(scaled, digits)}{self.prefix}"


def number_text(number: Number, digits: int = _DIGITS) -> str:
    """Return ``0.9137``, ``65760`` or ``1e+300`` with so many digits that say something, an int of up to 20 whole."""
    if isinstance(number, int):
        return str(number) if abs(number) < _LONG else _long_text(number, digits)
    text = f"{number:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text and 1 <= abs(number) < _LARGEST else text


def amount_text(number: Number, unit: str, digits: int | None = None) -> str:
    """Return a number with its unit, ``65.8k examples/s`` or ``37.4 µs``, in so many digits, else as many as usual."""
    scale = _scale(number, unit)
    return f"{scale.text(number, digits or scale.digits)} {scale.unit}".rstrip()


def value_text(metric: Mapping[str, Any]) -> str:
    """Return a metric's value with its unit, ``0.9137``, ``nan nats``; in digits that tell it from its baseline."""
    return texts(metric)[0]


def baseline_text(metric: Mapping[str, Any]) -> str:
    """Return a metric's baseline as its value is shown, nothing where there is none."""
    return texts(metric)[1]


def texts(metric: Mapping[str, Any]) -> tuple[str, str]:
    """Return both, :func:`value_text` and :func:`baseline_text`: who needs both has them at the price of one."""
    value, baseline, unit = metric["value"], metric.get("baseline"), metric["unit"]
    scale = _scale_of(metric)
    told, other = _told_apart(value, baseline, scale)
    if value is None:
        told = f"{metric['non_finite']} {unit}".rstrip() if "non_finite" in metric else "–"
    else:
        told = f"{told} {scale.unit}".rstrip()
    if baseline is None:
        return told, ""
    own = _scale(baseline, unit)
    if abs(own.power - scale.power) > _NEAR or (own.power != scale.power and isinstance(baseline, int)):
        return told, amount_text(baseline, unit)  # far from the value
    return told, f"{other} {scale.unit}".rstrip()


def is_scaled(values: Iterable[Number | None], unit: str) -> bool:
    """Say whether some of these, which are times in this unit, are shown in a finer one."""
    return any(value is not None and _scale(value, unit).unit != unit for value in values)


def _scale_of(metric: Mapping[str, Any]) -> _Scale:
    value, baseline = metric["value"], metric.get("baseline")
    known = [one for one in (value, baseline) if isinstance(one, float)]
    return _scale(known[0] if known and value is not None else baseline, metric["unit"])


def _scale(number: Number | None, unit: str) -> _Scale:
    if not isinstance(number, float) or not math.isfinite(number) or not number:
        return _Scale(0, "", unit)
    size, spelt = abs(number), "µs" if unit in ("us", "μs") else unit
    if spelt in _TIMES:
        finer = _TIMES[_TIMES.index(spelt) + 1 :] if size < _SMALL else ()
        for step, name in enumerate(finer, 1):
            if size * 10 ** (3 * step) >= 1 or name == _TIMES[-1]:
                return _Scale(3 * step, "", name)
        return _Scale(0, "", unit)
    if _MUCH <= size < _LARGEST and unit != "%":
        power = next(power for power in _PREFIXES if size >= 10**power)
        return _Scale(-power, _PREFIXES[power], unit)
    return _Scale(0, "", unit)


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

    ``-3.2 points`` of a proportion, else ``-3.5%``, in decimals that tell it from the allowed change; ``+1 tokens``
    where no float can hold the relative one.
    """
    change, value, baseline = metric.get("change"), metric["value"], metric.get("baseline")
    if _is_share(value, metric) and _is_share(baseline, metric):
        return _with_points(_points(value - baseline, metric, _SURE_DIGITS, "+"))
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
    if _is_share(allowed, metric):
        return _with_points(_points(allowed, metric, _SURE_DIGITS))
    share = None if allowed == metric.get("atol") else _share(metric)
    if share is None or share >= _MANY:
        return amount_text(allowed, metric["unit"])
    return f"{100 * share:{'.3g' if share < 10 else '.0f'}}%"


def shows_text(metric: Mapping[str, Any]) -> str:
    """Return which change 80 % of such runs would show, nothing where that is not known.

    ``80% sure to see a drop of 3.9 points; with this suite's error rate 7.1``: alone at 5 %, and beside all other
    decisions of the run. Of a proportion in points, else relative to the baseline.
    """
    least, baseline = metric.get("detectable"), metric.get("baseline")
    if least is None or baseline is None:
        return ""
    alone = metric.get("detectable_alone")
    among, single = _seen(least, metric), _seen(alone, metric)
    first = among if single is None else single
    direction = {True: "a drop", False: "a rise", None: "a change"}[metric.get("higher_is_better")]
    if first is None:
        return "too few items to be sure to see any change"
    unit = " points" if metric.get("kind") == "proportion" else "%" if baseline else f" {metric['unit']}".rstrip()
    text = f"80% sure to see {direction} of {first}{unit}"
    if single is None or single == among:
        return text
    return f"{text}; with this suite's error rate {'none' if among is None else among}"


def _seen(change: Number | None, metric: Mapping[str, Any]) -> str | None:
    """Return a change as a number of points, or percent; None where there is none, or a proportion has no such."""
    baseline = metric["baseline"]
    if change is None:
        return None
    if metric.get("kind") == "proportion":
        share = change / (100 if metric["unit"] == "%" else 1)
        return None if share > 1 else _points(change, metric)
    return _percent(change, baseline) if baseline else number_text(change)


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


def n_text(metric: Mapping[str, Any]) -> str:
    """Return ``n 1319``, of how many items a metric is; nothing where that is not known."""
    return "" if metric.get("n") is None else f"n {number_text(metric['n'])}"


def cohort_text(metric: Mapping[str, Any]) -> str:
    """Return ``of 5 runs``, of how many a metric's baseline is, nothing where it is of one."""
    cohort = metric.get("cohort") or 1
    return f"of {number_text(cohort)} runs" if cohort > 1 else ""


def _is_share(value: Number | None, metric: Mapping[str, Any]) -> bool:
    # What an older version has taken for a proportion, or somebody has edited, may be any number.
    return metric.get("kind") == "proportion" and value is not None and abs(value) <= 100


def _with_points(text: str) -> str:
    return f"{text} point{'' if text.lstrip('+-') == '1' else 's'}"


def _points(difference: Number, metric: Mapping[str, Any], digits: int = 2, sign: str = "") -> str:
    text = number_text(difference * (1 if metric["unit"] == "%" else 100), digits)
    return f"+{text}" if sign and difference > 0 else text


def _percent(difference: Number, baseline: Number) -> str:
    return number_text(_quotient(difference, baseline, 100), 2)


def limits(metric: Mapping[str, Any]) -> Iterator[str]:
    """Yield what bounds the comparison with a baseline: ``allowed 1%``, ``p 0.3``, ``n 1319``, what would be seen."""
    if allowed := allowed_text(metric):
        yield f"allowed {allowed}"
    p_value = chance_text(metric)
    yield from filter(None, [p_value, n_text(metric) if p_value else "", shows_text(metric)])
    yield from filter(None, [metric.get("note"), timing_note(metric)])


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


def _told_apart(value: Number | None, baseline: Number | None, scale: _Scale) -> tuple[str, str]:
    """Return both in as many digits as tell them apart; nothing for one that is not there."""
    usual = tuple("" if one is None else scale.text(one, scale.digits) for one in (value, baseline))
    if value is None or baseline is None or value == baseline or usual[0] != usual[1]:
        return usual[0], usual[1]
    for digits in range(scale.digits + 1, _MOST_DIGITS + 1):
        told, other = scale.text(value, digits), scale.text(baseline, digits)
        if told != other:
            return told, other
    return usual[0], usual[1]


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
    share = _quotient(allowed, baseline)
    return share if isinstance(share, float) else None


def _quotient(number: Number, size: Number, times: int = 1) -> Number:
    """Return so many times a number over another one's size, exactly, then rounded once."""
    # The division of two ints is all that, and many times as fast as that of fractions.
    above, below = number.as_integer_ratio()
    part, whole = size.as_integer_ratio()
    above, below = times * above * whole, below * abs(part)
    try:
        return above / below
    except OverflowError:
        from fractions import Fraction

        return round(Fraction(above, below))


def _number(exact: Fraction) -> Number:
    try:
        return float(exact)
    except OverflowError:
        return round(exact)
