"""Tests: the shapes of what is kept of one: its result, attempts and repeats, items and attachments."""

from __future__ import annotations

from ..datatypes import (
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    FLAG,
    NUMBER,
    POSITIVE,
    SECONDS,
    TEXT,
    TEXT_OR_NULL,
    TIMESTAMP,
    Key,
    Shape,
    list_of,
    object_of,
    optional,
    or_null,
)
from .metrics import METRICS
from .parts import (
    CAUSE,
    FACTS_OF_TEST,
    MEASURED,
    OUTCOME,
    OUTPUT,
    PARAMS,
    PHASES,
    REPEAT_RULE,
    SET_UPS,
    SOURCE,
    maps_to,
)

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
    "scores": Key(maps_to(object_of(_SCORE)), "By name."),
    "cut": optional(COUNT, "Items with a value of which only the beginning is kept."),
    "lost": optional(COUNT, "Items that could not be written."),
}

ITEMS = object_of(Shape(_OF_ITEMS))
"""What a report has of the items that a test has recorded."""

ITEMS_RECORD = object_of(Shape({name: key._replace(is_needed=name == "file") for name, key in _OF_ITEMS.items()}))
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
        "metrics": Key(maps_to(or_null(NUMBER)), "Values by name."),
        "items": optional(ITEMS, "What it has recorded of single items."),
        "attachments": optional(ATTACHMENTS, "What it has kept."),
        "message": TEXT_OR_NULL,
    }
)
"""One of the measurements of a test, as a report has it."""

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

RESULT = Shape(
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
