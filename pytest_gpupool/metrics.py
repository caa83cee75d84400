"""Metrics: take what a test gives, keep an honest number.

Pure: standard library only; NumPy and torch scalars are recognised by what they can do, never by import.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .errors import MetricProblem

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named number that a test recorded.

    ``value`` may be NaN or infinite here; :meth:`to_record` writes that as JSON can carry it. ``n`` is the number
    of items the value was computed from, ``samples`` the value per item, ``atol`` and ``rtol`` the allowed change.
    """

    name: str
    value: Number
    unit: str = ""
    higher_is_better: bool | None = None
    n: int | None = None
    samples: tuple[float, ...] | None = None
    atol: float | None = None
    rtol: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether the value is a number that can be compared."""
        return isinstance(self.value, int) or math.isfinite(self.value)

    def to_record(self) -> dict[str, Any]:
        """Return it as strict JSON has it: ``value`` null and ``non_finite`` set where it is not a number."""
        record: dict[str, Any] = {
            "name": self.name,
            "value": self.value if self.is_finite else None,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "n": self.n,
            "atol": self.atol,
            "rtol": self.rtol,
        }
        if not self.is_finite:
            record["non_finite"] = non_finite_name(float(self.value))
        if self.samples is not None:
            record["samples"] = [
                sample if math.isfinite(sample) else non_finite_name(sample) for sample in self.samples
            ]
        return record


def make(
    name: object,
    value: object,
    *,
    unit: object = "",
    higher_is_better: object = None,
    n: object = None,
    samples: Iterable[object] | None = None,
    atol: object = None,
    rtol: object = None,
) -> Metric:
    """Check and coerce what ``record_metric`` was given.

    Raises:
        MetricProblem: naming the metric, the argument and the type it had.
    """
    if not isinstance(name, str) or not name.strip() or not _is_text(name):
        raise MetricProblem(f"record_metric: the name of a metric is a non-empty text, not {name!r}")
    if not isinstance(unit, str) or not _is_text(unit):
        raise MetricProblem(f"metric {name!r}: unit is a text such as 's' or 'TFLOP/s', not {unit!r}")
    if higher_is_better is not None and not isinstance(higher_is_better, bool):
        raise MetricProblem(f"metric {name!r}: higher_is_better is True, False or None, not {higher_is_better!r}")
    items = _samples(name, samples)
    return Metric(
        name=name,
        value=coerce(name, value),
        unit=unit,
        higher_is_better=higher_is_better,
        n=_count(name, n, items),
        samples=items,
        atol=_tolerance(name, "atol", atol),
        rtol=_tolerance(name, "rtol", rtol),
    )


def coerce(name: str, value: object) -> Number:
    """Return ``value`` as a Python int or float that has exactly its value (a Decimal or Fraction rounds to float).

    Accepts what is a number: int, float, bool, Decimal, Fraction, an enum member of such a value, and NumPy or torch
    scalars and arrays of one element, by their ``item()``.

    Raises:
        MetricProblem: for everything else, a text that looks like a number included.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    value = _item(name, value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Decimal | Fraction):
        try:
            return float(value)
        except (OverflowError, ValueError) as error:
            raise MetricProblem(f"metric {name!r}: {type(value).__name__} {value} has no float: {error}") from None
    raise MetricProblem(
        f"metric {name!r}: a {_type_name(value)} is not a number; record an int, a float, or a NumPy or torch scalar"
    )


def non_finite_name(value: float) -> str:
    """Return ``nan``, ``inf`` or ``-inf``."""
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


def _item(name: str, value: object) -> object:
    item = getattr(value, "item", None)
    if item is None or isinstance(value, type):
        return value
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) != 1:
        raise MetricProblem(
            f"metric {name!r}: a {_type_name(value)} of shape {shape} is not one number; "
            "record a summary of it such as .mean()"
        )
    try:
        return item()
    except Exception as error:  # whatever a foreign type raises is this test's error, not the worker's end
        raise MetricProblem(f"metric {name!r}: {_type_name(value)}.item() failed: {error}") from None


def _samples(name: str, samples: Iterable[object] | None) -> tuple[float, ...] | None:
    if samples is None:
        return None
    try:
        values = list(samples)
    except TypeError:
        raise MetricProblem(f"metric {name!r}: samples is one number per item, not a {_type_name(samples)}") from None
    return tuple(float(coerce(name, sample)) for sample in values)


def _count(name: str, n: object, samples: tuple[float, ...] | None) -> int | None:
    if n is None:
        return None if samples is None else len(samples)
    n = _item(name, n)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise MetricProblem(f"metric {name!r}: n is the number of items, a whole number from 1, not {n!r}")
    if samples is not None and len(samples) != n:
        raise MetricProblem(f"metric {name!r}: n={n}, but there are {len(samples)} samples; leave n out")
    return n


def _tolerance(name: str, key: str, value: object) -> float | None:
    if value is None:
        return None
    number = float(coerce(name, value))
    if not math.isfinite(number) or number < 0:
        raise MetricProblem(f"metric {name!r}: {key} is a number from 0, not {value!r}")
    return number


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_text(text: str) -> bool:
    # A lone surrogate cannot be written to any report.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
