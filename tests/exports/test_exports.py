"""Exports: a run's results as other programs read them."""

from __future__ import annotations

import csv
import errno
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reports import Report, a_metric, a_report, a_test
from sample_report import a_run

from pytest_gpupool.cli.items import formats
from pytest_gpupool.cli.main import main
from pytest_gpupool.exports import exporters
from pytest_gpupool.exports.tracking import names, tracked
from pytest_gpupool.items.source import Source
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.values.texts import cell, epoch

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def report() -> Report:
    """A large run, with names that may be anything; a test has facts, another an integer of any size."""
    report = a_run()
    report["tests"][6]["facts"] = {"checkpoint": "step-4000"}
    report["tests"][7]["metrics"].append(a_metric("huge", 2**2000))
    report["tests"][8]["metrics"].append(a_metric("odd", None))
    report["tests"][9]["waited_s"] = 0.005
    return report


@pytest.fixture
def source(report: Report, tmp_path: Path) -> Path:
    """Its file."""
    path = tmp_path / "report.json"
    report = {**report, "tests": [{k: v for k, v in test.items() if k != "facts"} for test in report["tests"]]}
    path.write_text(json.dumps(report))
    return path


def exported(name: str, report: Report, path: Path, per: str = "suite", files: dict[str, Path] | None = None) -> str:
    """Export it; what people are told."""
    return exporters.export(name, report, exporters.Order(output=path, per=per, files=files or {}))


def test_csv_has_a_row_per_metric(report: Report, tmp_path: Path) -> None:
    """And one for a test without; parameters and facts have columns."""
    path = tmp_path / "out.csv"
    told = exported("csv", report, path)
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    count = sum(max(1, len(test["metrics"])) for test in report["tests"])
    assert told == f"{path}: {count} rows"
    assert len(rows) == count
    test = report["tests"][6]
    mine = [row for row in rows if row["test"] == test["nodeid"]]
    assert [(row["metric"], float(row["value"])) for row in mine] == [(m["name"], m["value"]) for m in test["metrics"]]
    assert mine[0]["param.model"] == test["params"]["model"]
    assert mine[0]["fact.checkpoint"] == "step-4000"
    assert (mine[0]["device_kind"], mine[0]["commit"]) in {(kind, "0123abcd") for kind in (
        "NVIDIA H200", "NVIDIA H200 MIG 3g.71gb",
    )}  # fmt: skip
    assert [(row["value"], row["non_finite"], row["verdict"]) for row in rows if row["metric"] == "odd"] == [
        ("", "nan", "invalid")
    ]
    assert [int(row["value"]) for row in rows if row["metric"] == "huge"] == [2**2000]


def test_csv_runs_nothing_in_a_spreadsheet(tmp_path: Path) -> None:
    """Each text that would be a formula has a quote before it, headings too; numbers have not."""
    texts = {"why": "=cmd|'/c calc'!A0", "lr": "-0.5", "=1": "@x"}
    report = a_report(
        a_test("-x/t.py::test_a", params={"n": -3, "\t": "'+1"}, facts=texts, metrics=[a_metric("-m", -0.5)])
    )
    path = tmp_path / "out.csv"
    exported("csv", report, path)
    (row,) = csv.DictReader(path.open(encoding="utf-8", newline=""))
    assert {name: row[name] for name in ("test", "metric", "value", "param.n", "param.\t")} == {
        "test": "'-x/t.py::test_a", "metric": "'-m", "value": "-0.5", "param.n": "-3", "param.\t": "''+1",
    }  # fmt: skip
    facts = {"fact.why": "'=cmd|'/c calc'!A0", "fact.lr": "-0.5", "fact.=1": "'@x"}
    assert {name: row[name] for name in row if name.startswith("fact.")} == facts
    # And those of 'gpupool items --format csv'.
    said = {"input": "=1+1", "output": ["=1"], "target": "-0.5", "before": {"output": "@x"}}
    item = {"id": "+a", "right": True, "flip": None, "scores": {}, **said}
    tests = [{**report["tests"][0], "items": {"count": 1, "scores": {"=b": {}}}}]
    formats.write("csv", path, Source.of(report, tmp_path), tests, lambda _: iter([item]), has_other=True)
    (row,) = csv.DictReader(path.open(encoding="utf-8", newline=""))
    assert {name: row[name] for name in ("test", "id", *said, "scores.=b") if name != "before"} == {
        "test": "'-x/t.py::test_a", "id": "'+a", "input": "'=1+1", "output": '["=1"]', "target": "-0.5",
        "scores.=b": "",
    }  # fmt: skip
    assert row["before.output"] == "'@x"


@given(st.text("'=+-@\t\r\n\0＝＋－＠1.einf a"))
def test_csv_is_read_as_the_page_says(text: str) -> None:
    """By the line of the documentation, whatever the text."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "exports.md"
    (line,) = (line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("text = re.sub("))
    found: dict[str, Any] = {"re": re, "cell": cell(text)}
    exec(line, found)
    assert found["text"] == text


def test_the_program_prints_csv(source: Path, capsys: Capture) -> None:
    """Where no file is named; what is wrong is said."""
    assert main(["export", str(source), "--to", "csv"]) == 0
    assert capsys.readouterr().out.startswith("run,started,commit,test,outcome,attempt,worker,devices,device_kind,")
    assert main(["export", str(source), "--to", "xml"]) == 4
    assert capsys.readouterr().err == (
        "gpupool: --to xml: there is no such exporter; there are csv, parquet, mlflow, wandb, perfetto, otel\n"
    )
    for form in ("csv", "perfetto", "otel"):
        assert main(["export", str(source), "--to", form, "-o", str(source.parent / "none" / "x")]) == 4
        assert f"gpupool: --to {form}: {source.parent / 'none'}" in capsys.readouterr().err
    assert main(["export", "none.json", "--to", "csv"]) == 4


@pytest.mark.parametrize("form", ["parquet", "mlflow", "wandb"])
def test_what_is_not_installed(source: Path, capsys: Capture, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line to type is said."""
    module = {"parquet": "pyarrow"}.get(form, form)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["export", str(source), "--to", form, "-o", str(source.parent / "x")]) == 4
    assert capsys.readouterr().err == (
        f"gpupool: --to {form} needs {module}, which is not installed: pip install 'pytest-gpupool[{form}]'\n"
    )


def slices(events: list[Any]) -> dict[tuple[int, int], list[Any]]:
    """The slices by track."""
    found = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append(event)
    return dict(found)


def test_perfetto_has_every_test_on_its_worker_and_its_devices(report: Report, tmp_path: Path) -> None:
    """Slices of a track are within each other or apart, as trace viewers need it; waits and phases are there."""
    path = tmp_path / "trace.json"
    exported("perfetto", report, path)
    document = json.loads(path.read_text())
    events = document["traceEvents"]
    ran = [test for test in report["tests"] if test["started"]]
    for pid, count in ((1, len(ran)), (2, sum(len(test["devices"]) for test in ran))):
        assert sum(event["pid"] == pid and event.get("cat") == "test" for event in events) == count
    for track in slices(events).values():
        open_: list[float] = []
        for event in sorted(track, key=lambda event: (event["ts"], -event["dur"])):
            while open_ and open_[-1] <= event["ts"] + 1e-3:
                open_.pop()
            assert not open_ or event["ts"] + event["dur"] <= open_[-1] + 1e-3
            open_.append(event["ts"] + event["dur"])
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert "gw0" in names
    assert any(name.endswith(" · gw0") for name in names)
    kinds = {event["name"] for event in events if event.get("cat") in ("wait", "phase")}
    assert kinds >= {"waits for a lease", "setup", "call", "teardown"}
    one = next(event for event in events if event.get("args", {}).get("checkpoint") == "step-4000")
    assert one["ts"] == pytest.approx(
        (epoch(report["tests"][6]["started"]) - epoch(report["run"]["started"])) * 1e6, abs=1
    )


def test_otel_is_as_the_protocol_has_it(report: Report, tmp_path: Path) -> None:
    """A trace with the run as its root, and a gauge per metric; the same again for the same run."""
    path = tmp_path / "otlp.jsonl"
    exported("otel", report, path)
    traces, metrics = map(json.loads, path.read_text().splitlines())
    spans = traces["resourceSpans"][0]["scopeSpans"][0]["spans"]
    root, *others = spans
    assert "parentSpanId" not in root
    assert {span["parentSpanId"] for span in others} == {root["spanId"]}
    assert len({span["spanId"] for span in spans}) == len(spans)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    failed = [span for span in others if span["status"]["code"] == 2]
    assert len(failed) == sum(t["outcome"] in ("failed", "error", "crashed", "timeout") for t in report["tests"])
    gauges = {one["name"]: one for one in metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    assert set(gauges) >= {"accuracy", "latency", "loss", "rows"}
    assert gauges["latency"]["unit"] == "ms"
    text = path.read_text()
    exported("otel", report, path)
    assert path.read_text() == text


def test_otel_is_read_by_its_own_library(report: Report, tmp_path: Path) -> None:
    """OpenTelemetry's own messages take every field."""
    pytest.importorskip("opentelemetry.proto")
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    path = tmp_path / "otlp.jsonl"
    exported("otel", report, path)
    traces, metrics = path.read_text().splitlines()
    parsed = json_format.Parse(traces, ExportTraceServiceRequest())
    assert len(parsed.resource_spans[0].scope_spans[0].spans) > 100
    assert json_format.Parse(metrics, ExportMetricsServiceRequest()).resource_metrics


def test_parquet_has_types(report: Report, tmp_path: Path) -> None:
    """Numbers are numbers; what no float holds is null."""
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    path = tmp_path / "metrics.parquet"
    told = exported("parquet", report, path)
    table = pyarrow.parquet.read_table(path)
    assert told == f"{path}: {table.num_rows} rows"
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["value"], types["n"], types["higher_is_better"], types["param.model"]) == (
        "double", "int64", "bool", "string",
    )  # fmt: skip
    rows = table.to_pylist()
    assert [row["value"] for row in rows if row["metric"] == "huge"] == [None]
    assert next(row["fact.checkpoint"] for row in rows if row["test"] == report["tests"][6]["nodeid"]) == "step-4000"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.parquet"]


def test_what_a_form_cannot_hold_costs_nothing_else(tmp_path: Path) -> None:
    """Whole numbers of any size, and texts that UTF-8 cannot carry, in both tables of Parquet."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    report = a_report(a_test("t.py::test_a", facts={"k": "\ud800"}, metrics=[a_metric("m", 10**400, n=10**30)]))
    exported("parquet", report, tmp_path / "out.parquet")
    (row,) = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row[name] for name in ("metric", "value", "n", "fact.k")] == ["m", None, None, "\\ud800"]
    item = {"id": "a", "right": True, "flip": None, "scores": {"s": "nan"}, "output": "\ud800"}
    tests = [{**report["tests"][0], "items": {"count": 1, "scores": {"s": {}}}}]
    path = tmp_path / "items.parquet"
    formats.write("parquet", path, Source.of(report, tmp_path), tests, lambda _: iter([item]), has_other=False)
    (row,) = parquet.read_table(path).to_pylist()
    assert (row["output"], math.isnan(row["scores.s"])) == ("\\ud800", True)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_items_that_cannot_be_written_leave_the_old_file(tmp_path: Path, form: str) -> None:
    """And nothing besides it."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    report = a_report(a_test("t.py::test_a"))
    tests = [{**report["tests"][0], "items": {"count": 1, "scores": {}}}]
    path = tmp_path / "old"
    path.write_text("old")

    def rows(_: object) -> Iterator[dict[str, Any]]:
        yield {"id": "a", "right": True, "flip": None, "scores": {}}
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UsageProblem, match="old cannot be written: No space left on device"):
        formats.write(form, path, Source.of(report, tmp_path), tests, rows, has_other=False)
    assert [one.name for one in tmp_path.iterdir()] == ["old"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("form", ["csv", "perfetto", "otel"])
def test_a_report_that_somebody_has_edited_is_damaged_and_no_traceback(
    tmp_path: Path, capsys: Capture, form: str
) -> None:
    """What is read of a test is checked; what an older version has not written is not needed."""
    path, out = tmp_path / "report.json", str(tmp_path / "out")
    report = a_report(a_test("t.py::test_a", "failed"))
    test = {**report["tests"][0], "attempt": 1, "message": "why"}
    odd: dict[str, Any] = {"attempt": "x", "message": 3, "phases": [], "waited_s": "long", "attempts": {}, "repeats": 1}
    for key, value in odd.items():
        path.write_text(json.dumps({**report, "tests": [{**test, key: value}]}))
        assert main(["export", str(path), "--to", form, "-o", out]) == 4, key
        assert f"gpupool: {path} is damaged, in: test 1 (" in capsys.readouterr().err
        older = {name: one for name, one in test.items() if name != key}
        path.write_text(json.dumps({**report, "tests": [older]}))
        assert main(["export", str(path), "--to", form, "-o", out]) == 0, key
        capsys.readouterr()


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(source: Path, tmp_path: Path, capsys: Capture) -> None:
    """And not by the file that was to take its place."""
    for place, reason in ((tmp_path, "Is a directory"), (tmp_path / "no" / "x", "No such file or directory")):
        assert main(["export", str(source), "--to", "perfetto", "-o", str(place)]) == 4
        assert capsys.readouterr().err == f"gpupool: --to perfetto: {place}: {reason}\n"


def test_tracked_runs(report: Report) -> None:
    """One for the suite, with names that say the test; or one per test, with its parameters."""
    (whole,) = tracked.runs(report, "suite")
    assert whole.metrics["test_summary/rows"] == 1200
    assert whole.tags["gpupool.commit"] == "0123abcd"
    assert whole.tags["fact.checkpoint"] == "step-4000"
    assert all(math.isfinite(value) for value in whole.metrics.values())
    each = list(tracked.runs(report, "test"))
    assert len(each) == sum(test["outcome"] not in ("not-run", "skipped") for test in report["tests"])
    one = next(run for run in each if run.tags.get("fact.checkpoint"))
    assert set(one.metrics) >= {"accuracy", "latency", "duration_s"}
    assert one.params["model"] == report["tests"][6]["params"]["model"]
    assert names.plain("acc@1 <b>") == "acc_1 _b"


def test_trackers_are_given_what_utf_8_can_carry() -> None:
    """Whatever a parameter, a fact or an address has in it."""
    odd = a_test("t.py::test_a", params={"\ud800": "\ud800"}, facts={"f": "\ud801"}, metrics=[a_metric("m", 1)])
    odd["attachments"] = [{"name": "\ud802", "url": "https://x.org/\ud802"}]
    for per in ("suite", "test"):
        (one,) = tracked.runs(a_report(odd), per)
        given = [one.name, *one.params, *one.params.values(), *one.tags, *one.tags.values(), *one.metrics]
        assert "".join(given).encode()
        assert "https://x.org/\\ud802" in given


def test_mlflow_has_runs_and_artefacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that is named."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    tests = [a_test(f"t.py::test_a[{n}]", params={"n": n}, metrics=[a_metric("acc@1", n / 4)]) for n in range(3)]
    report = a_report(*tests)
    kept = tmp_path / "report.json"
    kept.write_text("{}")
    folder = tmp_path / "mlruns"
    assert "with 3 runs below it" in exported("mlflow", report, folder, "test", {"report.json": kept})
    assert "run " in exported("mlflow", report, folder)
    client = MlflowClient(tracking_uri=folder.as_uri())
    experiment: Any = client.get_experiment_by_name("pytest-gpupool")
    runs = client.search_runs([experiment.experiment_id])
    below = {run.info.run_name: run.data for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert {name: (data.params, data.metrics["acc_1"]) for name, data in below.items()} == {
        f"test_a[{n}]": ({"n": str(n)}, n / 4) for n in range(3)
    }
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2
    assert {"test_a_1/acc_1", "test_a_2/acc_1"} <= {name for run in parents for name in run.data.metrics}
    files = [file.path for run in parents for file in client.list_artifacts(run.info.run_id)]
    assert files == ["report.json"]


class TestOthers:
    """Exporters that other packages bring."""

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An installed package with two of them."""
        info = tmp_path / "site" / "lines-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[pytest_gpupool.exporters]\nlines = lines_exporter:export\nbroken = lines_exporter:broken\n"
        )
        (tmp_path / "site" / "lines_exporter.py").write_text(
            "def export(report, order):\n"
            "    order.output.write_text('\\n'.join(test['nodeid'] for test in report['tests']))\n"
            "    return f'{len(report[\"tests\"])} lines, one run per {order.per}, of {order.folders[0]}'\n"
            "def broken(report, order):\n"
            "    raise ValueError('no such luck')\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, "lines_exporter", raising=False)
        return tmp_path

    def test_they_are_called_by_name(self, package: Path, source: Path, capsys: Capture, report: Report) -> None:
        """As ours are; one that fails is named."""
        out = package / "lines.txt"
        assert main(["export", str(source), "--to", "lines", "-o", str(out), "--per", "test"]) == 0
        assert capsys.readouterr().out == f"gpupool: {len(report['tests'])} lines, one run per test, of {package}\n"
        assert out.read_text().splitlines()[2] == "evals/test_report.py::test_summary"
        assert main(["export", str(source), "--to", "broken"]) == 1
        told = "gpupool: the exporter broken (lines_exporter:broken) failed: ValueError('no such luck')\n"
        assert capsys.readouterr().err == told
        assert main(["export", str(source), "--to", "none"]) == 4
        assert "perfetto, otel, broken, lines" in capsys.readouterr().err
