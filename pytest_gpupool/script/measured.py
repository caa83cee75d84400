"""Measured: the metrics of a script, from the file that it has written or from the last line of its output.

A file is one JSON object, or lines of JSON. An object or line is one of

- a metric: ``{"name": "accuracy", "value": 0.91, "unit": "", "higher_is_better": true}``, the last two at will;
- a sample: ``{"id": "q17", "accuracy": 1}``, whose scores' means are metrics;
- several metrics: ``{"accuracy": 0.91, "loss": {"value": 0.3, "higher_is_better": false}}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..metrics import metric as metrics
from ..metrics.metric import Metric
from ..values.errors import MetricProblem
from ..values.texts import safe_repr
from .result import ScriptError

_ABOUT = ("kind", "unit", "higher_is_better", "n", "samples", "repeats", "atol", "rtol")
"""What may be said of a metric beside its name and value, as ``record_metric`` takes it."""

_MOST = 256 * 2**20  # bytes of a file of metrics that are read


@dataclass(slots=True)
class Measured:
    """What was found: the metrics, the first thing that was wrong with them, and what is to be said but is no error."""

    metrics: list[Metric] = field(default_factory=list)
    problem: str | None = None
    note: str | None = None


def declared(about: object) -> dict[str, dict[str, Any]]:
    """Return what a test says of its script's metrics, checked.

    Raises:
        ScriptError: a metric has a key that there is not, or a value that the key does not take.
    """
    if about is None:
        return {}
    if not isinstance(about, Mapping):
        raise ScriptError(f"metrics is a dict of metrics by name, not {safe_repr(about, 60)}")
    return {str(name): _declared(name, told) for name, told in about.items()}


def _declared(name: object, told: object) -> dict[str, Any]:
    known = ("kind", "unit", "higher_is_better", "atol", "rtol")
    if not isinstance(told, Mapping):
        raise ScriptError(f"metrics: {name} is a dict such as {{'higher_is_better': True}}, not {safe_repr(told, 60)}")
    for key in told:
        if key not in known:
            raise ScriptError(f"metrics: {name} has no key {safe_repr(key, 40)}; there are {', '.join(known)}")
    try:
        metrics.make(name, 0, **told)
    except MetricProblem as problem:
        raise ScriptError(f"metrics: {problem}") from None
    return dict(told)


def measured(file: Path, stdout: str, about: Mapping[str, Mapping[str, Any]], *, all_of_them: bool) -> Measured:
    """Return what a script has measured; ``about`` is what is :func:`declared` of it.

    With ``all_of_them`` it is a problem where one of those is missing. The last line of ``stdout`` counts where there
    is nothing in the file.
    """
    reader = _Reader(about)
    text = _content(file, reader)
    if text.strip():
        reader.read_file(text)
    elif reader.found.problem is None:
        reader.read_last_line(stdout)
    reader.finish()
    found = reader.found
    missing = [name for name in about if name not in {metric.name for metric in found.metrics}]
    if all_of_them and missing and found.problem is None:
        had = ", ".join(metric.name for metric in found.metrics) or "none"
        found.problem = f"it gave no metric {missing[0]!r}, which metrics= names; those that it gave: {had}"
        if found.note is not None:
            found.problem += f". {found.note}"
    return found


def _content(file: Path, reader: _Reader) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        reader.wrong(f"its metrics cannot be read: {error.strerror}")
        return ""
    if len(data) > _MOST:
        reader.wrong(f"its file of metrics is larger than {_MOST >> 20} MiB, and was not read")
        return ""
    return data.decode(errors="replace")


class _Reader:
    """Reads objects of JSON one after the other, and keeps what is sound of them."""

    def __init__(self, about: Mapping[str, Mapping[str, Any]]) -> None:
        self.found = Measured()
        self._about = about
        self._values: dict[str, dict[str, Any]] = {}
        self._scores: dict[str, dict[str, float]] = {}

    def wrong(self, what: str) -> None:
        """Something is wrong; the first is told."""
        self.found.problem = self.found.problem or what

    def read_file(self, text: str) -> None:
        """Read all that a script has written."""
        whole = _parsed(text)
        if isinstance(whole, dict):
            self._add("the file", whole)
            return
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                self._add_line(f"line {number}", line)

    def _add_line(self, where: str, line: str) -> None:
        value = _parsed(line)
        if isinstance(value, dict):
            self._add(where, value)
        else:
            what = "is no JSON" if value is None else "is no JSON object"
            self.wrong(f"{where} of its metrics {what}: {safe_repr(line, 80)}")

    def read_last_line(self, stdout: str) -> None:
        """Read the last line of an output, where that is an object: who prints other things too means these as well."""
        line = stdout.rstrip().rpartition("\n")[2].strip()
        if not line.startswith("{"):
            return
        value = _parsed(line)
        if not isinstance(value, dict):
            self.found.note = f"The last line of its output begins like JSON, but is none: {safe_repr(line, 80)}"
            return
        if not _is_metric(value):
            value = {name: one for name, one in value.items() if name in self._about or _is_measured(one)}
        self._add("the last line of its output", value)

    def _add(self, where: str, value: dict[str, Any]) -> None:
        try:
            if _is_metric(value):
                self._take(where, value["name"], {key: one for key, one in value.items() if key != "name"})
            elif "id" in value:
                self._take_sample(where, value)
            else:
                for name, one in value.items():
                    self._take(where, name, one if isinstance(one, dict) else {"value": one})
        except MetricProblem as problem:
            self.wrong(f"{where}: {problem}")

    def _take(self, where: str, name: Any, told: dict[str, Any]) -> None:
        if "value" not in told:
            raise MetricProblem(f"metric {name!r} has no value")
        for key in told:
            if key not in ("value", *_ABOUT):
                raise MetricProblem(f"metric {name!r} has no key {key!r}; there are value, {', '.join(_ABOUT)}")
        if name in self._values:
            raise MetricProblem(f"metric {name!r} was given before: give each its own name, once")
        metrics.make(name, **told)  # so that it is told where it stands
        self._values[name] = told

    def _take_sample(self, where: str, value: dict[str, Any]) -> None:
        scores = {name: metrics.coerce(name, one) for name, one in value.items() if name != "id"}
        if not scores:
            raise MetricProblem(f"sample {value['id']!r} has no score")
        for name, score in scores.items():
            of_metric = self._scores.setdefault(name, {})
            if str(value["id"]) in of_metric:
                raise MetricProblem(f"sample {value['id']!r} was given before")
            of_metric[str(value["id"])] = float(score)

    def finish(self) -> None:
        """All is read: make the metrics."""
        for name, scores in self._scores.items():
            told = self._values.setdefault(name, {"value": math.fsum(scores.values()) / len(scores)})
            told.setdefault("samples", scores)
        for name, told in self._values.items():
            try:
                self.found.metrics.append(metrics.make(name, **{**told, **self._about.get(name, {})}))
            except MetricProblem as problem:
                self.wrong(str(problem))


def names(found: Iterable[Metric]) -> Iterator[tuple[str, float]]:
    """Yield the names of metrics with their values."""
    return ((metric.name, metric.value) for metric in found)


def _is_metric(value: Mapping[str, Any]) -> bool:
    return "name" in value and "value" in value


def _is_measured(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, dict) and "value" in value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
