"""What is to be seen of a run at a moment: its workers on their devices, its end, its last failure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_records import START, collected, end, leased, start

from pytest_gpupool.live.snapshot import Observer, Snapshot
from pytest_gpupool.records.estimates import Known
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.records.journal import Journal, dump
from pytest_gpupool.records.record import Record
from pytest_gpupool.values.device import Device

DEVICES = (
    Device(id="GPU-0", kind="gpu", index=0, name="A GPU"),
    Device(id="GPU-1", kind="gpu", index=1, name="A GPU"),
    Device(id="MIG-0", kind="mig", index=2, name="A part of one"),
)


def look(directory: Path, *records: Record, known: Mapping[str, float] | None = None, after: float = 0.0) -> Snapshot:
    """What is seen of a run with these records, so many seconds after its start."""
    journal = Journal(directory / "gw0.jsonl")
    for record in records:
        journal.append(dump(record))
    journal.close()
    controller: Any = SimpleNamespace(
        records=SimpleNamespace(directory=directory, results=Results(), unjournaled=set()),
        devices=SimpleNamespace(engine=None, pool=SimpleNamespace(devices=DEVICES)),
        history=SimpleNamespace(known=lambda: {test: Known(seconds, None) for test, seconds in (known or {}).items()}),
    )
    observer = Observer(controller, clock=lambda: START + after)
    observer.open()
    try:
        return observer.look()
    finally:
        observer.close()


def test_devices_are_called_as_people_call_them_in_the_pools_order(tmp_path: Path) -> None:
    seen = look(
        tmp_path,
        leased("gw0", "cpu:10"),
        leased("gw1", "cpu:9"),
        leased("gw2", "MIG-0"),
        leased("gw3", "GPU-0", "GPU-1"),
        leased("gw4"),
    )
    assert [seen.labels[row.worker] for row in seen.rows] == ["GPU 0,1", "MIG-0 on GPU 2", "gw4", "cpu:9", "cpu:10"]


def test_a_worker_on_a_cpu_slot_shows_what_its_process_uses(tmp_path: Path) -> None:
    """One that has just gone shows nothing."""
    seen = look(tmp_path, leased("gw0", "cpu:0", pid=os.getpid()), leased("gw1", "cpu:1", pid=2**22 + 1))
    assert seen.readings["gw0"].memory is not None
    assert seen.readings["gw0"].memory > 1 << 20
    assert seen.readings["gw1"].memory is None


@pytest.mark.parametrize(
    ("known", "after", "remaining", "end_text"),
    [
        ({}, 0.0, None, None),
        ({"t.py::a": 600.0}, 60.0, 540.0 + 600.0, r"about \d\d:\d\d \(in 19 min\)"),
        ({"t.py::a": 90_000.0}, 0.0, 180_000.0, r"about \w+ \d\d:\d\d \(in 50 h 0 min\)"),
    ],
)
def test_the_end_is_told_as_a_time_of_day(
    tmp_path: Path, known: dict[str, float], after: float, remaining: float | None, end_text: str | None
) -> None:
    """One that is not of today has its day. A test that no run knows is taken for one like its module's."""
    tests = ("t.py::a", "t.py::b")
    seen = look(tmp_path, collected(*tests), leased("gw0", "GPU-0"), start("gw0", "t.py::a"), known=known, after=after)
    assert seen.remaining == remaining
    assert (seen.end is None) == (end_text is None)
    assert end_text is None or re.fullmatch(end_text, seen.end or "")


def test_a_failure_is_shown_with_its_test(tmp_path: Path) -> None:
    seen = look(tmp_path, collected("a"), leased("gw0", "GPU-0"), start("gw0", "a"), end("gw0", "a", "failed"))
    assert seen.failure == ("a", "failed")
