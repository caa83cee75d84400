"""'gpupool history TEST METRIC' on what runs of pytest have left."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.processes.cpu.model import model
from pytest_gpupool.verdicts.baselines.baseline import cpu_kind

CPU = cpu_kind(model())

SUITE = """
    from pathlib import Path

    LATER = Path("later").exists()

    def test_model(record_metric):
        record_metric("accuracy", 0.9 if LATER else 0.8, unit="%", higher_is_better=True)
        record_metric("loss", float("nan") if LATER else 1.5)
    def test_model_large(record_metric): record_metric("accuracy", 0.5)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two runs, of which the second one has a test that failed; no test below changes what is on record."""
    host = Host(tmp_path_factory.mktemp("kept"), None)
    host.write("test_suite.py", SUITE)
    assert host.pytest().status == 0
    host.write("later", "")
    assert host.pytest().status == 1
    yield host
    assert not host.processes()


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r"  +", line)


class TestRealRuns:
    """What users see after two runs."""

    def test_as_a_table(self, host: Host) -> None:
        """The oldest value first; the last line is over all of them."""
        status, out, err = gpupool(host, "history", "test_suite.py::test_model", "accuracy")
        assert (status, err) == (0, "")
        title, _, head, *rows, _, summary = out.splitlines()
        assert title == "test_suite.py::test_model  accuracy  (higher is better)"
        assert cells(head) == ["RUN", "WHEN (UTC)", "COMMIT", "DEVICE", "VALUE", "CHANGE", "VERDICT"]
        ids = sorted(path.name for path in (host.project / ".gpupool" / "runs").iterdir())
        assert [cells(row)[0] for row in rows] == ids
        assert [cells(row)[2:] for row in rows] == [["–", CPU, "0.8 %"], ["–", CPU, "0.9 %", "+12.5%"]]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", cells(rows[0])[1])
        assert cells(summary) == [CPU, "min 0.8 %", "median 0.85 %", "max 0.9 %", "(2 values)"]

    def test_what_is_not_finite(self, host: Host) -> None:
        """It is shown, and its verdict; the median is of the rest. A part of the test's id is enough."""
        status, out, _ = gpupool(host, "history", "test_model", "loss")
        *_, first, last, _, summary = out.splitlines()
        assert status == 0
        assert (cells(first)[4:], cells(last)[4:]) == (["1.5"], ["nan", "invalid"])
        assert cells(summary) == [CPU, "min 1.5", "median 1.5", "max 1.5", "(2 values)"]

    def test_several_tests(self, host: Host) -> None:
        """They are named."""
        assert gpupool(host, "history", "model", "accuracy") == (
            4, "", "gpupool: 2 tests with the metric 'accuracy' match 'model'; give more of it:\n"
            "  test_suite.py::test_model\n  test_suite.py::test_model_large\n",
        )  # fmt: skip
