"""``gpupool matrix``, on what a real run of pytest has left."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.cli.main import main

SUITE = """
    import pytest
    import pytest_gpupool

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest_gpupool.matrix(lr=[1e-3, 1e-4], batch_size=[128, 32], exclude=[{"lr": 1e-4, "batch_size": 32}])
    def test_digits(lr, batch_size, seed, record_metric):
        record_metric("accuracy", 0.75 + lr * batch_size + seed / 8, higher_is_better=True)
        record_metric("loss", float("inf") if seed and batch_size == 32 else seed + 0.5, unit="nats")

    @pytest_gpupool.matrix(text=["a|b", "=1\\n"])
    def test_texts(text, record_metric): record_metric("length", len(text))
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host on which a run was; no test below changes what it has left."""
    host = Host(tmp_path_factory.mktemp("matrix"), None)
    host.write("test_suite.py", SUITE)
    run = host.pytest("-n2")
    assert (run.status, len(run.tests)) == (1, 8), run.output
    return host


@pytest.fixture
def report(host: Host) -> str:
    return str(host.project / "report.json")


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What the program prints, where all is well."""
    assert main(["matrix", *args]) == 0
    return capsys.readouterr().out


def test_a_table_for_the_terminal(host: Host) -> None:
    """Aligned, with the numbers of the run on record; the caption says what means are over, and how many."""
    status, out, err = gpupool(host, "matrix", "latest", "--metric", "accuracy", "--rows", "lr", "--cols", "batch_size")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "accuracy by lr and batch_size: means over 2 results each (seed: 2 values)",
        "",
        "lr      batch_size=32  batch_size=128",
        "0.0001              –          0.8253",
        "0.001          0.8445          0.9405",
        "",
        "note: some results are of tests that did not pass: 1 failed",
    ]


def test_counts_that_differ_are_told_cell_by_cell(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a note on what was left out, and on tests that failed."""
    assert said(capsys, report, "--metric", "loss").splitlines() == [
        "loss in nats by lr and batch_size: means over 1 to 2 results (seed: 2 values)",
        "",
        "lr      batch_size=32  batch_size=128",
        "0.0001              –           1 (2)",
        "0.001         0.5 (1)           1 (2)",
        "",
        "note: left out: 1 of 6 results, not finite",
        "note: some results are of tests that did not pass: 1 failed",
    ]


def test_markdown_is_a_table_whatever_is_in_it(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, report, "--metric", "length", "--format", "markdown").splitlines() == [
        "length by text: one result each",
        "",
        "| text | length |",
        "| --- | ---: |",
        "| a&#124;b | 3 |",
        "| =1&#92;n | 3 |",
    ]


def test_csv_has_means_and_counts(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every digit, nothing where there is no result; the caption is on the other stream."""
    assert main(["matrix", report, "--metric", "accuracy", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    head, first, second = csv.reader(io.StringIO(out))
    assert head == ["lr", "batch_size=32", "batch_size=128", "n batch_size=32", "n batch_size=128"]
    assert (first[:2], first[3:], second[0], second[3:]) == (["0.0001", ""], ["0", "2"], "0.001", ["2", "2"])
    assert [float(one) for one in (first[2], *second[1:3])] == pytest.approx([0.8253, 0.8445, 0.9405])
    assert err.splitlines() == [
        "gpupool: accuracy by lr and batch_size: means over 2 results each (seed: 2 values)",
        "gpupool: some results are of tests that did not pass: 1 failed",
    ]


def test_csv_of_single_results_has_no_counts(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, report, "--metric", "length", "--format", "csv")
    assert list(csv.reader(io.StringIO(out))) == [["text", "length"], ["a|b", "3"], ["=1\n", "3"]]


def test_json_has_values_and_counts(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(said(capsys, report, "--metric", "loss", "--format", "json", "--test", "test_digits"))
    assert data["rows"] == {"parameter": "lr", "values": [0.0001, 0.001], "tests": ["test_digits"] * 2}
    assert data["cols"] == {"parameter": "batch_size", "values": [32, 128]}
    assert data["cells"][0] == [None, {"mean": 1.0, "count": 2, "unit": "nats"}]
    assert data["cells"][1][0] == {"mean": 0.5, "count": 1, "unit": "nats"}
    assert (data["metric"], data["means_over"], len(data["notes"])) == ("loss", {"seed": 2}, 2)


def test_columns_alone_are_one_row(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, report, "--metric", "accuracy", "--cols", "seed").splitlines()[2:4] == [
        "seed=0  seed=1",
        "0.8076  0.9326",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--metric", "acc"], "no test recorded a metric 'acc'; the metrics there are: accuracy, loss, length"),
        (
            ["--metric", "loss", "--rows", "rate"],
            "no test with this metric has a parameter 'rate'; the parameters there are: lr, batch_size, seed",
        ),
        (["--metric", "loss", "--test", "_texts"], "no test recorded a metric 'loss'; the metrics there are: length"),
        (["--metric", "loss", "--test", "nowhere"], "no test of this report has 'nowhere' in its id"),
    ],
)
def test_what_is_not_there_is_exit_4_with_what_there_is(
    report: str, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    assert main(["matrix", report, *args]) == 4
    assert capsys.readouterr() == ("", f"gpupool: {message}\n")


@pytest.mark.parametrize("damage", [{"tests": [{}]}, {"report_format": "other"}])
def test_a_damaged_report_is_exit_4(
    report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: dict[str, Any]
) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps(json.loads(Path(report).read_text()) | damage))
    assert main(["matrix", str(damaged), "--metric", "loss"]) == 4
    assert str(damaged) in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_a_text_that_cannot_be_written_is_shown_all_the_same(
    report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """A lone surrogate, as in a damaged file name, which no UTF-8 can have."""
    data = json.loads(Path(report).read_text())
    data["tests"] = [test | {"params": {"text": "\ud800"}} for test in data["tests"]]
    (tmp_path / "odd.json").write_text(json.dumps(data))
    assert "ud800" in said(capsys, str(tmp_path / "odd.json"), "--metric", "length", "--rows", "text", "--format", form)
