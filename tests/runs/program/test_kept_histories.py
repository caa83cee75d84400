"""Runs that are added to a store of metrics, which other machines' runs are in too."""

from __future__ import annotations

import json
import shutil
import sqlite3

from made_pages import data, parsed
from program import gpupool
from support import Host

SUITE = """
    import pytest

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric): record_metric("score", case + 0.5)
"""
STORE = "--gpupool-history=shared/history.sqlite"


def runs_in(host: Host) -> list[str]:
    """The runs that the store has."""
    connection = sqlite3.connect(host.project / "shared" / "history.sqlite")
    try:
        return [run for (run,) in connection.execute("SELECT id FROM runs ORDER BY id")]
    finally:
        connection.close()


def test_runs_add_themselves(cpu_host: Host) -> None:
    """With -n and without, once each; charts and 'gpupool history' have them where no record is left of them."""
    cpu_host.write("test_suite.py", SUITE)
    for args in ((), ("-n2",)):
        assert cpu_host.pytest(STORE, *args).status == 0
        shutil.rmtree(cpu_host.project / ".gpupool")  # as on the next CI machine
    done = cpu_host.pytest("-n2", STORE, "--gpupool-html=report.html", "-k", "case")
    assert done.status == 0, done.stdout
    ids = runs_in(cpu_host)
    assert len(ids) == 3
    drawn = json.dumps(data(parsed((cpu_host.project / "report.html").read_text())))
    assert all(run in drawn for run in ids)
    status, out, _ = gpupool(cpu_host, "history", "case[1]", "score", "--history", "shared/history.sqlite")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("20")] == ids
    report = json.loads((cpu_host.project / "report.json").read_text())
    told = gpupool(cpu_host, "ingest", "report.json", "latest", "--history", "shared/history.sqlite")[1]
    assert told == ("gpupool: report.json: 0 new runs, 0 new values\ngpupool: latest: 0 new runs, 0 new values\n"), (
        report["run"]["id"],
        ids,
    )


def test_a_bad_store_costs_a_run_nothing(cpu_host: Host) -> None:
    """One of a newer version is left alone, a damaged one is put aside; both are said, and the run is green."""
    cpu_host.write("test_suite.py", SUITE)
    shared = cpu_host.project / "shared"
    shared.mkdir()
    path = shared / "history.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (x)")
    connection.execute(f"PRAGMA application_id = {0x67707068}")
    connection.execute("PRAGMA user_version = 9")
    connection.commit()
    connection.close()
    newer = path.read_bytes()
    done = cpu_host.pytest(STORE, "--gpupool-html=report.html")
    assert done.status == 0
    assert "this run is not in the history: " in done.stdout
    assert "is of version 9, of a newer pytest-gpupool" in done.stdout
    page = " ".join((cpu_host.project / "report.html").read_text().split())
    assert "<p>Earlier runs are not all in this report: " in page
    assert "is of version 9, of a newer pytest-gpupool" in page
    assert path.read_bytes() == newer
    path.write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    done = cpu_host.pytest(STORE)
    assert done.status == 0
    assert "history.sqlite was damaged; it is kept as" in " ".join(done.stdout.split())
    assert len(runs_in(cpu_host)) == 1
    assert len(list(shared.glob("history.sqlite.damaged-*"))) == 1
    done = cpu_host.pytest("--gpupool-history=.")
    assert done.status == 4
    assert "is a directory: give the path of a file" in done.stderr


def test_no_store_unless_there_is_one(cpu_host: Host) -> None:
    """The one beside the records is used from the moment that 'gpupool ingest' has made it."""
    cpu_host.write("test_suite.py", SUITE)
    assert cpu_host.pytest().status == 0
    kept = cpu_host.project / ".gpupool" / "history.sqlite"
    assert not kept.exists()
    assert gpupool(cpu_host, "ingest", "latest")[0] == 0
    assert kept.exists()
    cpu_host.write("pytest.ini", "[pytest]\ngpupool_history = shared/history.sqlite\n")
    assert cpu_host.pytest().status == 0
    assert len(runs_in(cpu_host)) == 1
    cpu_host.write("pytest.ini", "[pytest]\n")
    assert cpu_host.pytest().status == 0
    out = gpupool(cpu_host, "history", "case[0]", "score")[1]
    assert sum(line.startswith("20") for line in out.splitlines()) == 3
