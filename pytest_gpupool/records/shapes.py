"""Shapes: what may stand in a record, in a plan or in a report, as tables of checks.

Pure: standard library only, no clock, no files. People and other programs may have edited what is read, and disks
damage it: whatever passes here can be folded, reported, and satisfies the report's schema.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from ..values.outcomes import OUTCOMES
from ..values.verdicts import VERDICTS
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

_LARGEST = sys.float_info.max


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
    return value in ("nan", "inf", "-inf") if isinstance(value, str) else is_number(value) and abs(value) <= _LARGEST


def _is_percent(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 100


def _is_metric(value: Any) -> bool:
    if not fits(value, _METRIC) or ("samples" in value and value["n"] not in (None, len(value["samples"]))):
        return False
    if value["value"] is not None:
        return "non_finite" not in value
    return "non_finite" in value and value["verdict"] == "invalid"


def _are_metrics(value: Any) -> bool:
    if not list_of(_is_metric)(value):
        return False
    return len({metric["name"] for metric in value}) == len(value)


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
    "others": Maybe(list_of(is_text)),
    "note": Maybe(is_text),
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
    "metrics": _are_metrics,
    "message": or_none(is_text),
    "torch_peak": Maybe(or_none(is_count)),
    "resources": Maybe(_are_resources),
    "output": Maybe(_is_output),
    "is_judged": Maybe(is_flag),
    "device_kind": Maybe(or_none(is_text)),
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
        "device_kind": Maybe(or_none(is_text)),
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
    "workers": list_of(lambda value: fits(value, _WORKER)),
    "tests": list_of(lambda value: fits(value, TEST)),
    "summary": lambda value: fits(value, {"makespan_s": or_none(is_seconds)}),
}
"""What a report of another run must have to be compared."""

_WORKER: Mapping[str, Check] = {
    "id": is_text,
    "devices": list_of(is_device),
    "lease_wait_s": or_none(is_seconds),
    "started": or_none(is_time),
}

_RUN: Mapping[str, Check] = {
    "id": is_name,
    "started": is_time,
    "duration_s": is_seconds,
    "complete": is_flag,
    "collected": is_count,
    "git": or_none(lambda value: fits(value, {"commit": is_text, "dirty": Maybe(or_none(is_flag))})),
}

TEST: Mapping[str, Check] = {
    "nodeid": is_name,
    "run": Maybe(is_text),
    "params": _are_params,
    "outcome": one_of(*OUTCOMES),
    "worker": or_none(is_text),
    "devices": list_of(is_device),
    "started": or_none(is_time),
    "duration_s": or_none(is_seconds),
    "metrics": _are_metrics,
    "resources": Maybe(or_none(_are_resources)),
    "judged": Maybe(is_flag),
    "device_kind": Maybe(or_none(is_text)),
}
"""A test of such a report."""


def clash(test: Any) -> str | None:
    """Return in words what contradicts itself in a test of a report that is not as :data:`TEST`, None for all else."""
    metrics = test.get("metrics") if isinstance(test, dict) else None
    found = [metric for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []
    names = [repr(metric.get("name")) for metric in found]
    for name, metric in zip(names, found, strict=True):
        n, samples = metric.get("n"), metric.get("samples")
        if names.count(name) > 1:
            return f"it has the metric {name} more than once"
        if type(n) is int and isinstance(samples, list) and len(samples) != n:
            return f"its metric {name} has n={n}, but {len(samples)} samples"
    return None
