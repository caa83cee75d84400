"""The report's schema: what a report says satisfies it, and what says anything else does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from made_reports import a_metric, a_report, a_test
from sample_report import a_run

from pytest_gpupool.records.datatypes import Shape
from pytest_gpupool.reports.json import schema_text
from pytest_gpupool.reports.schema import REPORT, SPEC_VERSION, TEST, contradiction, schema

SCHEMA = jsonschema.Draft202012Validator(schema())

PLACEMENT = {
    "test": None, "metric": None, "unit": "s", "device": "GPU-1", "device_name": "NVIDIA H200", "value": 1.1,
    "others": 1.0, "spread": 0.01, "runs": 5, "other": "GPU-2", "metrics": 6, "agree": 5,
}  # fmt: skip


def a_whole_report() -> dict[str, Any]:
    """A report that has every key that a report may have."""
    metric = a_metric(
        baseline=0.6,
        change=-0.1,
        allowed=0.01,
        detectable=0.02,
        others=["CPU"],
        note="",
        n=1,
        samples=[0.5],
        verdict="ok",
    )
    test = a_test(
        metrics=[metric, a_metric("loss", None)],
        judged=True,
        device_kind="CPU",
        output={"stdout": "", "stderr": "", "log": ""},
    )
    worker = {
        "id": "gw0", "host": None, "pid": None, "devices": ["cpu:0"], "lease_wait_s": None, "started": None,
        "ended": None, "exit": None,
    }  # fmt: skip
    return a_report(test) | {"workers": [worker], "placement": [PLACEMENT]}


WHOLE = a_whole_report()


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to every value of a report, but into what may be anything."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        if key not in ("params", "software"):
            yield from places(inner, *path, key)


PLACES = list(places(WHOLE))


def changed(path: tuple[str | int, ...], change: str) -> dict[str, Any]:
    """The whole report with one value missing, or another one, or with a key beside it that no report has."""
    report: Any = copy.deepcopy(WHOLE)
    holder = report
    for key in path[:-1]:
        holder = holder[key]
    match change:
        case "missing":
            del holder[path[-1]]
        case "another":
            holder[path[-1]] = {"a": {}}
        case "more":
            holder["more"] = 1
    whole: dict[str, Any] = report
    return whole


def test_it_is_a_schema() -> None:
    """Of the draft that it names, and printed as it is."""
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(schema_text()) == schema()
    assert WHOLE["spec_version"] == SPEC_VERSION


@pytest.mark.parametrize(
    "report", [WHOLE, a_report(), a_report(a_test()), a_run()], ids=["whole", "none", "one", "run"]
)
def test_what_is_a_report_to_others_is_one_to_us(report: dict[str, Any]) -> None:
    """A valid report can be read and compared."""
    SCHEMA.validate(report)
    assert REPORT.fits(report)
    assert REPORT.first_wrong(report) is None


@pytest.mark.parametrize("path", [path for path in PLACES if isinstance(path[-1], str)], ids=str)
def test_a_key_is_missing_only_where_it_may_be(path: tuple[str | int, ...]) -> None:
    """What every report has can be relied on."""
    may_be_missing = {
        *("placement", "other", "metrics", "agree", "judged", "device_kind", "output", "stdout", "stderr", "log"),
        *("samples", "allowed", "detectable", "others", "note"),
    }
    expected = path[-1] in may_be_missing and path not in {("tests", 0, "metrics"), ("placement", 0, "others")}
    expected |= path[0] == "devices" and path[-1] == "host"
    assert SCHEMA.is_valid(changed(path, "missing")) == (expected and path != ("summary", "metrics"))


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_every_value_has_a_type(path: tuple[str | int, ...]) -> None:
    """But for parameters, which may be anything that JSON can write."""
    assert SCHEMA.is_valid(changed(path, "another")) == (path[-1] == "params")


@pytest.mark.parametrize("path", [path for path in PLACES if isinstance(path[-1], str)], ids=str)
def test_no_object_has_keys_that_are_not_told(path: tuple[str | int, ...]) -> None:
    """What is new is a new version of the report."""
    assert not SCHEMA.is_valid(changed(path, "more"))


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"non_finite": "nan"},
        {"value": None, "non_finite": "nan"},
        {"value": float("nan"), "non_finite": "nan"},
        {"n": 0},
        {"n": True},
        {"rtol": -1},
        {"verdict": "fine"},
        {"samples": ["nan", "none"]},
    ],
    ids=str,
)
def test_a_metric_that_says_two_things_is_refused(change: dict[str, Any]) -> None:
    """By the schema and by our reader alike."""
    report = copy.deepcopy(WHOLE)
    report["tests"][0]["metrics"][0].update(change)
    assert not REPORT.fits(report)
    assert not SCHEMA.is_valid(report)


def test_a_report_is_read_by_what_matters_to_a_reader() -> None:
    """Of a newer version, or of an older one, it need not satisfy the schema."""
    report = copy.deepcopy(WHOLE)
    report["more"] = 1
    report["tests"][0]["more"] = 1
    del report["tests"][0]["phases"], report["run"]["engine"], report["tests"][0]["metrics"][0]["baseline"]
    assert not SCHEMA.is_valid(report)
    assert REPORT.fits(report)


def test_the_first_thing_that_is_wrong_is_named() -> None:
    """Whether it is missing, or something else than it must be."""
    assert REPORT.first_wrong({**WHOLE, "devices": [{"id": "GPU-1"}], "tests": None}) == "devices"
    assert REPORT.first_wrong({key: value for key, value in WHOLE.items() if key != "summary"}) == "summary"


def test_a_contradiction_in_a_test_is_told() -> None:
    """Those that people make when they edit a report."""
    twice = a_test(metrics=[a_metric(), a_metric()])
    assert not TEST.fits(twice)
    assert contradiction(twice) == "it has the metric 'accuracy' more than once"
    assert contradiction(a_test(metrics=[a_metric(n=3, samples=[1])])) == "its metric 'accuracy' has n=3, but 1 samples"
    assert contradiction(a_test()) is None


def test_every_shape_is_declared_once() -> None:
    """What is defined under a name is referred to, and each name has one definition."""
    text = schema_text()
    names = schema()["$defs"]
    assert {"run", "device", "worker", "test", "metric", "summary", "placement"} <= names.keys()
    assert all(f'"#/$defs/{name}"' in text for name in names)
    assert isinstance(REPORT, Shape)
