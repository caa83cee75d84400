"""Shapes: what may stand in a record, in a plan or in a report, as tables of checks.

Pure: standard library only, no clock, no files. People and other programs may have edited what is read, and disks
damage it: whatever passes here can be folded, reported, and satisfies the report's schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .checks import (
    Check,
    Maybe,
    fits,
    is_count,
    is_device,
    is_flag,
    is_name,
    is_number,
    is_seconds,
    is_text,
    is_time,
    is_tolerance,
    is_whole,
    list_of,
    one_of,
    or_none,
    shaped,
)
from .model import VERDICTS
from .outcomes import OUTCOMES


def _are_phases(value: Any) -> bool:
    return isinstance(value, dict) and all(map(or_none(is_seconds), value.values()))


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


def _is_sample(value: Any) -> bool:
    return is_number(value) or value in ("nan", "inf", "-inf")


def _is_percent(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 100


def _is_metric(value: Any) -> bool:
    if not fits(value, _METRIC):
        return False
    if value["value"] is not None:
        return "non_finite" not in value
    return "non_finite" in value and value["verdict"] == "invalid"


_METRIC: Mapping[str, Check] = {
    "name": is_name,
    "value": or_none(is_number),
    "non_finite": Maybe(one_of("nan", "inf", "-inf")),
    "unit": is_text,
    "higher_is_better": or_none(is_flag),
    "n": or_none(lambda value: is_count(value) and value > 0),
    "atol": or_none(is_tolerance),
    "rtol": or_none(is_tolerance),
    "samples": Maybe(list_of(_is_sample)),
    "baseline": Maybe(or_none(is_number)),
    "change": Maybe(or_none(is_number)),
    "allowed": Maybe(is_tolerance),
    "detectable": Maybe(is_tolerance),
    "verdict": or_none(one_of(*VERDICTS)),
}

RESOURCES: Mapping[str, Check] = {
    "peak_memory_bytes": or_none(is_count),
    "torch_peak_memory_bytes": or_none(is_count),
    "utilization_mean": or_none(_is_percent),
    "utilization_max": or_none(_is_percent),
    "energy_j": or_none(is_tolerance),
    "temperature_max_c": or_none(is_number),
    "throttled": or_none(is_flag),
    "foreign_pids": or_none(list_of(is_count)),
    "cpu_percent": or_none(is_tolerance),
    "rss_peak_bytes": or_none(is_count),
}
"""What a test used, as reports have it."""

_OF_DEVICE: Mapping[str, Check] = {"utilization_mean": or_none(_is_percent), "energy_j": or_none(is_tolerance)}


def _are_resources(value: Any) -> bool:
    """What was measured of a test: some of :data:`RESOURCES`, and by device what adds up over tests."""
    if not isinstance(value, dict) or not isinstance(value.get("devices", {}), dict):
        return False
    known = all(check(value[key]) for key, check in RESOURCES.items() if key in value)
    return known and all(is_device(name) and fits(one, _OF_DEVICE) for name, one in value.get("devices", {}).items())


def _are_verdicts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(one_of(*VERDICTS), value.values()))


_OUTPUT = ("stdout", "stderr", "log")


def _is_output(value: Any) -> bool:
    return isinstance(value, dict) and all(key in _OUTPUT and is_text(text) for key, text in value.items())


_RESULT: Mapping[str, Check] = {
    "params": _are_params,
    "outcome": one_of(*OUTCOMES),
    "attempt": is_count,
    "worker": or_none(is_text),
    "devices": list_of(is_device),
    "started": or_none(is_time),
    "ended": or_none(is_time),
    "duration_s": or_none(is_seconds),
    "phases": _are_phases,
    "metrics": list_of(_is_metric),
    "message": or_none(is_text),
    "torch_peak": Maybe(or_none(is_count)),
    "resources": Maybe(_are_resources),
    "output": Maybe(_is_output),
    "is_judged": Maybe(is_flag),
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
        "lease_wait_s": is_seconds,
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
        "duration_s": is_seconds,
        "ended": is_time,
        "message": or_none(is_text),
        "torch_peak": Maybe(or_none(is_count)),
        "resources": Maybe(_are_resources),
        "output": Maybe(_is_output),
        "verdicts": Maybe(_are_verdicts),
        "is_judged": Maybe(is_flag),
        "is_final": Maybe(is_flag),
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
    "git": or_none(shaped({"commit": is_text, "branch": or_none(is_text), "dirty": or_none(is_flag)})),
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

REPORT: Mapping[str, Check] = {
    "run": lambda value: fits(value, _RUN),
    "devices": list_of(lambda value: fits(value, {"id": is_device, "name": is_text})),
    "workers": list_of(lambda value: fits(value, {"id": is_text, "devices": list_of(is_device)})),
    "tests": list_of(lambda value: fits(value, TEST)),
    "summary": lambda value: fits(value, {"makespan_s": or_none(is_seconds)}),
}
"""What a report of another run must have to be compared."""

_RUN: Mapping[str, Check] = {
    "id": is_name,
    "started": is_time,
    "duration_s": is_seconds,
    "complete": is_flag,
    "git": lambda value: value is None or fits(value, {"commit": is_text}),
}

TEST: Mapping[str, Check] = {
    "nodeid": is_name,
    "params": _are_params,
    "outcome": one_of(*OUTCOMES),
    "worker": or_none(is_text),
    "devices": list_of(is_device),
    "started": or_none(is_time),
    "duration_s": or_none(is_seconds),
    "metrics": list_of(_is_metric),
    "resources": Maybe(or_none(_are_resources)),
}
"""A test of such a report."""
