"""Recording: how a script says what it has measured, as lines of JSON in the file that ``$GPUPOOL_METRICS`` names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..metrics import metric as metrics
from ..values.errors import MetricProblem

VARIABLE = "GPUPOOL_METRICS"
"""The variable that names the file to which a script writes its metrics."""


def record_metric(name: object, value: object, **about: Any) -> None:
    """Write one metric, where somebody wants it. Raises MetricProblem; OSError where the file cannot be written."""
    made = metrics.make(name, value, **about)
    line: dict[str, Any] = {"name": made.name, "value": made.value}
    if about.get("kind") is not None:
        line["kind"] = made.kind
    if made.unit:
        line["unit"] = made.unit
    for key in ("higher_is_better", "n", "samples", "repeats", "atol", "rtol"):
        if (told := getattr(made, key)) is not None:
            line[key] = told
    if made.items is not None and made.samples is not None:
        line["samples"] = dict(zip(made.items, made.samples, strict=True))
    _append(line)


def record_item(id: object, scores: Mapping[str, object]) -> None:
    """Write the scores of one item, where somebody wants them. Raises as :func:`record_metric` does."""
    if not isinstance(id, str) or not id:
        raise MetricProblem(f"record_sample: the id of a sample is a non-empty text, not {id!r}")
    if not scores:
        raise MetricProblem(f"record_sample: {id!r} has no score: write record_sample({id!r}, accuracy=1)")
    _append({"id": id, **{name: metrics.coerce(name, value) for name, value in scores.items()}})


def _append(line: Mapping[str, Any]) -> None:
    path = os.environ.get(VARIABLE)
    if path:
        # By one call each, so that lines of several processes do not mix. NaN is a word of Python's JSON.
        data = (json.dumps(line) + "\n").encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
