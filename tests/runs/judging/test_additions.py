"""Over the runs on record a bad card shows, and every report says so."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from program import gpupool
from support import SCHEMA, Host

SUITE = """
    def test_train(gpu, record_metric):
        slow = gpu.ids[0].startswith("GPU-00000001")
        record_metric("step_time", 12.01 if slow else 10.01, unit="ms", higher_is_better=False)
        record_metric("accuracy", 0.9, higher_is_better=True)
"""


def several(runs: Path) -> None:
    """Make more runs of the one on record, each a minute older and with values that are a little different."""
    (run,) = runs.iterdir()
    for number in range(1, 5):
        older = runs / f"20200101T00{number:02}{run.name[13:]}"
        shutil.copytree(run, older)
        for path in (older / "plan.json", *older.glob("*.jsonl")):
            path.write_text(path.read_text().replace(run.name, older.name))
        for journal in older.glob("gw*.jsonl"):
            journal.write_text(re.sub(r"1([02])\.01", rf"1\g<1>.0{number + 1}", journal.read_text()))


def test_a_card_on_which_a_metric_differs_is_named(make_host: Callable[..., Host]) -> None:
    """After some runs, by name, with the figures; the metrics that are the same everywhere are not named."""
    host: Host = make_host(3, name="NVIDIA H200")
    host.write("test_train.py", SUITE)
    reports = ["--gpupool-html=report.html", "--gpupool-markdown=report.md"]
    first = host.pytest("-n3", "--dist", "each")
    assert "placement" not in first.report
    several(host.project / ".gpupool/runs")
    run = host.pytest("-n3", "--dist", "each", *reports)
    found = run.report["placement"]
    bad = [one for one in found if one["test"] is not None]
    assert [(one["metric"], one["device"][:12]) for one in bad] == [("step_time", "GPU-00000001")]
    assert 11.9 < bad[0]["value"] < 12.1
    assert 9.9 < bad[0]["others"] < 10.1
    assert {one["device"][:12] for one in found} == {"GPU-00000001"}
    assert "step_time on GPU 1" in run.stdout
    assert "a bad card?" in run.stdout
    for name in ("report.html", "report.md"):
        assert "a bad card?" in (host.project / name).read_text()
    status, _, err = gpupool(host, "report", "latest", "--json", "again.json")
    assert (status, err) == (0, "")
    again = json.loads((host.project / "again.json").read_text())
    SCHEMA.validate(again)
    assert again["placement"] == found
