"""Whatever a test records under ``-n``: its exact value is in both reports, or that one test fails and says which."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping

import pytest
from support import Host, Run

KEPT: dict[str, tuple[str, int | float]] = {
    "negative zero": ("-0.0", -0.0),
    "int": ("-7", -7),
    "int beyond 2**53": ("2**53 + 1", 2**53 + 1),
    "10**30": ("10**30", 10**30),
    "10**400": ("-10**400", -(10**400)),
    "longest int": ("10**4299", 10**4299),
    "true": ("True", 1),
    "float": ("0.1", 0.1),
    "smallest float": ("5e-324", 5e-324),
    "largest float": ("1.7976931348623157e308", 1.7976931348623157e308),
    "subclass of int": ("Count(3)", 3),
    "subclass of float": ("Celsius(36.6)", 36.6),
    "IntEnum": ("Level.HIGH", 3),
    "Enum of a float": ("Rate.HALF", 0.5),
    "Enum of a scalar": ("Rate.SCALAR", 0.25),
    "Decimal": ("Decimal('0.1')", 0.1),
    "Fraction": ("Fraction(1, 3)", 1 / 3),
    "numpy.bool": ("np.bool_(True)", 1),
    "numpy.int64": ("np.int64(2**62 + 1)", 2**62 + 1),
    "numpy.uint64": ("np.uint64(2**64 - 1)", 2**64 - 1),
    "numpy.float16": ("np.float16(0.1)", 0.0999755859375),
    "numpy.float32": ("np.float32(0.1)", 0.10000000149011612),
    "numpy.float64": ("np.float64(0.1)", 0.1),
    "numpy.longdouble": ("np.longdouble(1.5)", 1.5),
    "0-d array": ("np.array(2.5)", 2.5),
    "array of one element": ("np.array([3])", 3),
    "array of one huge int": ("np.array(10**400, dtype=object)", 10**400),
    "masked array of one number": ("np.ma.array([5], mask=[False])", 5),
}
"""Expressions of numbers, and the plain number that each is."""

NOT_FINITE = {
    "nan": ("math.nan", "nan"),
    "inf": ("math.inf", "inf"),
    "minus inf": ("-math.inf", "-inf"),
    "Decimal nan": ("Decimal('NaN')", "nan"),
    "numpy.float32 nan": ("np.float32('nan')", "nan"),
    "array of -inf": ("np.array([-np.inf])", "-inf"),
}
"""Expressions of what is no finite number, and its name in reports."""

REFUSED = {
    "None": "None",
    "text": "'0.9'",
    "lone surrogate": "'0.9' + chr(0xD800)",
    "bytes": "b'1'",
    "complex": "1j",
    "complex without imaginary part": "np.complex64(1)",
    "array of several elements": "np.zeros(3)",
    "array of none": "np.zeros(0)",
    "array of a text": "np.array('0.9')",
    "10**5000": "10**5000",
    "array of 10**5000": "np.array(10**5000, dtype=object)",
    "fraction beyond floats": "Fraction(10**400)",
    "decimal beyond floats": "Decimal('1e400')",
    "longdouble beyond floats": "np.longdouble('1e4000')",
    "masked": "np.ma.masked",
    "mean of what is masked": "np.ma.array([1.0, 2.0], mask=True).mean()",
    "timedelta of seconds": "np.timedelta64(5, 's')",
    "timedelta of nanoseconds": "np.timedelta64(5, 'ns')",
    "datetime of nanoseconds": "np.datetime64('2026-01-01', 'ns')",
    "item() raises": "Broken()",
    "item raises": "Closed()",
    "class raises": "Unbound()",
    "float() raises": "NoFloat(1.5)",
    "int() raises": "NoInt(3)",
}
"""Expressions of what is no number, or none that a report could hold."""

SUITE = """
    import enum, math
    from decimal import Decimal
    from fractions import Fraction
    import numpy as np
    import pytest
    {imports}

    def fail(*_): raise RuntimeError("no")

    class Level(enum.IntEnum): HIGH = 3
    class Rate(enum.Enum): HALF, SCALAR = 0.5, np.float32(0.25)
    class Count(int): pass
    class Celsius(float): pass
    class NoInt(int): __int__ = fail
    class NoFloat(float): __float__ = fail
    class Broken: shape, item = (), fail
    class Closed: item = property(fail)
    class Unbound: __class__ = property(fail)

    VALUES = {values}

    @pytest.mark.parametrize("kind", VALUES)
    def test_value(kind, record_metric, record_property):
        record_property("beside", {beside})
        record_metric(kind, eval(VALUES[kind]))
"""

TORCH_KEPT: dict[str, tuple[str, int | float]] = {
    "float32": ("torch.tensor(0.1)", 0.10000000149011612),
    "float64": ("torch.tensor(0.1, dtype=torch.float64)", 0.1),
    "bfloat16": ("torch.tensor(0.1, dtype=torch.bfloat16)", 0.10009765625),
    "int64": ("torch.tensor(2**62 + 1)", 2**62 + 1),
    "bool": ("torch.tensor(True)", 1),
    "one element": ("torch.tensor([[3]])", 3),
    "with a gradient": ("torch.tensor(2.0, requires_grad=True) * 2", 4.0),
    "parameter": ("torch.nn.Parameter(torch.ones(()))", 1.0),
}

TORCH_REFUSED = {
    "several elements": "torch.zeros(3)",
    "none": "torch.zeros(0)",
    "complex": "torch.tensor(1j)",
    "on no device": "torch.empty((), device='meta')",
}


def recorded(
    host: Host, *tables: Mapping[str, str | tuple[str, object]], workers: str, imports: str, beside: str
) -> Run:
    """A run in which each expression is a test that records its value by the name of its kind, and a property."""
    values = {kind: row if isinstance(row, str) else row[0] for table in tables for kind, row in table.items()}
    host.write("test_suite.py", SUITE.format(values=values, imports=imports, beside=beside))
    return host.pytest(workers)


@pytest.fixture(scope="module", params=["-n2", "-n0"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that records all values, on two workers and on none."""
    host, tables = Host(tmp_path_factory.mktemp("values"), None), (KEPT, NOT_FINITE, REFUSED)
    return recorded(host, *tables, workers=request.param, imports="", beside="np.float32(0.5)")


@pytest.fixture(scope="module")
def torch_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that records values of torch, on two workers."""
    pytest.importorskip("torch")
    host, tables = Host(tmp_path_factory.mktemp("torch"), None), (TORCH_KEPT, TORCH_REFUSED)
    return recorded(host, *tables, workers="-n2", imports="import torch", beside="torch.tensor(0.5)")


def assert_kept(run: Run, kind: str, value: float) -> None:
    """Fails unless both reports have exactly this value, and the test passed."""
    name = f"test_value[{kind}]"
    assert (run.outcomes[name], run.tests[name]["message"]) == ("passed", None)
    (metric,) = run.tests[name]["metrics"]
    assert (metric["name"], repr(metric["value"])) == (kind, repr(value))
    assert run.junit[name][f"gpupool.metric.{kind}"] == str(value)
    assert run.junit_outcomes[name] == "passed"


def assert_refused(run: Run, kind: str) -> None:
    """Fails unless the test failed with the metric's name and neither report has a value."""
    name = f"test_value[{kind}]"
    assert (run.outcomes[name], run.junit_outcomes[name]) == ("failed", "failure")
    assert run.tests[name]["metrics"] == []
    assert f"gpupool.metric.{kind}" not in run.junit[name]
    assert f"metric {kind!r}: " in run.tests[name]["message"]


def assert_unharmed(run: Run, kinds: Iterable[str]) -> None:
    """Fails unless each kind has one result and one testcase, with the property that was given beside the metric."""
    names = sorted(f"test_value[{kind}]" for kind in kinds)
    about = run.report["run"]
    assert (run.status, about["collected"], about["finished"], about["complete"]) == (1, len(names), len(names), True)
    assert sorted(test["nodeid"] for test in run.report["tests"]) == [f"test_suite.py::{name}" for name in names]
    assert sorted(cases_of(run)) == names
    assert {properties.get("beside") for properties in run.junit.values()} == {"0.5"}
    assert "INTERNALERROR" not in run.output
    assert set(run.exits.values()) <= {"finished", "cancelled"}


def cases_of(run: Run) -> list[str]:
    """The name of every testcase of the JUnit file."""
    cases = ElementTree.parse(run.directory / "junit.xml").getroot().iter("testcase")
    return [str(case.get("name")) for case in cases]


@pytest.mark.parametrize("kind", KEPT)
def test_a_number_is_kept_exactly(run: Run, kind: str) -> None:
    """Neither its type, nor its size, nor a float's last bit or sign is lost on the way to a report."""
    assert_kept(run, kind, KEPT[kind][1])


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_what_is_not_finite_is_kept_by_name(run: Run, kind: str) -> None:
    """It is null in JSON, and fails its test as invalid."""
    name, word = f"test_value[{kind}]", NOT_FINITE[kind][1]
    assert (run.outcomes[name], run.junit_outcomes[name]) == ("failed", "failure")
    (metric,) = run.tests[name]["metrics"]
    assert (metric["value"], metric["non_finite"], metric["verdict"]) == (None, word, "invalid")
    assert run.junit[name][f"gpupool.metric.{kind}"] == word
    assert run.tests[name]["message"] == f"{kind} {word} is invalid: it is not finite"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number_fails_its_test_by_name(run: Run, kind: str) -> None:
    """Nothing of it is in a report but the failure, which names the metric."""
    assert_refused(run, kind)


def test_no_value_harms_another_test(run: Run) -> None:
    """Whatever NumPy and Python have."""
    assert_unharmed(run, [*KEPT, *NOT_FINITE, *REFUSED])


@pytest.mark.parametrize("kind", TORCH_KEPT)
def test_a_torch_scalar_is_kept_exactly(torch_run: Run, kind: str) -> None:
    """Of any type and shape with one element, with a gradient or without."""
    assert_kept(torch_run, kind, TORCH_KEPT[kind][1])


@pytest.mark.parametrize("kind", TORCH_REFUSED)
def test_a_tensor_that_is_no_number_fails_its_test_by_name(torch_run: Run, kind: str) -> None:
    """Because of its shape, its type, or its device."""
    assert_refused(torch_run, kind)


def test_no_tensor_harms_another_test(torch_run: Run) -> None:
    """Whatever torch has."""
    assert_unharmed(torch_run, [*TORCH_KEPT, *TORCH_REFUSED])


def test_lone_surrogates_in_texts_cost_one_test_each(cpu_host: Host) -> None:
    """A name or a unit with one fails its test and is shown escaped; elsewhere a report holds its escape."""
    cpu_host.write(
        "test_suite.py",
        """
        import numpy as np
        import pytest

        @pytest.fixture(autouse=True)
        def beside(record_property): record_property("beside", np.int64(7))

        def test_name(record_metric): record_metric("loss\\ud800", 1)
        def test_unit(record_metric): record_metric("loss", 1, unit="\\udfff")
        def test_property(record_property): record_property("text", "\\ud800")
        def test_message(record_metric):
            record_metric("loss", 1)
            assert False, "\\ud800"
        @pytest.mark.parametrize("text", ["\\ud800"])
        def test_parameter(text, record_metric): record_metric(np.str_("loss"), np.float32(0.5), unit=np.str_("s"))
        """,
    )
    run = cpu_host.pytest("-n2")
    good, bad = {"test_property": "passed"}, dict.fromkeys(("test_name", "test_unit", "test_message"), "failed")
    (parameter,) = set(run.outcomes) - {*good, *bad}
    assert run.outcomes == {parameter: "passed", **good, **bad}, run.output
    assert "U+D800, a character that cannot be printed" in run.tests["test_name"]["message"]
    assert run.tests["test_unit"]["message"].startswith("metric 'loss': unit is a text")
    assert run.tests["test_unit"]["message"].endswith(r"not '\udfff'")
    assert run.tests[parameter]["params"] == {"text": "\ud800"}
    assert (run.metrics(parameter), run.metrics("test_message")) == ({"loss": 0.5}, {"loss": 1})
    assert len(cases_of(run)) == 5
    assert {properties["beside"] for properties in run.junit.values()} == {"7"}


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_a_test_that_may_print_longer_ints_costs_no_other(cpu_host: Host, workers: str) -> None:
    """Where a test lifts Python's limit, its huge int is still refused: a reader of the report has that limit."""
    cpu_host.write(
        "test_suite.py",
        """
        import sys

        def test_huge(record_metric):
            sys.set_int_max_str_digits(0)
            record_metric("huge", 10**5000)

        def test_fine(): pass
        """,
    )
    run = cpu_host.pytest(workers)
    assert run.outcomes == {"test_huge": "failed", "test_fine": "passed"}
    assert "metric 'huge': " in run.tests["test_huge"]["message"]
    assert sorted(cases_of(run)) == ["test_fine", "test_huge"]


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
@pytest.mark.parametrize("given", ["'\\ud800', 1", "'huge', 10**5000"], ids=["name", "int"])
def test_a_property_that_pytest_cannot_write_costs_the_junit_file(cpu_host: Host, given: str, workers: str) -> None:
    """At most: the JSON report is written all the same, and has every test."""
    cpu_host.write("test_suite.py", f"def test_odd(record_property): record_property({given})\ndef test_fine(): pass\n")
    run = cpu_host.pytest(workers)
    assert set(run.outcomes) == {"test_odd", "test_fine"}
    assert set(run.outcomes.values()) <= {"passed", "not-run"}
    assert run.status != 0 or len(cases_of(run)) == 2
