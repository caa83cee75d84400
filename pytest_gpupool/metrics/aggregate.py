"""Aggregates: what a suite says of a metric that many tests record: which of them make one, and how it is judged.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..values.errors import UsageProblem
from ..values.repeats import OVER_TESTS
from ..values.texts import safe_repr
from ..values.verdicts import KINDS, Kind

WORST_GROUP = "worst_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A judged metric over many tests: of what they record under ``of``, a value for each group by parameters.

    ``floor`` and ``ceiling`` are what it may not be below or above, whatever the baseline; the others are as in a
    metric. :meth:`make` checks what somebody gave.
    """

    name: str
    of: str
    by: tuple[str, ...] = ()
    reduce: str = "mean"
    kind: Kind | None = None
    higher_is_better: bool | None = None
    atol: float | None = None
    rtol: float | None = None
    floor: float | None = None
    ceiling: float | None = None

    def to_record(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {key: list(value) if key == "by" else value for key, value in asdict(self).items()}


def from_record(record: Mapping[str, Any]) -> Aggregate:
    """Make it again from :meth:`Aggregate.to_record`."""
    return Aggregate(**{**record, "by": tuple(record["by"])})


def make(name: object, **given: object) -> Aggregate:
    """Check what ``pytest_gpupool.aggregate`` was given.

    Raises:
        UsageProblem: naming the aggregate, the argument, and what it may be.
    """
    label = _text("aggregate", "its name", name)
    whose = f"aggregate {label!r}"
    if "of" not in given:
        raise UsageProblem(f"{whose}: say of which metric of the tests it is: of='correct'")
    for key in given.keys() - _CHECKS.keys():
        like = difflib.get_close_matches(key, _CHECKS, 1)
        hint = f"did you mean {like[0]!r}?" if like else f"there are {', '.join(_CHECKS)}"
        raise UsageProblem(f"{whose}: it has no {key!r}; {hint}")
    found: dict[str, Any] = {key: _CHECKS[key](whose, key, value) for key, value in given.items()}
    made = Aggregate(name=label, **found)
    if made.reduce == WORST_GROUP and (not made.by or made.higher_is_better is None):
        needed = "higher_is_better=True or False, by which one is the worst" if made.by else "by=('model',), its groups"
        raise UsageProblem(f"{whose}: reduce='{WORST_GROUP}' needs {needed}")
    if made.floor is not None and made.ceiling is not None and made.floor > made.ceiling:
        raise UsageProblem(f"{whose}: its floor {made.floor:g} is above its ceiling {made.ceiling:g}")
    return made


def parse(line: str) -> tuple[str, Aggregate]:
    """Read a line of the ini value ``gpupool_aggregates``: ``TEST NAME of=correct by=model,size floor=0.6``.

    Return the id of the function, class, file or folder whose tests it is of, and the aggregate.

    Raises:
        UsageProblem: it is none; the line is named.
    """
    try:
        test, name, *rest = shlex.split(line)
        pairs = dict(word.split("=", 1) for word in rest)
    except ValueError:
        raise UsageProblem(
            f"gpupool_aggregates = {line}: give a test's id, a name, and KEY=VALUE pairs, such as "
            "'test_qa.py::test_qa accuracy of=correct by=model floor=0.6'"
        ) from None
    if len(pairs) < len(rest):
        raise UsageProblem(f"gpupool_aggregates = {line}: it gives a key twice")
    try:
        return test.rstrip("/"), make(name, **{key: _typed(key, text) for key, text in pairs.items()})
    except UsageProblem as problem:
        raise UsageProblem(f"gpupool_aggregates = {line}: {problem}") from None


def _typed(key: str, text: str) -> object:
    """Return what a text of the ini file stands for; what it does not, as it is, which the check then refuses."""
    if key == "by":
        return tuple(filter(None, text.split(",")))
    if key == "higher_is_better":
        return {"true": True, "false": False}.get(text.lower(), text)
    if key in ("atol", "rtol", "floor", "ceiling"):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _text(whose: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise UsageProblem(f"{whose}: {key} is a text that is not empty, not {safe_repr(value, 60)}")
    return value


def _names(whose: str, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageProblem(
            f"{whose}: {key} is a list of parameters, not {safe_repr(value, 60)}; write {key}=('model',)"
        )
    names = tuple(_text(whose, f"each of {key}", one) for one in value)
    if len(set(names)) < len(names):
        raise UsageProblem(f"{whose}: {key} names a parameter twice")
    return names


def _one_of(*known: str) -> Any:
    def check(whose: str, key: str, value: object) -> object:
        if value not in known:
            raise UsageProblem(f"{whose}: {key} is one of {', '.join(known)}, not {safe_repr(value, 60)}")
        return value

    return check


def _kind(whose: str, key: str, value: object) -> object:
    return None if value is None else _one_of(*KINDS)(whose, key, value)


def _direction(whose: str, key: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise UsageProblem(f"{whose}: {key} is True, False or None, not {safe_repr(value, 60)}")
    return value


def _number(whose: str, key: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageProblem(f"{whose}: {key} is a number, not {safe_repr(value, 60)}")
    return float(value)


def _tolerance(whose: str, key: str, value: object) -> float | None:
    number = _number(whose, key, value)
    if number is not None and number < 0:
        raise UsageProblem(f"{whose}: {key} is a number from 0, not {safe_repr(value, 60)}")
    return number


_CHECKS = {
    "of": _text,
    "by": _names,
    "reduce": _one_of(*OVER_TESTS),
    "kind": _kind,
    "higher_is_better": _direction,
    "atol": _tolerance,
    "rtol": _tolerance,
    "floor": _number,
    "ceiling": _number,
}
