"""``gpupool matrix``, on what a real run of pytest has left."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.cli.main import main

SVG = "{http://www.w3.org/2000/svg}"

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
    assert list(csv.reader(io.StringIO(out))) == [["text", "length"], ["a|b", "3"], ["'=1\n", "3"]]


def test_json_has_values_and_counts(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(said(capsys, report, "--metric", "loss", "--format", "json", "--test", "test_digits"))
    assert data["rows"] == {"parameter": "lr", "values": [0.0001, 0.001], "tests": ["test_digits"] * 2}
    assert data["cols"] == {"parameter": "batch_size", "values": [32, 128]}
    assert data["cells"][0] == [None, {"mean": 1.0, "count": 2, "unit": "nats", "sd": pytest.approx(0.5**0.5)}]
    assert data["cells"][1][0] == {"mean": 0.5, "count": 1, "unit": "nats", "sd": None}
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
        ([], "--metric: say which metric; only --format long has all of them"),
        (["--format", "long", "--metric", "acc"], "no test of this report has such a metric"),
        (
            ["--metric", "loss", "--log"],
            "--log is for a chart: say where to write it with --plot=PATH.svg",
        ),
        (
            ["--metric", "loss", "--plot", "a.png"],
            "--plot=a.png: the chart is an SVG file: give a path that ends with .svg",
        ),
        (
            ["--metric", "loss", "--plot", "a.svg", "--x", "lr", "--rows", "seed"],
            "--x=lr and --rows=seed: a chart has one of them along its x axis",
        ),
        (
            ["--metric", "loss", "--plot", "a.svg", "--x", "rate"],
            "no test with this metric has a parameter 'rate'; the parameters there are: lr, batch_size, seed",
        ),
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


def test_means_with_standard_deviations(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the results of each cell; where there is one, none, but between its repeats."""
    for name in ("mean±sd", "mean+-sd"):
        assert said(capsys, report, "--metric", "loss", "--stat", name).splitlines()[2:5] == [
            "lr      batch_size=32  batch_size=128",
            "0.0001              –    1 ± 0.71 (2)",
            "0.001         0.5 (1)    1 ± 0.71 (2)",
        ]
    out = said(capsys, report, "--metric", "accuracy", "--stat", "mean±sd", "--format", "csv")
    head, first, second = csv.reader(io.StringIO(out))
    columns = ["batch_size=32", "batch_size=128"]
    assert head == ["lr", *columns, *(f"n {column}" for column in columns), *(f"sd {column}" for column in columns)]
    assert (first[1], first[3], first[5]) == ("", "0", "")
    assert float(second[5]) == pytest.approx(0.125 / 2**0.5)


def test_standard_deviations_between_repeats(cpu_host: Host) -> None:
    """Where a cell is one test that was measured several times."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest, pytest_gpupool

        @pytest.mark.gpupool(repeats=3)
        @pytest_gpupool.matrix(size=[1, 2])
        def test_it(size, gpu, record_metric): record_metric("time", size * 1e-6 * (1 + gpu.repeat), unit="s")
        """,
    )
    assert cpu_host.pytest().status == 0
    _, out, _ = gpupool(cpu_host, "matrix", "latest", "--metric", "time", "--stat", "mean±sd")
    assert out.splitlines()[2:] == ["size         time", "1     2 µs ± 1 µs", "2     4 µs ± 2 µs"]


def test_long_form_has_a_row_for_each_test_and_metric(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a column for each parameter, where there is one; numbers as they were recorded."""
    rows = list(csv.DictReader(io.StringIO(said(capsys, report, "--format", "long"))))
    assert len(rows) == 2 * 6 + 2
    first = rows[0]
    assert {name: first[name] for name in ("function", "metric", "unit", "kind", "outcome")} == {
        "function": "test_suite.py::test_digits",
        "metric": "accuracy",
        "unit": "",
        "kind": "score",
        "outcome": "passed",
    }
    assert float(first["value"]) == 0.75 + float(first["lr"]) * int(first["batch_size"]) + int(first["seed"]) / 8
    assert (first["text"], rows[-1]["text"], rows[-1]["lr"]) == ("", "'=1\n", "")
    assert [row["value"] for row in rows if row["metric"] == "loss"].count("inf") == 1
    only = said(capsys, report, "--format", "long", "--metric", "loss", "--test", "[lr=0.001-batch_size=32")
    assert [row["seed"] for row in csv.DictReader(io.StringIO(only))] == ["0", "1"]


def test_a_chart_has_a_line_for_each_value_of_the_other_parameter(
    report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Along the one that is named, with bars for the deviation; logarithmic where that is asked for."""
    path = tmp_path / "new" / "chart.svg"
    args = (report, "--metric", "accuracy", "--plot", str(path))
    assert said(capsys, *args, "--x", "batch_size") == f"gpupool: the chart is in {path}\n"
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    texts = [node.text for node in root.iter(f"{SVG}text")]
    assert {"batch_size", "lr=0.001", "lr=0.0001", "32", "128"} <= set(texts)
    lines = [line.get("points", "").split() for line in root.iter(f"{SVG}polyline")]
    assert sorted(map(len, lines)) == [1, 2]  # one combination was left out
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    plain = path.read_text(encoding="utf-8")
    said(capsys, *args, "--x", "batch_size", "--cols", "seed", "--log")
    log = path.read_text(encoding="utf-8")
    assert log != plain
    assert "seed=1" in log
    assert main(["matrix", report, "--metric", "length", "--plot", str(path), "--x", "text"]) == 0
    assert "=1\\n" in path.read_text(encoding="utf-8")
