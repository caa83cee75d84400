"""Parts: what shapes of several kinds have in common."""

from __future__ import annotations

import math
from typing import Any

from ...values.outcomes import CAUSES, OUTCOMES
from ...values.repeats import REDUCERS
from ...values.verdicts import VERDICTS
from ..datatypes import (
    AMOUNT,
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    FLAG,
    NUMBER,
    PERCENT,
    POSITIVE,
    PROCESS,
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

VERDICT = one_of(*VERDICTS)

OUTCOME = one_of(*OUTCOMES)


def _is_strict_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_strict_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_strict_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def _are_params(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_strict_json, value.values()))


def maps_to(data_type: DataType) -> DataType:
    """Return the type of an object whose values are of a type, under any names."""
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

PHASES = maps_to(or_null(SECONDS))._replace(
    schema=Shape(dict.fromkeys(("setup_s", "call_s", "teardown_s"), or_null(SECONDS)))
)
"""How long the phases of a test took: of some of them in a record, of all in a report."""

VARIABLES = maps_to(TEXT)
"""Variables of an environment, by name."""

SET_UPS = maps_to(SECONDS)
"""The seconds that wide fixtures took, by their keys."""

SHARE = DataType(lambda value: NUMBER.check(value) and 0 <= value <= 1, {"type": "number", "minimum": 0, "maximum": 1})
"""A probability, or a part of a whole."""

REPEAT_RULE = object_of(Shape({"count": POSITIVE, "at_least": POSITIVE, "reduce": one_of(*REDUCERS)}))
"""How the repeats of a test make one result."""


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

FACTS_OF_TEST = maps_to(TEXT)
"""What a test says of itself, by name."""
