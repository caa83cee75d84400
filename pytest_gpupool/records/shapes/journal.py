"""The journal: the shape of each kind of record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..datatypes import (
    AMOUNT,
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    FLAG,
    NAME,
    POSITIVE,
    SECONDS,
    TEXT,
    TEXT_OR_NULL,
    TIMESTAMP,
    WHOLE,
    DataType,
    Shape,
    list_of,
    object_of,
    one_of,
    optional,
    or_null,
)
from .metrics import AGGREGATE, DECISION, GROUP_OUTCOMES, METRIC, METRICS
from .parts import (
    CAUSE,
    FACTS_OF_TEST,
    MEASURED,
    OUTCOME,
    OUTPUT,
    PARAMS,
    PHASES,
    REPEAT_RULE,
    SHARE,
    SOURCE,
    VARIABLES,
    VERDICT,
    maps_to,
)
from .plans import DEVICE
from .tests import ATTACHMENT, ITEMS_RECORD, RESULT

EXIT = one_of("finished", "crashed", "killed", "cancelled")
"""How a worker ended."""


def _is_collected(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and NAME.check(value[0]) and PARAMS.check(value[1])


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
    "kept": Shape({"test": NAME, "run": TEXT, "result": object_of(RESULT)}),
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
            "asked": optional(maps_to(or_null(AMOUNT))),
            "repeat": optional(REPEAT_RULE),
            "confirms": optional(FLAG),
        }
    ),
    "suspect": Shape({**_OF_TEST, "metrics": list_of(NAME)}),
    "metric": Shape({**_OF_TEST, "metric": object_of(METRIC)}),
    "items": Shape({**_OF_TEST, "items": ITEMS_RECORD}),
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
            "verdicts": optional(maps_to(VERDICT)),
            "is_judged": optional(FLAG),
            "is_final": optional(FLAG),
            "cause": optional(CAUSE),
        }
    ),
    "decided": Shape(
        {
            **_OF_TEST,
            "metrics": maps_to(DECISION),
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
        {"group": NAME, "metric": DECISION, "outcome": one_of(*GROUP_OUTCOMES), "message": TEXT_OR_NULL}
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
            "idle": optional(maps_to(SECONDS)),
        }
    ),
    "policy": Shape({"error": SHARE, "rtol": AMOUNT, "fail_on": list_of(VERDICT)}),
    "setting": Shape({"name": NAME, "value": AMOUNT}),
    "replaces": Shape({"worker": TEXT, "dead": TEXT}),
    "run-end": Shape({"ended": TIMESTAMP, "exit_status": WHOLE}),
    "journal-problem": Shape({"worker": TEXT, "text": TEXT}),
}
"""What a record of each kind has."""
