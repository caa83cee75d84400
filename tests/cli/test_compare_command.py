"""'gpupool compare', as users call it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.cli.main import main

Capture = pytest.CaptureFixture[str]
Report = dict[str, Any]

OLD: Report = {
    "run": {
        "id": "20261120T100000Z-aaaaaa",
        "started": "2026-11-20T10:00:00.000000Z",
        "duration_s": 9.0,
        "complete": True,
        "collected": 28,
        "git": {"commit": "0123456789abcdef", "branch": "main", "dirty": True},
    },
    "devices": [{"id": "GPU-0", "name": "NVIDIA H200"}],
    "workers": [],
}
NEW: Report = {**OLD, "run": {**OLD["run"], "id": "20261121T100000Z-bbbbbb", "git": None}}


def metric(name: str, value: float | None, **fields: Any) -> dict[str, Any]:
    rules = {"unit": "", "higher_is_better": True, "n": None, "atol": None, "rtol": None, "verdict": None}
    return {"name": name, "value": value, **rules, **fields}


def a_test(nodeid: str, *metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    told: Report = {
        "params": {},
        "outcome": "passed",
        "worker": "gw0",
        "devices": ["GPU-0"],
        "started": None,
        "duration_s": 3.0,
    }
    return {"nodeid": nodeid, **told, "metrics": list(metrics), **fields}


def write(path: Path, about: Mapping[str, Any], *tests: Mapping[str, Any], **changes: Any) -> Path:
    """Write a report as another program could have."""
    whole = {"report_format": "gpupool-report", "spec_version": "1.2.0", "summary": {"makespan_s": 8.0}, **about}
    path.write_text(json.dumps({**whole, "tests": tests, **changes}))
    return path


def called(capsys: Capture, *args: str | Path) -> tuple[int, str, str]:
    """Call the program within this process; its exit status, and what it says on both streams."""
    status = main(["compare", *map(str, args)])
    return status, *capsys.readouterr()


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path]:
    """Two reports: one metric of each sort."""
    names = [f"test_m.py::test_ok[{i}]" for i in range(25)]
    fine = [a_test(name, metric("accuracy", 0.9)) for name in names]
    old = write(
        tmp_path / "a.json",
        OLD,
        *fine,
        a_test("test_m.py::test_bad", metric("accuracy", 0.9), metric("gone", 1), metric("ill", 1.0), metric("up", 1)),
        a_test("test_m.py::test_left"),
        a_test("test_m.py::test_slow", duration_s=1.0),
    )
    new = write(
        tmp_path / "b.json",
        NEW,
        *fine,
        a_test(
            "test_m.py::test_bad",
            metric("accuracy", 0.8),
            metric("ill", None, non_finite="nan", verdict="invalid"),
            metric("up", 2, unit="%"),
            metric("new", 5),
            outcome="failed",
        ),
        a_test("test_m.py::test_slow", duration_s=2.5),
        a_test("test_m.py::test_came"),
        summary={"makespan_s": 10.0},
    )
    return old, new


SUMMARY = (
    "30 metrics: 1 gone, 1 invalid, 1 regressed, 1 no-baseline, 1 improved, 25 ok; 1 test no longer good; "
    "durations: 79.00 s → 80.50 s (+2%); makespan: 8.00 s → 10.00 s (+25%)"
)


def test_the_worst_is_shown_first(capsys: Capture, reports: tuple[Path, Path]) -> None:
    """Metrics, outcomes and durations; of what is ok 20 rows, then the number of the others."""
    status, out, err = called(capsys, *reports)
    assert (status, err) == (1, "")
    head, *lines = out.splitlines()
    assert head == (
        "gpupool: A is run 20261120T100000Z-aaaaaa of 2026-11-20 10:00, commit 0123456789 (dirty), "
        "B is run 20261121T100000Z-bbbbbb of 2026-11-20 10:00"
    )
    assert lines[:7] == [
        "VERDICT      TEST                    METRIC      A    B   CHANGE  ALLOWED  NOTE",
        "GONE         test_m.py::test_bad     gone        1    –                    the test is failed",
        "INVALID      test_m.py::test_bad     ill         1  nan",
        "REGRESSED    test_m.py::test_bad     accuracy  0.9  0.8   -11.1%       1%  noise unknown",
        "NO-BASELINE  test_m.py::test_bad     new         –    5",
        "improved     test_m.py::test_bad     up        1 %  2 %  +100.0%       1%  noise unknown",
        "ok           test_m.py::test_ok[0]   accuracy  0.9  0.9       0%       1%  noise unknown",
    ]
    assert lines[26:] == [
        "… and 5 more that are ok (-v shows all)",
        "",
        "OUTCOME  TEST                 BEFORE",
        "FAILED   test_m.py::test_bad  passed",
        "",
        "DURATION  TEST                       A       B  CHANGE",
        "slower    test_m.py::test_slow  1.00 s  2.50 s   +150%",
        "",
        "gpupool: 1 test only in A: test_m.py::test_left",
        "gpupool: 1 test only in B: test_m.py::test_came",
        f"gpupool: {SUMMARY}",
    ]


def test_verbose_shows_all(capsys: Capture, reports: tuple[Path, Path]) -> None:
    """Every metric and every duration."""
    out = called(capsys, "-v", *reports)[1]
    assert out.count("\nok ") == 25
    assert out.count("\nslower") + out.count("\nfaster") == 27
    assert "more" not in out.replace("no longer", "")


def test_a_report_beside_itself_is_clean(capsys: Capture, reports: tuple[Path, Path]) -> None:
    """Nothing fails, whatever fails else."""
    status, out, _ = called(capsys, reports[0], reports[0], "--fail-on=regressed,no-baseline,contended")
    assert status == 0
    assert out.splitlines()[-1] == (
        "gpupool: 29 metrics: 29 ok; durations: 82.00 s → 82.00 s (0%); makespan: 8.00 s → 8.00 s (0%)"
    )


@pytest.mark.parametrize(
    ("fail_on", "status"),
    [
        (["--fail-on=none"], 0),
        (["--fail-on=contended"], 0),
        (["--fail-on", "no-baseline"], 1),
        (["--fail-on=contended", "--fail-on=invalid"], 1),
        (["--fail-on=regressed"], 1),
        (["--rtol=0.5"], 1),
    ],
)
def test_what_fails(reports: tuple[Path, Path], fail_on: list[str], status: int) -> None:
    """By the kinds that are given, all of them."""
    assert main(["compare", *map(str, reports), *fail_on]) == status


def test_markdown_is_for_a_comment(capsys: Capture, tmp_path: Path) -> None:
    """Names are nothing but text there."""
    name = "test_m.py::test[a|b <script> @all]"
    old = write(tmp_path / "a.json", OLD, a_test(name, metric("a*b*", 0.9)))
    new = write(tmp_path / "b.json", NEW, a_test(name, metric("a*b*", 0.5)))
    status, out, _ = called(capsys, old, new, "--format=markdown")
    assert status == 1
    lines = out.splitlines()
    assert lines[0].startswith(
        "## gpupool: run 20261120T100000Z-aaaaaa of 2026-11-20 10:00, commit 0123456789 (dirty) → run"
    )
    assert lines[2] == "1 metric: 1 regressed; durations: 3.00 s → 3.00 s (0%); makespan: 8.00 s → 8.00 s (0%)."
    assert lines[4:] == [
        "| Verdict | Test | Metric | A | B | Change | Allowed | Note |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
        "| REGRESSED | <code>test&#95;m.py::test&#91;a&#124;b &#60;script&#62; &#64;all&#93;</code> "
        "| <code>a&#42;b&#42;</code> | 0.9 | 0.5 | -44.4% | 1% | noise unknown |",
    ]


def test_of_a_long_name_both_ends_are_shown(capsys: Capture, tmp_path: Path) -> None:
    """What differs may be in either; nothing in a name moves the terminal's cursor."""
    name = f"test_m.py::test[{'x' * 100}\x1b[2J-last]"
    path = write(tmp_path / "a.json", OLD, a_test(name, metric("m", 1)))
    _, out, _ = called(capsys, path, path)
    assert f"test_m.py::test[{'x' * 23}…{'x' * 27}\\x1b[2J-last]  m" in out
    assert "\x1b" not in out


def test_json_is_for_programs(capsys: Capture, reports: tuple[Path, Path]) -> None:
    """Everything, as strict JSON."""
    status, out, _ = called(capsys, *reports, "--format=json")
    found = json.loads(out)
    assert (status, found["format"], found["version"], found["fails"]) == (1, "gpupool-comparison", 1, True)
    assert found["counts"] == {"gone": 1, "invalid": 1, "regressed": 1, "no-baseline": 1, "improved": 1, "ok": 25}
    assert [(one["metric"], one["old"], one["new"]) for one in found["metrics"][:3]] == [
        ("gone", 1, None), ("ill", 1.0, "nan"), ("accuracy", 0.9, 0.8),
    ]  # fmt: skip
    assert found["outcomes"] == [{"test": "test_m.py::test_bad", "old": "passed", "new": "failed"}]
    assert (found["makespan"], found["gone"]) == ({"old": 8.0, "new": 10.0, "change": 0.25}, ["test_m.py::test_left"])


def test_a_page_is_written_beside_what_is_said(capsys: Capture, reports: tuple[Path, Path], tmp_path: Path) -> None:
    """With the same exit status, into a folder that is made; of a baseline too. Where it cannot be, that is said."""
    place = tmp_path / "new" / "page.html"
    said = called(capsys, *reports)
    assert called(capsys, *reports, "--html", place) == said
    assert "<title>gpupool: 1 metric gone, 1 metric invalid, 1 metric regressed, 1 test no longer good." in (
        text := place.read_text(encoding="utf-8")
    )
    assert "Exit status 1." in text
    assert called(capsys, reports[0], reports[0], "--format=json", "--html", place)[0] == 0
    assert "Nothing has become worse. Exit status 0." in place.read_text(encoding="utf-8")
    (tmp_path / "base.json").write_text('{"format": "gpupool-baseline", "version": 1, "entries": []}\n')
    assert called(capsys, tmp_path / "base.json", reports[1], "--html", place)[0] == 1
    assert f"A is the baseline {tmp_path / 'base.json'}." in place.read_text(encoding="utf-8")
    assert [path.name for path in place.parent.iterdir()] == ["page.html"]
    for wrong, reason in ((tmp_path, "Is a directory"), (reports[0] / "page.html", "File exists"), ("", "")):
        status, out, err = called(capsys, *reports, "--html", wrong)
        assert (status, out) == (4, said[1])
        assert err.startswith(f"gpupool: the page {Path(wrong)} could not be written: {reason}")


def test_an_incomplete_run_is_told(capsys: Capture, tmp_path: Path) -> None:
    """What it does not have is gone, and fails."""
    old = write(tmp_path / "a.json", OLD, a_test("test_a", metric("m", 1)))
    run = {**NEW["run"], "complete": False}
    new = write(tmp_path / "b.json", NEW, a_test("test_a", outcome="not-run"), run=run)
    status, out, err = called(capsys, old, new)
    assert (status, err) == (1, f"gpupool: {new} is incomplete: 1 of its 1 test has no result\n")
    assert "GONE" in out
    assert "NOT-RUN" in out


def test_a_run_of_which_something_could_not_be_collected_is_told(capsys: Capture, tmp_path: Path) -> None:
    """Where every test that there is has a result."""
    whole = write(tmp_path / "a.json", OLD, a_test("test_a"))
    run = {**NEW["run"], "complete": False}
    part = write(tmp_path / "b.json", NEW, a_test("test_a"), run=run)
    assert called(capsys, whole, part)[2] == f"gpupool: {part} is incomplete: something could not be collected\n"


@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_a_comment_is_no_longer_than_github_takes(capsys: Capture, tmp_path: Path, verbose: list[str]) -> None:
    """What matters least is left out, and counted."""
    names = [f"test_m.py::test{'_' * 150}[{number}]" for number in range(300)]
    bad = [metric("accuracy", 0.9), metric("fine", 1)]
    worse = [metric("accuracy", 0.5), metric("fine", 1)]
    old = write(tmp_path / "a.json", OLD, *(a_test(name, *bad) for name in names), *map(a_test, names[:9]))
    new = write(tmp_path / "b.json", NEW, *(a_test(name, *worse, outcome="failed") for name in names))
    out = called(capsys, old, new, "--format=markdown", *verbose)[1]
    assert 60_000 < len(out) <= 65_536
    shown = out.count("| REGRESSED |")
    assert 50 < shown < 100
    assert f"… and {300 - shown} more that are regressed, 300 more that are ok\n" in out
    assert "\n… and 300 more\n" in out  # outcomes
    assert "| ok |" not in out
    assert "9 tests only in A" in out


DAMAGED = [
    ("", "is no JSON report"),
    ("{", "is no JSON report"),
    ("[]", "is no report of pytest-gpupool"),
    ('{"report_format": "gpupool-report"}', "is damaged"),
    ('{"report_format": "gpupool-report", "spec_version": "9.0.0"}', "of a newer pytest-gpupool"),
    ('{"report_format": "gpupool-report", "spec_version": "1.2.0", "run": NaN}', "is no JSON report"),
    ('{"format": "gpupool-baseline", "version": 99, "entries": []}', "is of version 99"),
    ('{"format": "gpupool-baseline", "version": 1, "entries": [', "is not JSON"),
    ('{"entries": [{}], "version": 1, "format": "gpupool-baseline"}', 'it has no "test"'),
]


@pytest.mark.parametrize(("text", "words"), DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, capsys: Capture, text: str, words: str) -> None:
    """With what is wrong with it, and exit status 4; on either side."""
    damaged, whole = tmp_path / "damaged.json", write(tmp_path / "a.json", OLD)
    damaged.write_text(text)
    for pair in ((damaged, whole), (whole, damaged)):
        status, out, err = called(capsys, *pair)
        assert (status, out) == (4, "")
        assert err.startswith("gpupool: ")
        assert str(damaged) in err
        assert words in err


@pytest.mark.parametrize("changes", [{"started": "soon"}, {"lease_wait_s": -1}, {"lease_wait_s": "long"}])
def test_a_damaged_worker_is_damage(capsys: Capture, tmp_path: Path, changes: dict[str, Any]) -> None:
    """One that never started is none."""
    waiting: Report = {"id": "gw0", "devices": [], "started": None, "lease_wait_s": None}
    whole = write(tmp_path / "a.json", OLD, workers=[waiting])
    damaged = write(tmp_path / "b.json", OLD, workers=[waiting | changes])
    assert called(capsys, whole, whole)[0] == 0
    status, _, err = called(capsys, whole, damaged)
    assert (status, f"{damaged} is damaged, in: workers" in err) == (4, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("a.json nothing.json", "there is no report nothing.json"),
        (
            "a.json a.json --fail-on=worse",
            "--fail-on=worse: give regressed, gone, no-baseline, contended, invalid, none",
        ),
        ("a.json a.json --rtol=-1", "--rtol=-1: give a number from 0, such as 0.01"),
        ("a.json a.json --rtol=inf", "--rtol=inf: give a number from 0, such as 0.01"),
        ("b.json b.json", "b.json and b.json are both baselines: give a report or a run with one of them"),
    ],
)
def test_what_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, args: str, words: str
) -> None:
    """Exit status 4, and what to do."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", OLD)
    (tmp_path / "b.json").write_text('{"format": "gpupool-baseline", "version": 1, "entries": []}\n')
    assert called(capsys, *args.split()) == (4, "", f"gpupool: {words}\n")


def test_what_failures_share_is_said_first(capsys: Capture, tmp_path: Path) -> None:
    """Of metrics, and of tests that are not good any more, as a run says it; in every form."""
    params = [{"model": model, "task": task} for model in ("small", "medium", "large") for task in range(4)]

    def tests(medium: float, outcome: str) -> list[dict[str, Any]]:
        return [
            a_test(
                f"t.py::t[{one['model']}-{one['task']}]",
                metric("accuracy", medium if one["model"] == "medium" else 0.9),
                metric("f1", 0.5),
                params=one,
                outcome=outcome if one["task"] == 1 else "passed",
            )
            for one in params
        ]

    old = write(tmp_path / "a.json", OLD, *tests(0.9, "passed"))
    new = write(tmp_path / "b.json", NEW, *tests(0.8, "error"))
    told = ["4 of 24 metrics regressed, all of accuracy with model=medium"]
    status, out, _ = called(capsys, old, new)
    assert (status, out.splitlines()[1]) == (1, f"gpupool: {told[0]}")
    _, out, _ = called(capsys, old, new, "--format=markdown")
    assert out.splitlines()[4] == f"**{told[0]}.**"
    _, out, _ = called(capsys, old, new, "--format=json")
    assert json.loads(out)["shared"] == told
    _, out, _ = called(capsys, write(tmp_path / "c.json", NEW, *tests(0.9, "passed")), new, "--rtol=1")
    assert out.splitlines()[1] == "gpupool: 3 of 12 tests failed, all with task=1"
    assert "shared" not in called(capsys, old, old)[1]
