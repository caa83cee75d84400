"""Metrics: take what a test gives, keep an honest number.

Pure: standard library only; NumPy and torch scalars are recognised by what they can do, never by import.
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..values.errors import MetricProblem
from ..values.verdicts import Kind
from . import kinds

Number = int | float

_TOO_LONG = 10**4300

# What Python does not call printable, and names have all the same: spaces that do not break a line, the one of East
# Asian texts, and what joins the parts of an emoji, or keeps letters apart.
_SPACES = " \u00a0\u2007\u202f\u3000\u200c\u200d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named number that a test recorded.

    ``value`` may be NaN or infinite here; :meth:`to_record` writes that as JSON can carry it. ``n`` is the number
    of items the value was computed from, ``samples`` the value per item, ``items`` their ids where these were given.
    ``repeats`` are measurements of the one quantity. ``atol`` and ``rtol`` are the allowed change. ``kind`` is what it
    is, see :mod:`kinds`. ``timing`` is how it was measured, where ``measure`` has done that, as records have it.
    """

    name: str
    value: Number
    kind: Kind = "score"
    unit: str = ""
    higher_is_better: bool | None = None
    n: int | None = None
    samples: tuple[float, ...] | None = None
    items: tuple[str, ...] | None = None
    repeats: tuple[float, ...] | None = None
    atol: float | None = None
    rtol: float | None = None
    timing: Mapping[str, Any] | None = None
    reduce: str | None = None
    """``sum`` for a cost, which adds up over the run."""

    @property
    def is_finite(self) -> bool:
        """Whether the value is a number that can be compared."""
        return isinstance(self.value, int) or math.isfinite(self.value)

    def to_record(self) -> dict[str, Any]:
        """Return it as strict JSON has it: ``value`` null and ``non_finite`` set where it is not a number."""
        record: dict[str, Any] = {
            "name": self.name,
            "value": self.value if self.is_finite else None,
            "kind": self.kind,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "n": self.n,
            "atol": self.atol,
            "rtol": self.rtol,
        }
        if not self.is_finite:
            record["non_finite"] = non_finite_name(float(self.value))
        for key, several in (("samples", self.samples), ("repeats", self.repeats)):
            if several is not None:
                record[key] = [one if math.isfinite(one) else non_finite_name(one) for one in several]
        if self.items is not None:
            record["items"] = list(self.items)
        if self.timing is not None:
            record["timing"] = self.timing
        if self.reduce is not None:
            record["reduce"] = self.reduce
        return record


def from_record(record: Mapping[str, Any]) -> Metric:
    """Make a metric again from :meth:`Metric.to_record`."""
    samples, items, repeats = (record.get(key) for key in ("samples", "items", "repeats"))
    numbers = None if samples is None else tuple(map(float, samples))
    value = float(record["non_finite"]) if record["value"] is None else record["value"]
    return Metric(
        name=record["name"],
        value=value,
        kind=record.get("kind") or kinds.taken(value, unit=record["unit"], n=record["n"], samples=numbers),
        unit=record["unit"],
        higher_is_better=record["higher_is_better"],
        n=record["n"],
        samples=numbers,
        items=None if items is None else tuple(items),
        repeats=None if repeats is None else tuple(map(float, repeats)),
        atol=record["atol"],
        rtol=record["rtol"],
        timing=record.get("timing"),
        reduce=record.get("reduce"),
    )


def make(
    name: object,
    value: object,
    *,
    kind: object = None,
    unit: object = "",
    higher_is_better: object = None,
    n: object = None,
    samples: Iterable[object] | Mapping[object, object] | None = None,
    repeats: Iterable[object] | None = None,
    atol: object = None,
    rtol: object = None,
    reduce: object = None,
) -> Metric:
    """Check and coerce what ``record_metric`` was given.

    Raises:
        MetricProblem: naming the metric, the argument and the type it had.
    """
    name = checked_name(name)
    if not isinstance(unit, str) or not unit.isprintable():
        raise MetricProblem(f"metric {name!r}: unit is a text such as 's' or 'TFLOP/s', not {unit!r}")
    if higher_is_better is not None and not isinstance(higher_is_better, bool):
        raise MetricProblem(f"metric {name!r}: higher_is_better is True, False or None, not {higher_is_better!r}")
    if reduce not in (None, "sum"):
        raise MetricProblem(f"metric {name!r}: reduce is 'sum', for what adds up over the run, or None, not {reduce!r}")
    items = _ids(name, samples) if isinstance(samples, Mapping) else None
    numbers = _numbers(name, samples.values() if isinstance(samples, Mapping) else samples, "samples", _ITEMS)
    number, count = coerce(name, value), _count(name, n, numbers)
    return Metric(
        name=name,
        value=number,
        kind=kinds.checked(name, kind, number, unit=unit, n=count, samples=numbers),
        unit=unit,
        higher_is_better=higher_is_better,
        n=count,
        samples=numbers,
        items=items,
        repeats=_numbers(name, repeats, "repeats", _MEASUREMENTS),
        atol=_tolerance(name, "atol", atol),
        rtol=_tolerance(name, "rtol", rtol),
        reduce=None if reduce is None else "sum",
    )


def coerce(name: str, value: object, argument: str = "") -> Number:
    """Return ``value`` as a Python int or float that has exactly its value (a Decimal or Fraction rounds to float).

    Accepts what is a number: int, float, bool, Decimal, Fraction, an enum member of such a value, and NumPy or torch
    scalars and arrays of one element, by their ``item()``. ``argument`` says in errors which one it was.

    Raises:
        MetricProblem: for everything else, a text that looks like a number included.
    """
    return coerced(f"metric {name!r}: {argument}: " if argument else f"metric {name!r}: ", value)


def coerced(whose: str, value: object) -> Number:
    """Return a value as :func:`coerce` does; ``whose`` it is begins each error. Raises MetricProblem."""
    try:
        return _number(whose, value)
    except MetricProblem:
        raise
    except Exception as error:  # whatever a foreign type raises is this test's error, not the worker's end
        raise MetricProblem(f"{whose}it cannot be read: {type(error).__name__}: {error}") from None


def checked_name(name: object, call: str = "record_metric", thing: str = "metric") -> str:
    """Return a name that reports can show. Raises MetricProblem, which says who was given it, and of what it is."""
    if not isinstance(name, str) or not name.strip().strip(_SPACES):
        raise MetricProblem(f"{call}: the name of a {thing} is a non-empty text, not {name!r}")
    hidden = next((one for one in name if not one.isprintable() and one not in _SPACES), None)
    if hidden is not None:
        code = f"U+{ord(hidden):04X}"
        raise MetricProblem(f"{call}: the {thing}'s name {name!r} has {code}, a character that cannot be printed")
    return name


def _number(whose: str, value: object) -> Number:
    if isinstance(value, enum.Enum):
        value = value.value
    value = _item(whose, value)
    if isinstance(value, int):
        return _printable(whose, int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Decimal | numbers.Real):
        return _rounded(whose, value)
    raise MetricProblem(
        f"{whose}a {type_name(value)} is not a number; record an int, a float, or a NumPy or torch scalar"
    )


def non_finite_name(value: float) -> str:
    """Return ``nan``, ``inf`` or ``-inf``."""
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


def _item(whose: str, value: object) -> object:
    item = getattr(value, "item", None)
    if item is None or isinstance(value, type):
        return value
    mask = getattr(value, "mask", False)
    if not callable(mask) and bool(mask):  # NumPy's masked numbers, whose item() is 0.0
        raise MetricProblem(f"{whose}a {type_name(value)} is masked: it has no value")
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):  # whose item() may be a count of nanoseconds
        raise MetricProblem(f"{whose}a {type_name(value)} is not a number; record it in seconds, as a float")
    try:
        shape = tuple(getattr(value, "shape", ()))
        if math.prod(shape) == 1:
            return item()
    except Exception as error:  # whatever a foreign type raises is this test's error, not the worker's end
        raise MetricProblem(f"{whose}{type_name(value)}.item() failed: {error}") from None
    raise MetricProblem(
        f"{whose}a {type_name(value)} of shape {shape} is not one number; record a summary of it such as .mean()"
    )


def _printable(whose: str, value: int) -> int:
    # Python's own limit for int to text, which a test may have lifted, and readers of the report have not.
    if abs(value) >= _TOO_LONG:
        raise MetricProblem(f"{whose}an int of {value.bit_length()} bits is too long to be written")
    return value


def _rounded(whose: str, value: Decimal | numbers.Real) -> float:
    try:
        number = float(value)
        if math.isfinite(number) or not _is_finite(value):
            return number
        reason = "it is too large"
    except (OverflowError, ValueError) as error:
        reason = str(error)
    try:
        text = str(value)
    except ValueError:
        text = "of very many digits"
    raise MetricProblem(f"{whose}{type(value).__name__} {text} has no float: {reason}")


def _is_finite(value: Decimal | numbers.Real) -> bool:
    # math.isfinite would make a float of a Decimal, infinite where that is too small for it.
    # NumPy's longdouble too; what is not finite, less itself, is not a number.
    return value.is_finite() if isinstance(value, Decimal) else bool(value - value == 0)


_ITEMS = ("one number per item", "there are no items")
_MEASUREMENTS = ("one number per measurement of the same quantity", "it was measured once")


def _ids(name: str, samples: Mapping[object, object]) -> tuple[str, ...]:
    ids = tuple(map(str, samples))
    if len(set(ids)) < len(ids):
        raise MetricProblem(f"metric {name!r}: samples has two ids that read the same; give texts or numbers as ids")
    return ids


def _numbers(
    name: str, values: Iterable[object] | None, argument: str, words: tuple[str, str]
) -> tuple[float, ...] | None:
    if values is None:
        return None
    try:
        found = list(values)
    except TypeError:
        raise MetricProblem(f"metric {name!r}: {argument} is {words[0]}, not a {type_name(values)}") from None
    if not found:
        raise MetricProblem(f"metric {name!r}: {argument} is empty; leave it out where {words[1]}")
    return tuple(_float(name, one, argument) for one in found)


def _float(name: str, value: object, argument: str) -> float:
    number = coerce(name, value, argument)
    try:
        return float(number)
    except OverflowError:
        raise MetricProblem(f"metric {name!r}: {argument}: an int of that size has no float") from None


def _count(name: str, n: object, samples: tuple[float, ...] | None) -> int | None:
    if n is None:
        return None if samples is None else len(samples)
    n = _item(f"metric {name!r}: n: ", n)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise MetricProblem(f"metric {name!r}: n is the number of items, a whole number from 1, not {n!r}")
    if samples is not None and len(samples) != n:
        raise MetricProblem(f"metric {name!r}: n={n}, but there are {len(samples)} samples; leave n out")
    return n


def _tolerance(name: str, key: str, value: object) -> float | None:
    if value is None:
        return None
    number = _float(name, value, key)
    if not math.isfinite(number) or number < 0:
        raise MetricProblem(f"metric {name!r}: {key} is a number from 0, not {value!r}")
    return number


def type_name(value: object) -> str:
    """Return what a value's type is called, with its module where that is not Python's own."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
