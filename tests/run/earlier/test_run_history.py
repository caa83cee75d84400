"""What earlier runs measured, and what one run adds."""

from __future__ import annotations

from pathlib import Path

from made_records import collected, end, leased, start
from made_run_parts import Silent, devices, options, records

from pytest_gpupool.run.earlier.history import History
from pytest_gpupool.run.records import RunRecords

TEST = "test_a.py::test_a"


def run_of(directory: Path | None) -> RunRecords:
    """A run that took four seconds for its only test."""
    run = records(directory)
    started = {**start("gw0", TEST), "devices": ["GPU-0"]}
    run.results.add_all([collected(TEST), leased("gw0", "GPU-0"), started, end("gw0", TEST, seconds=4.0)])
    return run


def history(base: Path, run: RunRecords) -> History:
    """The history in a directory as that run sees it."""
    return History(options(base), devices(base, kept=run), run, Silent())


def test_what_a_run_adds_a_later_one_knows(tmp_path: Path) -> None:
    history(tmp_path, run_of(tmp_path / "run")).add_this_run()
    later = history(tmp_path, records(None))
    assert later.known()[TEST].seconds == 4.0


def test_a_run_that_keeps_no_records_adds_nothing(tmp_path: Path) -> None:
    history(tmp_path, run_of(None)).add_this_run()
    assert not history(tmp_path, records(None)).known()


def test_it_is_read_once(tmp_path: Path) -> None:
    here = history(tmp_path, records(None))
    assert not here.known()
    history(tmp_path, run_of(tmp_path / "run")).add_this_run()
    assert not here.known()
