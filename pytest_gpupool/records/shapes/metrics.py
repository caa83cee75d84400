"""Metrics: the shapes of a metric, of what is decided of it, and of what is judged over many tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...values.repeats import OVER_TESTS
from ...values.verdicts import GONE, KINDS
from ..datatypes import (
    AMOUNT,
    COUNT,
    DIGEST,
    FLAG,
    NAME,
    NON_FINITE,
    NUMBER,
    POSITIVE,
    SAMPLES,
    SECONDS,
    TEXT,
    DataType,
    Key,
    Shape,
    list_of,
    object_of,
    one_of,
    optional,
    or_null,
)
from .parts import SHARE, VERDICT


def _agrees_with_itself(metric: Mapping[str, Any]) -> bool:
    if "samples" in metric and metric["n"] not in (None, len(metric["samples"])):
        return False
    if metric["value"] is not None or metric["verdict"] == GONE:
        return "non_finite" not in metric and (metric["value"] is None) == (metric["verdict"] == GONE)
    return "non_finite" in metric and metric["verdict"] == "invalid"


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
        "p": Key(or_null(SHARE), "How likely it is by chance, adjusted for all decisions of the run.", is_needed=False),
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

DECISION = object_of(
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
