"""Shapes: what may stand in a record or in a plan, as tables of checks.

Pure: standard library only, no clock, no files. People and other programs may have edited what is read, and disks
damage it: whatever passes here can be folded, reported, and satisfies the report's schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .model import VERDICTS
from .outcomes import OUTCOMES

Check = Callable[[Any], bool]

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", re.ASCII)
_DEVICE = re.compile(r"(GPU-|MIG-).*|cpu:[0-9]{1,4}", re.DOTALL)
_MOST_SECONDS = 1e12  # no time is longer, and sums of such numbers stay finite


@dataclass(frozen=True, slots=True)
class Maybe:
    """The check of what may be missing."""

    check: Check

    def __call__(self, value: Any) -> bool:
        """Check what is there."""
        return self.check(value)


def fits(value: Any, shape: Mapping[str, Check]) -> bool:
    """Say whether a mapping has all that a shape asks for; more does no harm."""
    return isinstance(value, dict) and all(
        check(value[key]) if key in value else isinstance(check, Maybe) for key, check in shape.items()
    )


def is_text(value: Any) -> bool:
    """Any text."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """A text that is not empty."""
    return isinstance(value, str) and value != ""


def is_whole(value: Any) -> bool:
    """A whole number, which a bool is not."""
    return type(value) is int


def is_count(value: Any) -> bool:
    """A whole number from 0."""
    return type(value) is int and value >= 0


def is_time(value: Any) -> bool:
    """A time as :func:`model.iso` writes it."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_device(value: Any) -> bool:
    """The id of a device."""
    return isinstance(value, str) and _DEVICE.fullmatch(value) is not None


def or_none(check: Check) -> Check:
    """Return the check that takes None as well."""
    return lambda value: value is None or check(value)


def one_of(*values: object) -> Check:
    """Return the check that takes these texts."""
    return lambda value: isinstance(value, str) and value in values


def list_of(check: Check) -> Check:
    """Return the check that takes a list of such."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def shaped(shape: Mapping[str, Check]) -> Check:
    """Return the check that takes a mapping of that shape and no other key."""
    return lambda value: fits(value, shape) and value.keys() == shape.keys()


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_SECONDS


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_tolerance(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_phases(value: Any) -> bool:
    return isinstance(value, dict) and all(map(or_none(_is_seconds), value.values()))


def _are_params(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_strict_json, value.values()))


def _is_strict_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_strict_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_strict_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def _is_test(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and is_name(value[0]) and _are_params(value[1])


def _is_metric(value: Any) -> bool:
    if not fits(value, _METRIC):
        return False
    if value["value"] is not None:
        return "non_finite" not in value
    return "non_finite" in value and value["verdict"] == "invalid"


_METRIC: Mapping[str, Check] = {
    "name": is_name,
    "value": or_none(_is_number),
    "non_finite": Maybe(one_of("nan", "inf", "-inf")),
    "unit": is_text,
    "higher_is_better": or_none(_is_flag),
    "n": or_none(lambda value: is_count(value) and value > 0),
    "atol": or_none(_is_tolerance),
    "rtol": or_none(_is_tolerance),
    "verdict": or_none(one_of(*VERDICTS)),
}

_RESULT: Mapping[str, Check] = {
    "params": _are_params,
    "outcome": one_of(*OUTCOMES),
    "attempt": is_count,
    "worker": or_none(is_text),
    "devices": list_of(is_device),
    "started": or_none(is_time),
    "ended": or_none(is_time),
    "duration_s": or_none(_is_seconds),
    "phases": _are_phases,
    "metrics": list_of(_is_metric),
    "message": or_none(is_text),
    "torch_peak": Maybe(or_none(is_count)),
    "recipe": Maybe(or_none(is_text)),
}

_OF_TEST: Mapping[str, Check] = {"worker": is_text, "test": is_name}
_CUT_OFF: Mapping[str, Check] = {
    **_OF_TEST,
    "started": Maybe(or_none(is_time)),
    "ended": is_time,
    "message": is_text,
}

RECORDS: Mapping[str, Mapping[str, Check]] = {
    "journal": {"version": is_whole},
    "collected": {"worker": is_text, "tests": list_of(_is_test)},
    "collect-error": {"where": is_text},
    "kept": {"test": is_name, "run": is_text, "result": lambda value: fits(value, _RESULT)},
    "worker": {
        "worker": is_text,
        "host": is_text,
        "pid": is_whole,
        "devices": list_of(is_device),
        "lease_wait_s": _is_seconds,
        "started": is_time,
    },
    "start": {
        **_OF_TEST,
        "devices": list_of(is_device),
        "started": is_time,
        "attempt": Maybe(is_count),
        "recipe": Maybe(or_none(is_text)),
    },
    "metric": {**_OF_TEST, "metric": _is_metric},
    "end": {
        **_OF_TEST,
        "outcome": one_of(*OUTCOMES),
        "phases": _are_phases,
        "duration_s": _is_seconds,
        "ended": is_time,
        "message": or_none(is_text),
        "torch_peak": Maybe(or_none(is_count)),
        "is_final": Maybe(_is_flag),
    },
    "crash": _CUT_OFF,
    "timeout": _CUT_OFF,
    "quarantined": {"device": is_text, "reason": is_text},
    "worker-end": {"worker": is_text, "ended": is_time, "exit": one_of("finished", "crashed", "killed", "cancelled")},
    "replaces": {"worker": is_text, "dead": is_text},
    "run-end": {"ended": is_time, "exit_status": is_whole},
    "journal-problem": {"worker": is_text, "text": is_text},
}
"""What a record of each kind has."""

_VERSIONS = ("python", "pytest", "pytest_xdist", "pytest_gpupool", "torch", "driver")

FACTS: Mapping[str, Check] = {
    "started": is_time,
    "command": is_text,
    "rootdir": is_text,
    "resumed_from": or_none(is_text),
    "git": or_none(shaped({"commit": is_text, "branch": or_none(is_text), "dirty": or_none(_is_flag)})),
    "host": shaped(
        {"name": is_text, "platform": is_text, "cpu_count": or_none(is_whole), "memory_bytes": or_none(is_count)}
    ),
    "software": lambda value: (
        fits(value, dict.fromkeys(_VERSIONS, or_none(is_text))) and all(map(or_none(is_text), value.values()))
    ),
}
"""The facts of a plan."""

DEVICE: Mapping[str, Check] = {
    "id": is_device,
    "kind": one_of("gpu", "mig"),
    "index": is_count,
    "name": is_text,
    "memory_total": or_none(is_count),
    "legacy_id": or_none(is_text),
}
"""A device of a plan."""
