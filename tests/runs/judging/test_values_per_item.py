"""The values per item of a run lie beside its journals, and whoever judges it later finds them there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.records.beside.items import Items

FILE = "--gpupool-baseline=baseline.json"

# Of its 400 answers 20 that were right are wrong in WORSE runs: only pairs show that.
SUITE = """
    import os, random

    WORSE = os.environ.get("WORSE")

    def answers(seed):
        draw = random.Random(seed)
        right = {f"question {n}": int(draw.random() < 0.7) for n in range(400)}
        if WORSE:
            for name in [name for name in right if right[name]][:20]:
                right[name] = 0
        return right

    def record(record_metric, name, right):
        record_metric(name, sum(right.values()) / len(right), higher_is_better=True, samples=right)

    def test_one(record_metric):
        record(record_metric, "accuracy", answers(1))
        record(record_metric, "again", answers(1))

    def test_other(record_metric):
        record(record_metric, "accuracy", answers(2))
        if os.environ.get("KILL"):
            os.kill(os.getpid(), 9)
"""


def runs(host: Host) -> list[Path]:
    """The directories of its runs, the latest last."""
    return sorted((host.project / ".gpupool" / "runs").iterdir())


def texts(run: Path) -> str:
    """What a run has in its journals."""
    return "".join(path.read_text() for path in run.glob("*.jsonl"))


def as_before(run: Path, copy: Path) -> None:
    """Copy a run's directory as a version would have written it that kept the values per item in the journal."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("items"))
    items = Items(run / "items")
    for path in copy.glob("*.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        filled = [one | {"metric": items.filled(one["metric"])} if "metric" in one else one for one in records]
        path.write_text("".join(json.dumps(one) + "\n" for one in filled))


def verdicts(tests: list[dict[str, Any]]) -> dict[str, str]:
    """By test and metric."""
    return {
        f"{test['nodeid'].rpartition('::')[2]} {metric['name']}": metric["verdict"]
        for test in tests
        for metric in test["metrics"]
    }


def compared(host: Host, *args: str) -> tuple[dict[str, float | None], str]:
    """The p-values of a comparison, and what is said on the error stream."""
    _, out, err = gpupool(host, "compare", *args, "--format=json")
    return {f"{pair['test']} {pair['metric']}": pair["p_value"] for pair in json.loads(out)["metrics"]}, err


@pytest.fixture
def accepted(cpu_host: Host) -> Host:
    """A host with a baseline of one run, whose report lies aside."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.pytest(FILE, "--gpupool-update-baseline")
    shutil.move(cpu_host.project / "report.json", cpu_host.project / "first.json")
    return cpu_host


REGRESSED = {"test_one accuracy": "regressed", "test_one again": "regressed", "test_other accuracy": "regressed"}


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_they_are_in_no_journal_and_no_report(accepted: Host, args: list[str]) -> None:
    """Three metrics, measured twice, of the same questions: these are kept once, and answers that are the same too."""
    run = accepted.pytest(FILE, *args, environ=accepted.environ(WORSE="1"))
    assert verdicts(run.report["tests"]) == REGRESSED
    assert all(len(test["attempts"]) == 2 for test in run.report["tests"])
    directory = runs(accepted)[-1]
    assert sorted(path.name.partition("-")[0] for path in (directory / "items").iterdir()) == [
        "items",
        "values",
        "values",
    ]
    whole = [texts(directory), (accepted.project / "report.json").read_text()]
    whole += [(directory / name).read_text() for name in ("baseline.json",)]
    assert not [text for text in whole if "question" in text or '"samples"' in text]
    # Reports, and the runs on record, are compared by pairs; reports from elsewhere where their items are beside them.
    by_run, told = compared(accepted, *(path.name for path in runs(accepted)))
    assert (told, all(p is not None and p < 1e-3 for p in by_run.values())) == ("", True)
    assert compared(accepted, "first.json", "report.json") == (by_run, "")
    shutil.move(accepted.project / ".gpupool", accepted.project / "moved")
    alone, told = compared(accepted, "first.json", "report.json")
    assert all(p is not None and p > 1e-3 for p in alone.values())
    assert "first.json: values per item are not there, and are not compared: values-" in told
    assert "copy the folder 'items' of its run's directory beside it" in told
    assert compared(accepted, "first.json", "report.json", "--dir=moved") == (by_run, "")
    shutil.copytree(accepted.project / "moved" / "runs" / directory.name / "items", accepted.project / "items")
    assert "first.json" in compared(accepted, "first.json", "report.json")[1]
    for path in (accepted.project / "moved" / "runs").glob("*/items/*"):
        shutil.copy(path, accepted.project / "items")
    assert compared(accepted, "first.json", "report.json") == (by_run, "")


def test_a_run_that_was_killed(accepted: Host) -> None:
    """It is judged by its items, wherever its directory is; without them as one that has none, which is said."""
    accepted.pytest(FILE, "--gpupool-confirm=0", environ=accepted.environ(WORSE="1", KILL="1"))
    killed = runs(accepted)[-1]
    shutil.copytree(killed, accepted.project / "copy")
    as_before(killed, accepted.project / "old")
    assert gpupool(accepted, "report", "old", "--json=out/killed.json")[::2] == (0, "")
    assert len(list((accepted.project / "out" / "items").iterdir())) == 3
    old = (accepted.project / "out" / "killed.json").read_text()
    assert (verdicts(json.loads(old)["tests"])["test_one again"], "question" in old) == ("regressed", False)
    for cut in (False, True):
        if cut:
            for path in (accepted.project / "copy" / "items").glob("values-*"):
                path.write_bytes(path.read_bytes()[:30])
        status, out, err = gpupool(accepted, "report", "copy", "--json=killed.json")
        assert status == 0, out + err
        found = verdicts(json.loads((accepted.project / "killed.json").read_text())["tests"])
        assert found["test_one accuracy"] == ("ok" if cut else "regressed")
        assert ("values per item are not there" in err and "it is damaged" in err) == cut
    # The run that goes on with it has them, also where the earlier one is gone.
    environ = accepted.environ(WORSE="1")
    run = accepted.pytest(FILE, "--gpupool-resume", "--gpupool-confirm=0", environ=environ)
    assert verdicts(run.report["tests"]) == REGRESSED
    assert "values per item" not in run.output
    shutil.rmtree(killed)
    last = runs(accepted)[-1].name
    by_pairs, told = compared(accepted, "first.json", last)
    assert (told, max(p or 0 for p in by_pairs.values()) < 1e-3) == ("", True)
    status, _, err = gpupool(accepted, "baseline", "update", "baseline.json", last, "--accept-all", "--reason=new")
    assert (status, err) == (0, "")
    assert verdicts(accepted.pytest(FILE, environ=environ).report["tests"]) == dict.fromkeys(REGRESSED, "ok")


def test_a_run_without_records_has_them_beside_its_report(accepted: Host) -> None:
    """What it cannot keep elsewhere; as a report that is made of an older version's journal."""
    environ = accepted.environ(WORSE="1")
    (accepted.project / "no").write_text("")
    accepted.pytest(FILE, "--gpupool-dir=no/where", "--gpupool-json=out/second.json", "-n1", environ=environ)
    report = json.loads((accepted.project / "out" / "second.json").read_text())
    assert verdicts(report["tests"]) == REGRESSED
    assert "question" not in json.dumps(report)
    assert len(list((accepted.project / "out" / "items").iterdir())) == 3
    by_pairs, told = compared(accepted, "first.json", "out/second.json")
    assert (told, max(p or 0 for p in by_pairs.values()) < 1e-3) == ("", True)
