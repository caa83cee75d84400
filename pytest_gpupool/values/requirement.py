"""The requirement: what one test asks for by its markers. Pure: standard library only, no clock, no files."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .device import Size
from .errors import MarkerProblem
from .repeats import REDUCERS
from .texts import safe_repr, seconds

_ISOLATED_SECONDS = 60.0  # for a worker that hangs before the test's own process is there, or as it ends that
_MOST_REPEATS = 10_000
_MOST_GPUS = 1024  # no host has as many, but CPU slots are as many as are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What one test asks for by ``@pytest.mark.gpupool(…)``.

    ``gpus`` is the number of devices, all leased together; ``memory`` must be free on each of them before the test
    starts; it runs in a process of its own where ``isolate`` says so (None: where the run does); ``timeout`` is in
    seconds (or such as ``"5m"``), for set-up, call and tear-down; a higher ``priority``
    starts earlier; nothing else of the run runs beside a ``serial`` test; tests that share a ``lock`` never run at the
    same time; those of a ``stage`` start when all of lower stages have ended. It is measured ``repeats`` times (None:
    as often as the run says), of which ``at_least`` must pass (None: all); ``reduce`` makes one value of a metric's.
    """

    gpus: int = 1
    memory: Size | None = None
    isolate: bool | None = None
    timeout: float | None = None
    priority: int = 0
    serial: bool = False
    lock: tuple[str, ...] = ()
    stage: int = 0
    repeats: int | None = None
    at_least: int | None = None
    reduce: str = "mean"

    @classmethod
    def from_markers(cls, markers: Iterable[tuple[tuple[object, ...], Mapping[str, object]]]) -> Requirement:
        """Merge markers' ``(args, kwargs)``, nearest first: its value wins, key by key.

        Raises:
            MarkerProblem: a positional argument, an unknown key, or a value that the key does not take.
        """
        merged: dict[str, object] = {}
        for args, kwargs in markers:
            if args:
                raise MarkerProblem(f"@pytest.mark.gpupool takes keys only, not {args[0]!r}: write gpupool(gpus=…)")
            merged = {**kwargs, **merged}
        values: dict[str, Any] = {key: _checked(key, value) for key, value in merged.items()}
        made = cls(**values)
        if None not in (made.repeats, made.at_least) and made.at_least > made.repeats:  # type: ignore[operator]
            raise MarkerProblem(
                f"@pytest.mark.gpupool(repeats={made.repeats}, at_least={made.at_least}): so many cannot pass"
            )
        return made

    def limit_of_worker(self, default: float | None, *, isolates: bool) -> float | None:
        """Return how many seconds its worker may take for it: an isolated test's time is kept by the worker itself.

        ``default`` is the limit of tests that name none, ``isolates`` says whether those that do not say are isolated.
        """
        limit = self.timeout or default
        is_isolated = isolates if self.isolate is None else self.isolate
        return limit + _ISOLATED_SECONDS if limit is not None and is_isolated else limit

    def to_wire(self) -> dict[str, Any]:
        """Return what of it is not the usual, as plain values: most tests ask for nothing.

        Of ``memory`` only bytes are said, as a number: a share of a device's memory is the same on every device.
        """
        unusual = {name: value for name in _KEYS if (value := getattr(self, name)) != getattr(USUAL, name)}
        memory = unusual.pop("memory", None)
        return unusual if memory is None or memory.relative else {**unusual, "memory": int(memory.amount)}

    @classmethod
    def from_wire(cls, unusual: Mapping[str, Any]) -> Requirement:
        """Make it again from :meth:`to_wire`, also where that went through JSON."""
        values = dict(unusual)
        if "memory" in values:
            values["memory"] = Size(values["memory"])
        return cls(**values | {"lock": tuple(values.get("lock", ()))})

    @classmethod
    def signature(cls) -> str:
        """Return the marker with its keys as they are where they are left out: ``pytest --markers`` shows it."""
        return f"gpupool({', '.join(f'{name}={getattr(USUAL, name)!r}' for name in _KEYS)})"


USUAL = Requirement()
"""What a test without the marker asks for."""


def _checked(key: str, value: object) -> Any:
    if key not in _KEYS:
        raise MarkerProblem(f"@pytest.mark.gpupool has no key {key!r}; this version knows: {', '.join(_KEYS)}")
    convert, expected = _KEYS[key]
    try:
        return convert(value)
    except ValueError:
        raise MarkerProblem(f"@pytest.mark.gpupool({key}={safe_repr(value, 100)}): {key} must be {expected}") from None


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)
    return value


def _count(value: object) -> int:
    if not 0 <= _whole(value) <= _MOST_GPUS:
        raise ValueError(value)
    return _whole(value)


def _repeats(value: object) -> int | None:
    if value is not None and not 1 <= _whole(value) <= _MOST_REPEATS:
        raise ValueError(value)
    return None if value is None else _whole(value)


def _reducer(value: object) -> str:
    if not isinstance(value, str) or value not in REDUCERS:
        raise ValueError(value)
    return str(value)


def _choice(value: object) -> bool | None:
    return None if value is None else _flag(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _limit(value: object) -> float | None:
    if value is None:
        return None
    value = seconds(value) if isinstance(value, str) else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(value)
    return float(value) if value <= sys.float_info.max else math.inf  # no limit, whatever the command line says


def _memory(value: object) -> Size | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    size = Size.parse(value if isinstance(value, str) else repr(value))
    if not math.isfinite(size.amount):
        raise ValueError(value)
    return size


def _names(value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (tuple, list, set, frozenset)) or not all(
        isinstance(name, str) and name for name in names
    ):
        raise ValueError(value)
    return tuple(sorted(names))


_KEYS: Mapping[str, tuple[Callable[[object], Any], str]] = {
    "gpus": (_count, f"a whole number from 0 to {_MOST_GPUS}"),
    "memory": (_memory, "bytes, a size such as '20GiB', or a fraction of the device's memory such as 0.5"),
    "isolate": (_choice, "True, False or None"),
    "timeout": (_limit, "seconds above 0, or a time such as '90s', '5m' or '2h'"),
    "priority": (_whole, "a whole number"),
    "serial": (_flag, "True or False"),
    "lock": (_names, "a name or a tuple of names"),
    "stage": (_whole, "a whole number"),
    "repeats": (_repeats, f"a whole number from 1 to {_MOST_REPEATS}, or None"),
    "at_least": (_repeats, f"a whole number from 1 to {_MOST_REPEATS}, or None"),
    "reduce": (_reducer, f"one of {', '.join(REDUCERS)}"),
}
