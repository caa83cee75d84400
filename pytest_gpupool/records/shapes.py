"""Shapes: what may stand in a record, in a plan, and in what reports have of a test, as tables of data types.

Pure: standard library only, no clock, no files. People and other programs may have edited what is read, and disks
damage it: whatever passes here can be folded, reported, and satisfies the report's schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..values.outcomes import CAUSES, OUTCOMES
from ..values.repeats import OVER_TESTS, REDUCERS
from ..values.verdicts import GONE, KINDS, VERDICTS
from .datatypes import (
    AMOUNT,
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    DIGEST,
    FLAG,
    NAME,
    NON_FINITE,
    NUMBER,
    PERCENT,
    POSITIVE,
    PROCESS,
    SAMPLES,
    SECONDS,
    TEXT,
    TEXT_OR_NULL,
    TIMESTAMP,
    WHOLE,
    DataType,
    Key,
    Shape,
    list_of,
    object_of,
    one_of,
    optional,
    or_null,
)

VERDICT = one_of(*VERDICTS)
OUTCOME = one_of(*OUTCOMES)
EXIT = one_of("finished", "crashed", "killed", "cancelled")
"""How a worker ended."""


def _is_strict_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_strict_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_strict_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def _are_params(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_strict_json, value.values()))


def _is_collected(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and NAME.check(value[0]) and _are_params(value[1])


def _maps_to(data_type: DataType) -> DataType:
    check = data_type.check
    return DataType(
        lambda value: isinstance(value, dict) and all(map(check, value.values())),
        {"type": "object", "additionalProperties": data_type},
    )


def _is_source(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and TEXT.check(value[0]) and COUNT.check(value[1])


SOURCE = DataType(_is_source, {"type": "array"})
"""Where a test is written: a path from rootdir, and the number of the line, from 1."""

PARAMS = DataType(_are_params, {"type": "object"})

PHASES = _maps_to(or_null(SECONDS))._replace(
    schema=Shape(dict.fromkeys(("setup_s", "call_s", "teardown_s"), or_null(SECONDS)))
)
"""How long the phases of a test took: of some of them in a record, of all in a report."""


VARIABLES = _maps_to(TEXT)
"""Variables of an environment, by name."""

SET_UPS = _maps_to(SECONDS)
"""The seconds that wide fixtures took, by their keys."""


def _agrees_with_itself(metric: Mapping[str, Any]) -> bool:
    if "samples" in metric and metric["n"] not in (None, len(metric["samples"])):
        return False
    if metric["value"] is not None or metric["verdict"] == GONE:
        return "non_finite" not in metric and (metric["value"] is None) == (metric["verdict"] == GONE)
    return "non_finite" in metric and metric["verdict"] == "invalid"


_SHARE = DataType(lambda value: NUMBER.check(value) and 0 <= value <= 1, {"type": "number", "minimum": 0, "maximum": 1})
_INTERVAL = DataType(
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(NUMBER.check, value)),
    {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2},
)
TIMING = Shape(
    {
        "clock": Key(one_of("device_events", "perf_counter"), "What has timed it."),
        "repeats": Key(list_of(SECONDS), "The seconds of one call in each sample that counts."),
        "calls_per_repeat": Key(POSITIVE, "How many calls were timed at once."),
        "interval": Key(or_null(list_of(SECONDS)), "Of the median, at 95 %: low, high."),
        "relative_error": Key(or_null(AMOUNT), "Half the interval's width over the median."),
        "limit": Key(or_null(one_of("samples", "time")), "What has stopped it before the error was small enough."),
        "discarded": Key(COUNT, "Samples that do not count, since the device was throttled."),
        "first_call_s": Key(SECONDS, "The first call of all, in which libraries load and compile; never counted."),
        "warmup_calls": Key(POSITIVE, "Calls before the first sample."),
        "device_clock_mhz": Key(or_null(list_of(AMOUNT)), "The device's lowest and highest frequency meanwhile."),
    }
)
"""How ``measure`` has measured a metric."""

REPEATED = Shape(
    {
        "count": Key(POSITIVE, "Repeats that have recorded it."),
        "mean": NUMBER,
        "spread": Key(or_null(AMOUNT), "Their standard deviation."),
        "interval": Key(or_null(list_of(NUMBER)), "Of the mean, at 95 %: low, high."),
    }
)
"""A metric over the repeats of a test."""

REPEAT_RULE = object_of(Shape({"count": POSITIVE, "at_least": POSITIVE, "reduce": one_of(*REDUCERS)}))
"""How the repeats of a test make one result."""

_SCORE = Shape(
    {
        "n": Key(POSITIVE, "Items that have it."),
        "mean": Key(or_null(NUMBER), "null where one is no number."),
        "non_finite": optional(COUNT, "Items whose score is no number."),
    }
)
_OF_ITEMS = {
    "file": Key(TEXT, "Where they lie, from the run's directory: a line of JSON for each."),
    "count": Key(COUNT, "How many there are."),
    "scores": Key(_maps_to(object_of(_SCORE)), "By name."),
    "cut": optional(COUNT, "Items with a value of which only the beginning is kept."),
    "lost": optional(COUNT, "Items that could not be written."),
}
ITEMS = object_of(Shape(_OF_ITEMS))
"""What a report has of the items that a test has recorded."""

_ITEMS_RECORD = object_of(Shape({name: key._replace(is_needed=name == "file") for name, key in _OF_ITEMS.items()}))
"""What a record has of them: nothing but the file, as long as the test runs."""

ATTACHMENT = Shape(
    {
        "name": TEXT,
        "path": optional(TEXT, "From the run's directory."),
        "url": optional(TEXT, "Where it is, in place of a path."),
        "media_type": optional(TEXT),
        "size": optional(COUNT),
        "sha256": optional(TEXT, "Of what was in it when it was attached."),
    }
)
ATTACHMENTS = list_of(object_of(ATTACHMENT, "attachment"))
"""What a test has kept, or named."""

REPEAT = Shape(
    {
        "repeat": Key(COUNT, "Which one, from 0."),
        "outcome": OUTCOME,
        "worker": TEXT_OR_NULL,
        "devices": list_of(DEVICE_ID),
        "started": or_null(TIMESTAMP),
        "duration_s": or_null(SECONDS),
        "metrics": Key(_maps_to(or_null(NUMBER)), "Values by name."),
        "items": optional(ITEMS, "What it has recorded of single items."),
        "attachments": optional(ATTACHMENTS, "What it has kept."),
        "message": TEXT_OR_NULL,
    }
)
"""One of the measurements of a test, as a report has it."""

METRIC = Shape(
    {
        "name": NAME,
        "value": or_null(NUMBER),
        "non_finite": optional(NON_FINITE),
        "kind": Key(or_null(one_of(*KINDS)), "What it is; null in what an older version wrote.", is_needed=False),
        "unit": TEXT,
        "higher_is_better": or_null(FLAG),
        "n": or_null(POSITIVE),
        "atol": or_null(AMOUNT),
        "rtol": or_null(AMOUNT),
        "per_item": optional(DIGEST, "Of the values per item: items/values-DIGEST.json in the run's directory."),
        "samples": optional(SAMPLES, "The value per item of an aggregate; of a test's metric in older reports alone."),
        "items": optional(list_of(TEXT), "The id of each sample, where there are any."),
        "repeats": optional(SAMPLES, "Each measurement of the one quantity, where it was measured several times."),
        "attempts": optional(list_of(NUMBER), "Of each attempt its value, where value is the mean of several."),
        "single": optional(NUMBER, "The value of the attempt that samples are of, where value is the mean of several."),
        "baseline": Key(or_null(NUMBER), is_needed=False),
        "change": Key(or_null(NUMBER), "Relative to the baseline; null where that is 0 or absent.", is_needed=False),
        "interval": Key(
            or_null(_INTERVAL), "Of the change, relative as that: 95 % of such intervals hold it.", is_needed=False
        ),
        "p": Key(
            or_null(_SHARE), "How likely it is by chance, adjusted for all decisions of the run.", is_needed=False
        ),
        "cohort": Key(or_null(POSITIVE), "How many accepted runs the baseline is of.", is_needed=False),
        "allowed": optional(AMOUNT, "The allowed change, as an absolute number."),
        "detectable": optional(AMOUNT, "The absolute change that would be seen in 80 % of runs like this one."),
        "detectable_alone": optional(AMOUNT, "The same, at an error of 5 %, if the run had no other metric."),
        "others": optional(list_of(TEXT), "Without a baseline: the kinds of device that have one."),
        "note": optional(TEXT, "What else decided the verdict, or could not."),
        "verdict": or_null(VERDICT),
        "repeated": optional(object_of(REPEATED), "Over the repeats of its test, where there are several."),
        "reduce": optional(one_of("sum"), "It is a cost, which adds up over the run: see the summary's sums."),
        "timing": optional(object_of(TIMING), "How it was measured, where the fixture measure has done that."),
    },
    rule=_agrees_with_itself,
    rule_schema={
        "if": {"properties": {"value": {"type": "null"}}},
        "then": {
            "oneOf": [
                {"required": ["non_finite"], "properties": {"verdict": {"const": "invalid"}}},
                {"not": {"required": ["non_finite"]}, "properties": {"verdict": {"const": GONE}}},
            ]
        },
        "else": {"not": {"anyOf": [{"required": ["non_finite"]}, {"properties": {"verdict": {"const": GONE}}}]}},
    },
)
"""A metric with its verdict, in the order of a report; a record has no baseline where none was looked for."""

_DECISION = object_of(
    Shape(
        {
            name: METRIC.keys[name]._replace(is_needed=name == "verdict")
            for name in (
                *("higher_is_better", "baseline", "change", "interval", "p", "cohort", "allowed", "detectable"),
                *("detectable_alone", "others", "note", "attempts", "verdict"),
            )
        }
        | {"value": optional(NUMBER)}
    )
)
"""What a decision adds to a metric."""

GROUP_OUTCOMES = ("passed", "failed", "incomplete")
"""What becomes of a group of tests over which a metric is judged: incomplete is what could not be."""

AGGREGATE = Shape(
    {
        "name": NAME,
        "of": NAME,
        "by": list_of(NAME),
        "reduce": one_of(*OVER_TESTS),
        "kind": or_null(one_of(*KINDS)),
        "higher_is_better": or_null(FLAG),
        "atol": or_null(AMOUNT),
        "rtol": or_null(AMOUNT),
        "floor": or_null(NUMBER),
        "ceiling": or_null(NUMBER),
    }
)
"""What is judged over many tests, as a record has it."""

_METRICS = list_of(object_of(METRIC, "metric"))


def _are_metrics(value: Any) -> bool:
    return _METRICS.check(value) and len({metric["name"] for metric in value}) == len(value)


METRICS = _METRICS._replace(check=_are_metrics)
"""The metrics of one test: each has a name of its own."""


def _used(data_type: DataType) -> Key:
    return Key(data_type, is_needed=False)


RESOURCES = Shape(
    {
        "peak_memory_bytes": _used(BYTES_OR_NULL),
        "torch_peak_memory_bytes": _used(BYTES_OR_NULL),
        "utilization_mean": _used(or_null(PERCENT)),
        "utilization_max": _used(or_null(PERCENT)),
        "energy_j": _used(or_null(AMOUNT)),
        "temperature_max_c": _used(or_null(NUMBER)),
        "throttled": _used(or_null(FLAG)),
        "foreign_pids": _used(or_null(list_of(PROCESS))),
        "cpu_percent": _used(or_null(AMOUNT)),
        "rss_peak_bytes": _used(BYTES_OR_NULL),
        "cpu_pressure_percent": _used(or_null(PERCENT)),
    }
)
"""What a test used, as reports have it."""

_OF_DEVICE = Shape({"utilization_mean": or_null(PERCENT), "energy_j": or_null(AMOUNT)})


def _are_measured(value: Any) -> bool:
    if not RESOURCES.fits(value) or not isinstance(by_device := value.get("devices", {}), dict):
        return False
    return all(DEVICE_ID.check(name) and _OF_DEVICE.fits(one) for name, one in by_device.items())


MEASURED = DataType(_are_measured, RESOURCES)
"""What was measured of a test: some of :data:`RESOURCES`, and under ``devices`` what adds up over tests, by device."""

_OUTPUT = ("stdout", "stderr", "log")


def _is_output(value: Any) -> bool:
    return isinstance(value, dict) and all(key in _OUTPUT and isinstance(text, str) for key, text in value.items())


OUTPUT = DataType(_is_output, Shape(dict.fromkeys(_OUTPUT, optional(TEXT))))

CAUSE = one_of(*CAUSES)

FACTS_OF_TEST = _maps_to(TEXT)
"""What a test says of itself, by name."""

ATTEMPT = Shape(
    {
        "attempt": COUNT,
        "outcome": OUTCOME,
        "cause": or_null(CAUSE),
        "worker": TEXT_OR_NULL,
        "devices": list_of(DEVICE_ID),
        "started": or_null(TIMESTAMP),
        "duration_s": or_null(SECONDS),
        "peak_memory_bytes": Key(BYTES_OR_NULL, "Of its devices, else what torch had."),
        "rss_peak_bytes": optional(BYTES_OR_NULL, "Of its processes, in the host's memory."),
        "metrics": Key(METRICS, "As the attempt gave them.", is_needed=False),
        "confirms": optional(FLAG, "True where it only measured again what was suspect."),
        "items": optional(ITEMS, "What it has recorded of single items."),
        "attachments": optional(ATTACHMENTS, "What it has kept."),
        "message": TEXT_OR_NULL,
    }
)
"""One attempt at a test, as results and reports list it."""

_AGAIN = Shape(
    {
        "outcome": OUTCOME,
        "cause": optional(CAUSE),
        "attempt": COUNT,
        "worker": TEXT_OR_NULL,
        "devices": list_of(DEVICE_ID),
        "started": or_null(TIMESTAMP),
        "ended": or_null(TIMESTAMP),
        "duration_s": or_null(SECONDS),
        "phases": PHASES,
        "metrics": METRICS,
        "message": TEXT_OR_NULL,
        "resources": optional(MEASURED),
        "output": optional(OUTPUT),
        "device_kind": optional(TEXT_OR_NULL),
        "items": optional(ITEMS),
        "attachments": optional(ATTACHMENTS),
    }
)

_RESULT = Shape(
    {
        "params": PARAMS,
        "outcome": OUTCOME,
        "cause": optional(CAUSE),
        "attempt": COUNT,
        "before": optional(list_of(object_of(ATTEMPT))),
        "again": optional(list_of(object_of(_AGAIN))),
        "memory": optional(COUNT),
        "worker": TEXT_OR_NULL,
        "devices": list_of(DEVICE_ID),
        "started": or_null(TIMESTAMP),
        "ended": or_null(TIMESTAMP),
        "duration_s": or_null(SECONDS),
        "waited_s": optional(SECONDS),
        "set_ups": optional(SET_UPS),
        "phases": PHASES,
        "metrics": METRICS,
        "message": TEXT_OR_NULL,
        "torch_peak": optional(BYTES_OR_NULL),
        "resources": optional(MEASURED),
        "output": optional(OUTPUT),
        "is_judged": optional(FLAG),
        "repeat": optional(REPEAT_RULE),
        "device_kind": optional(TEXT_OR_NULL),
        "recipe": optional(TEXT_OR_NULL),
        "source": optional(SOURCE),
        "items": optional(ITEMS),
        "attachments": optional(ATTACHMENTS),
        "facts": optional(FACTS_OF_TEST),
    }
)

DEVICE = Shape(
    {
        "id": DEVICE_ID,
        "kind": one_of("gpu", "mig"),
        "index": COUNT,
        "name": TEXT,
        "memory_total": BYTES_OR_NULL,
        "legacy_id": TEXT_OR_NULL,
    }
)
"""A device of a plan, or of a cluster."""

_OF_TEST: Mapping[str, DataType] = {"worker": TEXT, "test": NAME}
_OF_FIXTURE: Mapping[str, DataType] = {**_OF_TEST, "number": COUNT, "fixture": TEXT, "seconds": SECONDS}
_CUT_OFF = Shape(
    {
        **_OF_TEST,
        "started": optional(or_null(TIMESTAMP)),
        "ended": TIMESTAMP,
        "message": TEXT,
        "output": optional(OUTPUT),
        "cause": optional(CAUSE),
        "resources": optional(MEASURED),
    }
)

RECORDS: Mapping[str, Shape] = {
    "journal": Shape({"version": WHOLE}),
    "collected": Shape({"worker": TEXT, "tests": list_of(DataType(_is_collected, {"type": "array"}))}),
    "shard": Shape(
        {
            "index": POSITIVE,
            "count": POSITIVE,
            "tests": list_of(NAME),
            "fingerprint": TEXT,
            "paths": or_null(list_of(TEXT)),
        }
    ),
    "collect-error": Shape({"where": TEXT}),
    "deselected": Shape({"worker": TEXT, "tests": list_of(NAME)}),
    "kept": Shape({"test": NAME, "run": TEXT, "result": object_of(_RESULT)}),
    "worker": Shape(
        {
            "worker": TEXT,
            "host": TEXT,
            "pid": WHOLE,
            "devices": list_of(DEVICE_ID),
            "lease_wait_s": SECONDS,
            "started": TIMESTAMP,
            "environment": optional(VARIABLES),
        }
    ),
    "start": Shape(
        {
            **_OF_TEST,
            "devices": list_of(DEVICE_ID),
            "started": TIMESTAMP,
            "attempt": optional(COUNT),
            "device_kind": optional(TEXT_OR_NULL),
            "recipe": optional(TEXT_OR_NULL),
            "source": optional(SOURCE),
            "asked": optional(_maps_to(or_null(AMOUNT))),
            "repeat": optional(REPEAT_RULE),
            "confirms": optional(FLAG),
        }
    ),
    "suspect": Shape({**_OF_TEST, "metrics": list_of(NAME)}),
    "metric": Shape({**_OF_TEST, "metric": object_of(METRIC)}),
    "items": Shape({**_OF_TEST, "items": _ITEMS_RECORD}),
    "facts": Shape({**_OF_TEST, "facts": FACTS_OF_TEST}),
    "attached": Shape(
        {**_OF_TEST, "attachment": optional(object_of(ATTACHMENT)), "folder": optional(TEXT)},
    ),
    "repeated": Shape(
        {"test": NAME, "outcome": OUTCOME, "message": TEXT_OR_NULL, "metrics": METRICS, "is_judged": FLAG}
    ),
    "set-up": Shape({**_OF_FIXTURE, "failed": optional(FLAG)}),
    "torn-down": Shape(_OF_FIXTURE),
    "end": Shape(
        {
            **_OF_TEST,
            "outcome": OUTCOME,
            "phases": PHASES,
            "duration_s": SECONDS,
            "ended": TIMESTAMP,
            "waited_s": optional(SECONDS),
            "message": TEXT_OR_NULL,
            "torch_peak": optional(BYTES_OR_NULL),
            "resources": optional(MEASURED),
            "output": optional(OUTPUT),
            "verdicts": optional(_maps_to(VERDICT)),
            "is_judged": optional(FLAG),
            "is_final": optional(FLAG),
            "cause": optional(CAUSE),
        }
    ),
    "decided": Shape(
        {
            **_OF_TEST,
            "metrics": _maps_to(_DECISION),
            "gone": optional(METRICS),
            "outcome": optional(OUTCOME),
            "message": optional(TEXT_OR_NULL),
        }
    ),
    "aggregate": Shape(
        {
            **_OF_TEST,
            "aggregate": object_of(AGGREGATE),
            "left_out": list_of(object_of(Shape({"group": PARAMS, "tests": COUNT}))),
            "narrowed": optional(TEXT_OR_NULL),
            "shard": optional(TEXT),
        }
    ),
    "aggregated": Shape(
        {"group": NAME, "metric": _DECISION, "outcome": one_of(*GROUP_OUTCOMES), "message": TEXT_OR_NULL}
    ),
    "crash": _CUT_OFF,
    "timeout": _CUT_OFF,
    "no-retry": Shape({**_OF_TEST, "started": optional(or_null(TIMESTAMP)), "text": TEXT}),
    "device": Shape({"device": object_of(DEVICE)}),
    "quarantined": Shape({"device": TEXT, "reason": TEXT}),
    "worker-end": Shape(
        {
            "worker": TEXT,
            "ended": TIMESTAMP,
            "exit": EXIT,
            "ready": optional(TIMESTAMP),
            "idle": optional(_maps_to(SECONDS)),
        }
    ),
    "policy": Shape({"error": _SHARE, "rtol": AMOUNT, "fail_on": list_of(VERDICT)}),
    "setting": Shape({"name": NAME, "value": AMOUNT}),
    "replaces": Shape({"worker": TEXT, "dead": TEXT}),
    "run-end": Shape({"ended": TIMESTAMP, "exit_status": WHOLE}),
    "journal-problem": Shape({"worker": TEXT, "text": TEXT}),
}
"""What a record of each kind has."""

VERSIONS = ("python", "pytest", "pytest_xdist", "pytest_gpupool", "torch", "driver")
"""The software whose versions a run tells."""

_SOFTWARE = Shape(dict.fromkeys(VERSIONS, TEXT_OR_NULL))
SOFTWARE = DataType(
    lambda value: _SOFTWARE.fits(value) and all(map(TEXT_OR_NULL.check, value.values())),
    {"type": "object", "required": list(VERSIONS), "additionalProperties": TEXT_OR_NULL},
)

GIT = Shape(
    {
        "commit": TEXT,
        "branch": Key(TEXT_OR_NULL, "null on a detached HEAD"),
        "dirty": or_null(FLAG),
    },
    is_closed=True,
)
HOST = Shape(
    {"name": TEXT, "platform": TEXT, "cpu_count": or_null(WHOLE), "memory_bytes": BYTES_OR_NULL}, is_closed=True
)

SOURCES = Shape(
    {
        "url": Key(TEXT, "How a link to a source is made, with {commit}, {path} and {line}."),
        "folder": Key(TEXT, "Where rootdir lies in the repository, from its top; empty at the top."),
    },
    is_closed=True,
)

FACTS: Mapping[str, DataType] = {
    "started": TIMESTAMP,
    "command": TEXT,
    "rootdir": TEXT,
    "resumed_from": TEXT_OR_NULL,
    "seed": or_null(WHOLE),
    "git": or_null(object_of(GIT)),
    "sources": object_of(SOURCES),
    "host": object_of(HOST),
    "software": SOFTWARE,
}
"""The facts of a plan."""
