"""The shape of the JSON report: what other programs may rely on, as JSON Schema, and what ours need of one they read.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from typing import Any

from ..advice.items import KINDS, SHARES
from ..records.datatypes import (
    AMOUNT,
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    FLAG,
    NAME,
    NUMBER,
    PERCENT,
    POSITIVE,
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
    unread,
)
from ..records.shapes.journal import EXIT
from ..records.shapes.metrics import GROUP_OUTCOMES, METRIC, METRICS
from ..records.shapes.parts import CAUSE, FACTS_OF_TEST, MEASURED, OUTCOME, OUTPUT, PARAMS, PHASES, SET_UPS, VARIABLES
from ..records.shapes.plans import GIT, HOST, SOFTWARE, SOURCES
from ..records.shapes.tests import ATTACHMENTS, ATTEMPT, ITEMS, REPEAT
from ..values.outcomes import OUTCOMES
from ..values.repeats import OVER_TESTS
from ..values.verdicts import VERDICTS

REPORT_FORMAT = "gpupool-report"
SPEC_VERSION = "1.9.0"

_ABOUT = (
    "One run of pytest with pytest-gpupool. Sizes are bytes, times seconds, timestamps UTC in ISO 8601 with Z, "
    "utilisations percent. What could not be measured is null, never 0."
)

_SECONDS_OR_NULL = or_null(SECONDS)
_TIMESTAMP_OR_NULL = or_null(TIMESTAMP)
_PERCENT_OR_NULL = or_null(PERCENT)
_DEVICES = list_of(DEVICE_ID)

# An older report, or one that was edited, may have less of it.
_GIT = object_of(Shape({"commit": TEXT, "dirty": optional(or_null(FLAG))}))._replace(schema=GIT)

_SHARD = Shape(
    {
        "index": Key(POSITIVE, "Which one it is, from 1."),
        "count": Key(POSITIVE, "How many shards there are."),
        "tests": Key(COUNT, "Tests of all shards together; collected is of this one alone."),
    }
)

_RUN = Shape(
    {
        "id": NAME,
        "started": TIMESTAMP,
        "duration_s": SECONDS,
        "exit_status": unread(or_null(WHOLE), "null where the run was killed."),
        "complete": Key(FLAG, "Whether everything could be collected, there were tests, and every one has a result."),
        "collected": Key(COUNT, "Tests after deselection."),
        "finished": unread(COUNT, "Collected tests with a result; collected - finished are not-run."),
        "command": unread(TEXT),
        "rootdir": unread(TEXT),
        "git": or_null(_GIT),
        "sources": unread(
            object_of(SOURCES), "How sources are linked, where --gpupool-source-url says so.", always=False
        ),
        "host": unread(object_of(HOST)),
        "software": unread(SOFTWARE, "Versions by name; null for what is not installed."),
        "engine": unread(one_of("local", "ray", "slurm")),
        "seed": unread(or_null(WHOLE)),
        "resumed_from": unread(TEXT_OR_NULL),
        "shard": unread(or_null(object_of(_SHARD)), "Which part of the tests it had; null where it had all of them."),
    }
)

_DEVICE = Shape(
    {
        "id": DEVICE_ID,
        "host": unread(TEXT_OR_NULL, "Where it is; null where no worker has held it.", always=False),
        "kind": unread(one_of("gpu", "mig", "cpu")),
        "index": unread(COUNT, "Its vendor's number of the GPU, or of a MIG instance's GPU; a CPU slot's number."),
        "name": TEXT,
        "memory_total_bytes": unread(BYTES_OR_NULL),
        "tests": unread(COUNT, "Tests whose result comes from this device."),
        "busy_s": unread(SECONDS, "The sum of its tests' durations, without what they share."),
        "utilization_mean": unread(_PERCENT_OR_NULL),
        "energy_j": unread(or_null(AMOUNT)),
        "quarantined": unread(TEXT_OR_NULL, "Why the device left the pool."),
    }
)

_WORKER = Shape(
    {
        "id": TEXT,
        "host": unread(TEXT_OR_NULL),
        "pid": unread(or_null(WHOLE)),
        "devices": _DEVICES,
        "lease_wait_s": _SECONDS_OR_NULL,
        "environment": optional(VARIABLES, "The variables that were set for it; those that the user had set are not."),
        "started": Key(_TIMESTAMP_OR_NULL, "When it had its lease; null for one that never got it."),
        "ended": Key(_TIMESTAMP_OR_NULL, is_needed=False),
        "exit": unread(or_null(EXIT)),
    }
)

TEST = Shape(
    {
        "nodeid": NAME,
        "run": Key(TEXT, "The run whose result it is: this one, or an earlier one that it resumed.", is_needed=False),
        "path": optional(TEXT, "The file that it is written in, from rootdir; of one that has not begun, its id's."),
        "line": optional(POSITIVE, "Where in that file it begins; where that is known."),
        "params": Key(
            PARAMS,
            "The parameters of a parametrized test; values that JSON has no form for are given by their name or repr.",
        ),
        "outcome": OUTCOME,
        "cause": optional(or_null(CAUSE), "What it failed of, where that was not its own doing alone."),
        "attempt": Key(POSITIVE, is_needed=False),
        "attempts": optional(
            list_of(object_of(ATTEMPT, "attempt")),
            "Every attempt, the last one too, where there was more than one; none else.",
        ),
        "repeats": optional(
            list_of(object_of(REPEAT, "repeat")),
            "Every measurement of a test that was measured several times.",
        ),
        "declared_memory_bytes": optional(COUNT, "What its marker asks for on each device, where it does."),
        "worker": TEXT_OR_NULL,
        "devices": _DEVICES,
        "started": _TIMESTAMP_OR_NULL,
        "duration_s": _SECONDS_OR_NULL,
        "waited_s": optional(SECONDS, "What it waited for the controller, which is in no duration."),
        "setup_s": optional(SET_UPS, "What it set up for itself and others, seconds by wide fixture; in no duration."),
        "phases": Key(PHASES, is_needed=False),
        "metrics": METRICS,
        "items": optional(ITEMS, "What it has recorded of single items, where it has."),
        "attachments": optional(ATTACHMENTS, "What it has kept, or named, where it has."),
        "facts": optional(FACTS_OF_TEST, "What it says of itself: by record_fact and record_property."),
        "resources": Key(or_null(MEASURED)._replace(schema=MEASURED.schema), is_needed=False),
        "message": Key(TEXT_OR_NULL, is_needed=False),
        "device_kind": optional(
            TEXT_OR_NULL._replace(schema=TEXT.schema, name=""),
            "The kind of device that it asked for, as baselines tell them apart.",
        ),
        "judged": optional(FLAG._replace(schema={"const": True}), "Nothing but the verdict on a metric made it fail."),
        "output": optional(OUTPUT, "What pytest captured, where there was any; the end of it."),
    }
)
"""A test of a report."""

AGGREGATE = Shape(
    {
        "test": Key(NAME, "The function, class, file or folder whose tests it is over."),
        "group": Key(PARAMS, "The parameters that its tests have in common."),
        "id": Key(NAME, "What it is called where tests are listed by their ids, and in baselines."),
        **METRIC.keys,
        "of": Key(NAME, "The metric of each test."),
        "reduce": Key(one_of(*OVER_TESTS), "How their values become one."),
        "floor": Key(or_null(NUMBER), "What it may not be below."),
        "ceiling": Key(or_null(NUMBER), "What it may not be above."),
        "tests": Key(COUNT, "How many have a value."),
        "missing": Key(COUNT, "How many have none; then it is not judged."),
        "outcome": Key(one_of(*GROUP_OUTCOMES), "incomplete where it could not be judged."),
        "device_kind": TEXT_OR_NULL,
        "message": TEXT_OR_NULL,
    }
)
"""A metric over many tests; its value is null where no test has one."""

_FIXTURE = Shape(
    {
        "fixture": Key(TEXT, "Where it is defined, its name, and its parameters."),
        "built": Key(POSITIVE, "How often it was set up, over all workers and attempts."),
        "setup_s": SECONDS,
        "teardown_s": SECONDS,
    }
)

_SUM = Shape(
    {
        "name": NAME,
        "unit": TEXT,
        "value": Key(NUMBER, "Over all attempts at, and repeats of, all tests."),
        "count": Key(POSITIVE, "Attempts and repeats that have recorded it."),
    }
)

_SUMMARY = Shape(
    {
        **dict.fromkeys(OUTCOMES, unread(COUNT)),
        "metrics": unread(object_of(Shape(dict.fromkeys(VERDICTS, COUNT)))),
        "sums": optional(
            list_of(object_of(_SUM, "sum")), "What metrics with reduce='sum' add up to, by name and unit."
        ),
        "makespan_s": Key(_SECONDS_OR_NULL, "First start to last end."),
        "busy_s": unread(SECONDS, "Sum over the devices."),
        "speedup": Key(_SECONDS_OR_NULL, "busy_s / makespan_s", is_needed=False),
        "efficiency": Key(_SECONDS_OR_NULL, "speedup / devices used", is_needed=False),
    }
)

_PLACEMENT = Shape(
    {
        "test": Key(TEXT_OR_NULL, "null: over all tests."),
        "metric": TEXT_OR_NULL,
        "unit": TEXT,
        "device": DEVICE_ID,
        "device_name": TEXT,
        "value": Key(NUMBER, "The mean on this device."),
        "others": Key(NUMBER, "The mean on the other devices of this kind."),
        "spread": Key(AMOUNT, "The standard deviation on one device."),
        "runs": Key(POSITIVE, "From how many runs the values are."),
        "other": optional(
            DEVICE_ID, "The other device, where there is but one: which of the two is bad cannot be told."
        ),
        "metrics": optional(
            POSITIVE,
            "Where it is about all metrics of a unit: of how many. "
            "value is then the factor by which they differ, and others 1.",
        ),
        "agree": optional(COUNT._replace(name=""), "How many of these differ at least half as far."),
    }
)

_ADVICE = Shape(
    {
        "kind": one_of(*KINDS),
        "text": Key(TEXT, "One line, for people."),
        "saves": Key(AMOUNT, "The share that it saves at most, above 0.05."),
        "of": Key(
            one_of(*SHARES),
            "Of the seconds for which devices were held, of these times the devices' memory, of the makespan, or of "
            "the time that the run would take where one test hangs.",
        ),
    }
)

REPORT = Shape(
    {
        "report_format": unread(DataType(lambda value: value == REPORT_FORMAT, {"const": REPORT_FORMAT})),
        "spec_version": unread(TEXT._replace(schema={"type": "string", "pattern": r"^1\.[0-9]+\.[0-9]+$"})),
        "run": object_of(_RUN, "run"),
        "devices": Key(list_of(object_of(_DEVICE, "device")), "The whole pool."),
        "workers": list_of(object_of(_WORKER, "worker")),
        "tests": Key(list_of(object_of(TEST, "test")), "One per collected test, in the order of collection."),
        "aggregates": Key(
            list_of(object_of(AGGREGATE, "aggregate")),
            "Metrics that are judged over many tests, one for each group of these.",
            is_needed=False,
        ),
        "fixtures": Key(
            list_of(object_of(_FIXTURE, "fixture")),
            "What tests share and was set up for them, in no test's duration; what took longest first.",
            is_needed=False,
        ),
        "advice": unread(
            list_of(object_of(_ADVICE, "advice")),
            "What could be had for less: what saves most first, then what would save time if a test hung.",
        ),
        "summary": object_of(_SUMMARY, "summary"),
        "placement": unread(
            list_of(object_of(_PLACEMENT, "placement")),
            "Metrics that differ by device more than they spread on one, over the runs on record.",
            always=False,
        ),
    }
)
"""A report, and what one of another run must have to be compared."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the report."""
    definitions: dict[str, Any] = {}
    whole = _of_shape(REPORT, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-gpupool report",
        "description": _ABOUT,
        **whole,
        "$defs": definitions,
    }


def contradiction(test: Any) -> str | None:
    """Return in words what contradicts itself in a test that is not as :data:`TEST`, None for all else."""
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


def _of_shape(shape: Shape, definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {**({"description": key.about} if key.about else {}), **_written(key.type, definitions)}
        for name, key in shape.keys.items()
    }
    required = [name for name, key in shape.keys.items() if key.is_always_written]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": properties,
        **shape.rule_schema,
    }


def _written(part: Any, definitions: dict[str, Any]) -> Any:
    """Return a part of a schema, in which what stands for a data type or a shape is what the schema says of it.

    What has a name is added to the definitions, and referred to.
    """
    match part:
        case DataType(name=""):
            return _written(part.schema, definitions)
        case DataType(name=name):
            if name not in definitions:
                definitions[name] = _written(part.schema, definitions)
            return {"$ref": f"#/$defs/{name}"}
        case Shape():
            return _of_shape(part, definitions)
        case dict():
            return {key: _written(value, definitions) for key, value in part.items()}
        case list():
            return [_written(value, definitions) for value in part]
    return part
