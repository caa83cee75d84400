"""Files that tests have kept, on their way to a tracker: what they are called there, and which of them go along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from made_reports import Report, a_metric, a_report, a_test

from pytest_gpupool.exports import exporters
from pytest_gpupool.exports.tracking import kept, names, tracked
from pytest_gpupool.values.errors import UsageProblem

HERE = "attachments/test_a-0123/gw0-1"


def an_attachment(path: str) -> dict[str, Any]:
    """What a report has of it."""
    return {"name": path.rpartition("/")[2], "path": path, "media_type": "text/plain", "size": 1}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run, in which a test has kept files; a link leads out of it, one in it to another file."""
    folder = tmp_path / "run" / HERE
    (folder / "deep").mkdir(parents=True)
    (folder / "plot [1] é%41.png").write_text("a plot")
    (folder / "deep" / "left.csv").write_text("a,b")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("not for others")
    (folder / "key").symlink_to(tmp_path / "secret" / "key")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to(folder / "deep")
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    return tmp_path / "run"


@pytest.fixture
def report() -> Report:
    """Of a test that has kept files in three attempts, and whose names are anything; some are not there."""
    lost = [f"{HERE}/{name}" for name in ("gone.txt", "key", "out/key", "in/left.csv", "circle", "pipe", "deep")]
    odd = ["../secret/key", "/etc/passwd", f"{HERE}/../../../../secret/key", f"{HERE}/\0", "attachments/x", ""]
    own = [an_attachment(path) for path in (f"{HERE}/plot [1] é%41.png", f"{HERE}/deep/left.csv", *lost, *odd)]
    other = [an_attachment("attachments/test_a-0123/gw1-2/deep/left.csv")]
    link = {"name": "site <b>", "url": "https://example.org/run/17"}
    report = a_report(
        a_test(
            "t.py::test_a[x]",
            attachments=[*own, link],
            params={"we@ird/..\n": "x" * 9000, "": "1"},
            facts={"a@b<c>": "x" * 9000, "..": "z", "two\nlines": "ü" * 300, "x" * 600: "1"},
            metrics=[a_metric("val"), a_metric("val/top@1"), a_metric("val/top%1"), a_metric("../up/"), a_metric("..")],
        ),
        a_test("t.py::test_b", metrics=[a_metric(f"metric {number}") for number in range(1100)]),
        a_test("t.py::test_c", "skipped"),
    )
    report["tests"][0]["attempts"] = [{"attachments": other}, {"attachments": own}]
    return report


def test_names_are_paths_that_lead_nowhere_else() -> None:
    """As every tracker takes them, and each once."""
    odd = ("", "..", "/", "a/../b", "/etc/passwd", "a//b/", "a/_", "_ / _", "x\n\0y", "é" * 300, "x" * 239 + "/y")
    assert [names.plain(name) for name in odd] == [
        *("_", "_", "_", "a/b", "etc/passwd", "a/b", "a", "_", "x_y", "_", "x" * 239),
    ]  # fmt: skip
    given = names.Names()
    assert [given.one(name) for name in ("a", "a", "a/b", "c/d/e", "c", "c/d", "a 2")] == [
        *("a", "a 2", "a_b", "c/d/e", "c 2", "c/d 2", "a 2 2"),
    ]  # fmt: skip
    given = names.Names()
    assert [given.one(name, "-") for name in ("x/a.b.png", "x/a.b.png", "x.y/a", "x.y/a", ".a", ".a")] == [
        *("x/a.b.png", "x/a.b-2.png", "x.y/a", "x.y/a-2", ".a", ".a-2"),
    ]  # fmt: skip


def test_a_run_has_the_files_of_its_tests(report: Report) -> None:
    """That of the suite by the paths that the report names, that of a test by their names; addresses are tags."""
    report["tests"][0]["attachments"].append(an_attachment(f"{HERE}/plot (1) è 41.png"))
    (whole,) = tracked.runs(report, "suite")
    there = {name: path for name, path in whole.files.items() if "plot" in name or "left" in name}
    assert there == {
        f"{HERE}/plot_1_41.png": f"{HERE}/plot [1] é%41.png",
        f"{HERE}/deep/left.csv": f"{HERE}/deep/left.csv",
        f"{HERE}/in/left.csv": f"{HERE}/in/left.csv",
        f"{HERE}/plot_1_41-2.png": f"{HERE}/plot (1) è 41.png",
        "attachments/test_a-0123/gw1-2/deep/left.csv": "attachments/test_a-0123/gw1-2/deep/left.csv",
    }
    assert whole.tags["attachment.test_a_x/site _b"] == "https://example.org/run/17"
    one, other = tracked.runs(report, "test")
    assert [name for name in one.files if "plot" in name or "deep/" in name] == [
        *("attachments/plot_1_41.png", "attachments/deep/left.csv", "attachments/plot_1_41-2.png"),
        "attachments/gw1-2/deep/left.csv",
    ]  # fmt: skip
    assert one.tags["attachment.site _b"] == "https://example.org/run/17"
    assert (other.files, len(one.files)) == ({}, len(whole.files))


def test_what_is_no_file_of_the_run_does_not_go_along(run: Path, report: Report, tmp_path: Path) -> None:
    """No link is followed, and no path out of the run's directory; the first of them is named, and their count."""
    (one, _) = tracked.runs(report, "test")
    found = kept.Kept([tmp_path / "nowhere", run])
    assert {name: path.read_text() for name, path in found.found(one.files)} == {
        "attachments/plot_1_41.png": "a plot",
        "attachments/deep/left.csv": "a,b",
    }
    assert found.told == (
        f", and 2 files that tests have kept; not with it: {HERE}/gone.txt (and {len(one.files) - 3} more) is not "
        "there, or is no file of the run's directory"
    )
    elsewhere = tmp_path / "linked"
    elsewhere.symlink_to(run)  # how people come to the directory itself is theirs
    assert len(list(kept.Kept([elsewhere]).found(one.files))) == 2
    nothing = kept.Kept([])
    assert (list(nothing.found({})), nothing.told) == ([], "")


def test_what_is_too_large_does_not_go_along(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file, nor all of them, and not too many."""
    files = {str(number): f"{HERE}/{number}" for number in range(5)}
    for number, size in enumerate((0, kept.LARGEST, 1, 10, kept.LARGEST + 1)):
        with (run / files[str(number)]).open("wb") as file:
            file.truncate(size)
    found = kept.Kept([run])
    assert [name for name, _ in found.found(files)] == ["0", "1", "2", "3"]
    assert found.told == f", and 4 files that tests have kept; not with it: {HERE}/4 has more than 32 MiB"
    monkeypatch.setattr(kept, "MOST_BYTES", kept.LARGEST + 5)
    monkeypatch.setattr(kept, "MOST_FILES", 3)
    found = kept.Kept([run])
    assert [name for name, _ in found.found({**files, "5": files["0"]})] == ["0", "1", "2"]
    assert found.told.partition("not with it: ")[2].split("; ") == [
        f"{HERE}/3 (and 1 more) is beyond 3 files",
        f"{HERE}/4 has more than 32 MiB",
    ]


def an_order(output: Path, per: str, run: Path) -> exporters.Order:
    """An order with the JSON report and what the tests of a run have kept."""
    source = run / "report.json"
    source.write_text("{}")
    return exporters.Order(output=output, per=per, files={"report.json": source}, folders=[run])


def test_mlflow_has_what_tests_have_kept(
    run: Path, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As artefacts of the run of the suite, or of the test's; names may be anything, metrics of any number."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())

    def artefacts(id_: str, folder: str = "") -> list[str]:
        listed = client.list_artifacts(id_, folder)
        return [each for one in listed for each in (artefacts(id_, one.path) if one.is_dir else [one.path])]

    told = exporters.export("mlflow", report, an_order(tmp_path / "mlruns", "test", run))
    assert "with 2 runs below it, and 2 files that tests have kept; not with it: " in told
    told = exporters.export("mlflow", report, an_order(tmp_path / "mlruns", "suite", run))
    assert "pytest-gpupool, and 2 files that tests have kept; not with it: " in told
    experiment: Any = client.get_experiment_by_name("pytest-gpupool")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted((one.info.run_name, sorted(artefacts(one.info.run_id))) for one in runs) == [
        ("run-2", [f"{HERE}/deep/left.csv", f"{HERE}/plot_1_41.png", "report.json"]),
        ("run-2", ["report.json"]),
        ("test_a[x]", ["attachments/deep/left.csv", "attachments/plot_1_41.png"]),
        ("test_b", []),
    ]
    whole = next(one for one in runs if any(name.startswith("test_b/") for name in one.data.metrics))
    assert len([name for name in whole.data.metrics if name.startswith("test_b/metric ")]) == 1100
    single = next(one.data for one in runs if one.info.run_name == "test_a[x]")
    assert set(single.metrics) == {"val", "val_top_1", "val_top_1 2", "up", "_", "duration_s"}
    assert {name: len(value) for name, value in single.params.items()} == {"we_ird": 5000, "_": 1}
    assert {"fact.a_b_c", "fact.two_lines", f"fact.{'x' * 235}"} <= set(single.tags)


def test_wandb_has_what_tests_have_kept(
    run: Path, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files of the offline run, all in the folder that is named."""
    wandb = pytest.importorskip("wandb")
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    folder = tmp_path / "with [1] *"
    try:
        told = exporters.export("wandb", report, an_order(folder, "test", run))
        assert f"{folder}/wandb: 2 offline runs, and 2 files that tests have kept; not with it: " in told
        told = exporters.export("wandb", report, an_order(folder, "suite", run))
        assert f"{folder}/wandb: 1 offline run, and 2 files that tests have kept; not with it: " in told
        monkeypatch.setenv("WANDB_PROJECT", "a/b")
        with pytest.raises(UsageProblem, match="Invalid project name"):
            exporters.export("wandb", report, an_order(folder, "suite", run))
    finally:
        wandb.teardown()
    own = {"requirements.txt", "wandb-metadata.json", "wandb-summary.json", "config.yaml", "output.log"}
    found = []
    for one in (folder / "wandb").glob("offline-run-*"):
        files = {str(path.relative_to(one / "files")) for path in (one / "files").rglob("*") if path.is_file()} - own
        (log,) = one.glob("*.wandb")
        assert all(name.encode() in log.read_bytes() for name in files)  # as 'wandb sync' finds them
        found.append(sorted(files))
    assert sorted(found) == [
        [],
        ["attachments/deep/left.csv", "attachments/plot_1_41.png", "report.json"],
        [f"{HERE}/deep/left.csv", f"{HERE}/plot_1_41.png", "report.json"],
    ]
    assert not [path for path in home.rglob("*") if path.is_file() and "logs" not in path.parts]
