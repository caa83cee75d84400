"""Plans: the shapes of what a run knows before its first test."""

from __future__ import annotations

from collections.abc import Mapping

from ..datatypes import (
    BYTES_OR_NULL,
    COUNT,
    DEVICE_ID,
    FLAG,
    TEXT,
    TEXT_OR_NULL,
    TIMESTAMP,
    WHOLE,
    DataType,
    Key,
    Shape,
    object_of,
    one_of,
    or_null,
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
