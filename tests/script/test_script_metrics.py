"""What a script has measured: every form in which it may say so, and what is wrong with others."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.script.measured import Measured, declared, measured
from pytest_gpupool.script.result import ScriptError


def found(tmp_path: Path, text: str = "", stdout: str = "", **about: Any) -> Measured:
    """What is found in a file of metrics of this text, and in an output."""
    file = tmp_path / "metrics"
    file.write_text(text)
    return measured(file, stdout, declared(about), all_of_them=True)


def values(one: Measured) -> dict[str, float]:
    """The metrics by name."""
    assert one.problem is None, one.problem
    return {metric.name: metric.value for metric in one.metrics}


@pytest.mark.parametrize(
    "text",
    [
        '{"accuracy": 0.5, "loss": 2}',
        '{\n  "accuracy": {"value": 0.5},\n  "loss": 2\n}\n',
        '{"name": "accuracy", "value": 0.5}\n\n{"name": "loss", "value": 2}\n',
        '{"accuracy": 0.5}\n{"name": "loss", "value": 2}',
        '{"id": "a", "accuracy": 1}\n{"id": "b", "accuracy": 0, "loss": 2}',
    ],
)
def test_every_form_of_a_file(tmp_path: Path, text: str) -> None:
    """An object of metrics, lines that are metrics or samples, and any mixture."""
    assert values(found(tmp_path, text)) == {"accuracy": 0.5, "loss": 2}


def test_samples_are_kept(tmp_path: Path) -> None:
    """In their order, also of a metric whose value is given by itself."""
    text = '{"id": "a", "f1": 0.5}\n{"id": "b", "f1": 1}\n{"name": "f1", "value": 0.7, "kind": "score", "unit": "x"}'
    (metric,) = found(tmp_path, text).metrics
    assert (metric.value, metric.samples, metric.n, metric.unit) == (0.7, (0.5, 1.0), 2, "x")
    assert metric.items == ("a", "b")  # by which they are paired


def test_the_last_line_of_the_output(tmp_path: Path) -> None:
    """What is no number in it is no metric; it counts only where there is no file."""
    stdout = 'epoch 1\n{"accuracy": 0.5, "model": "a", "tags": [1], "time": {"value": 3, "unit": "s"}}\n\n'
    assert values(found(tmp_path, stdout=stdout)) == {"accuracy": 0.5, "time": 3}
    assert values(found(tmp_path, '{"loss": 1}', stdout)) == {"loss": 1}
    assert values(found(tmp_path, stdout='{"accuracy": 0.5}\ndone')) == {}


def test_what_the_test_says_of_a_metric_holds(tmp_path: Path) -> None:
    """More than what the script says."""
    text = '{"accuracy": {"value": 0.5, "higher_is_better": false}}'
    (metric,) = found(tmp_path, text, accuracy={"higher_is_better": True, "kind": "proportion", "atol": 0.1}).metrics
    assert (metric.kind, metric.higher_is_better, metric.atol) == ("proportion", True, 0.1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"accuracy": 0.5}\n{"loss": 0.', "line 2 of its metrics is no JSON: "),
        ('{"accuracy": 0.5}\n[1]', "line 2 of its metrics is no JSON object: "),
        ('{"accuracy": 0.5, "loss": "low"}', "the file: metric 'loss': a str is not a number"),
        ('{"accuracy": 0.5, "loss": null}', "the file: metric 'loss': a NoneType is not a number"),
        ('{"accuracy": 0.5}\n{"id": "a", "f1": "x"}', "line 2: metric 'f1': a str is not a number"),
        ('{"accuracy": 0.5}\n{"id": "a"}', "line 2: sample 'a' has no score"),
        ('{"accuracy": 0.5}\n{"id": "a", "f1": 1}\n{"id": "a", "f1": 1}', "line 3: sample 'a' was given before"),
        ('{"accuracy": 0.5}\n{"name": "accuracy", "value": 1}', "line 2: metric 'accuracy' was given before"),
        ('{"accuracy": 0.5}\n{"name": "f", "value": 1, "units": "s"}', "line 2: metric 'f' has no key 'units'"),
        ('{"accuracy": 0.5}\n{"name": "f", "value": 1, "n": 0}', "line 2: metric 'f': n is the number of items"),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_kept(tmp_path: Path, text: str, told: str) -> None:
    """With its line."""
    one = found(tmp_path, text)
    assert one.problem is not None
    assert one.problem.startswith(told)
    assert next(metric.value for metric in one.metrics if metric.name == "accuracy") == 0.5


def test_nan_is_kept_for_the_verdict(tmp_path: Path) -> None:
    """As of record_metric: an invalid metric fails its test."""
    assert math.isnan(values(found(tmp_path, '{"loss": NaN}'))["loss"])


def test_a_metric_of_a_kind_has_its_range(tmp_path: Path) -> None:
    """A proportion above 1 is none."""
    one = found(tmp_path, '{"accuracy": 91.0}', accuracy={"kind": "proportion"})
    assert one.problem is not None
    assert "metric 'accuracy': a proportion is from 0 to 1, not 91.0; give unit='%'" in one.problem
    one = found(tmp_path, '{"t": -1}', t={"kind": "time"})
    assert one.problem == "metric 't': a time is not below 0, as -1 is"


def test_half_a_line_of_output(tmp_path: Path) -> None:
    """It is said, and an error where a metric is missing for it."""
    line = '{"accuracy": 0.'
    one = found(tmp_path, stdout=line)
    assert one.problem is None
    assert one.note == f"The last line of its output begins like JSON, but is none: {line!r}"
    one = found(tmp_path, stdout=line, accuracy={})
    assert one.problem is not None
    assert one.problem.startswith("it gave no metric 'accuracy', which metrics= names; those that it gave: none. The")


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ([1], "metrics is a dict of metrics by name"),
        ({"a": 1}, "metrics: a is a dict such as"),
        ({"a": {"higher": True}}, "metrics: a has no key 'higher'; there are kind, unit, higher_is_better, atol, rtol"),
        ({"a": {"higher_is_better": 1}}, "metrics: metric 'a': higher_is_better is True, False or None, not 1"),
        ({"a": {"kind": "ratio"}}, "metrics: metric 'a': kind is one of proportion, .*, not 'ratio'"),
    ],
)
def test_wrong_words_about_metrics(about: Any, told: str) -> None:
    """They are refused before the start."""
    with pytest.raises(ScriptError, match=told):
        declared(about)


RECORDS = """
from pytest_gpupool import script
script.record("accuracy", 0.5, higher_is_better=True, samples=[1, 0])
script.record("loss", float("nan"), unit="nats")
script.record_sample("a", f1=1)
try:
    script.record("bad", "text")
except Exception as error:
    print(type(error).__name__)
import sys
print([name for name in ("pytest", "torch", "numpy") if name in sys.modules])
"""


@pytest.mark.parametrize("within", [True, False], ids=["in a test", "alone"])
def test_a_script_records_with_and_without_a_test(tmp_path: Path, within: bool) -> None:
    """Without one it does nothing, but says all the same what is no metric."""
    file = tmp_path / "metrics"
    environ = {"GPUPOOL_METRICS": str(file)} if within else {}
    done = subprocess.run([sys.executable, "-c", RECORDS], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["MetricProblem", "[]"]
    assert file.exists() is within
    if within:
        one = measured(file, "", {}, all_of_them=True)
        about = {metric.name: (metric.unit, metric.higher_is_better, metric.n) for metric in one.metrics}
        assert about == {"accuracy": ("", True, 2), "loss": ("nats", None, None), "f1": ("", None, 1)}
        assert json.loads(file.read_text().splitlines()[0]) == {
            "name": "accuracy",
            "value": 0.5,
            "higher_is_better": True,
            "n": 2,
            "samples": [1.0, 0.0],
        }
