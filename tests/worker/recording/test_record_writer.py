"""A worker's records: in its journal first, then with a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.records.journal import Journal, read
from pytest_gpupool.worker.recording.writer import RECORDS_ATTRIBUTE, RecordWriter


def report() -> Any:
    """A report of a test."""
    return pytest.TestReport("test_a.py::test_a", ("", None, ""), {}, "passed", None, "call")


def carried(writer: RecordWriter) -> list[str]:
    """The kinds of record that the next report carries."""
    one = report()
    writer.attach_to(one)
    return kinds(getattr(one, RECORDS_ATTRIBUTE))


def kinds(lines: list[str]) -> list[str]:
    """What each line is."""
    return [json.loads(line)["record"] for line in lines]


def test_records_are_on_disk_and_ride_on_the_next_report(tmp_path: Path) -> None:
    writer = RecordWriter("gw0", Journal(tmp_path / "gw0.jsonl"))
    writer.write("start", test="a")
    assert list(read(tmp_path / "gw0.jsonl")) == []  # not sound without its other keys, yet it is there
    assert '"record":"start","worker":"gw0","test":"a"' in (tmp_path / "gw0.jsonl").read_text()
    assert carried(writer) == ["start"]
    assert carried(writer) == []
    writer.close()


def test_what_no_disk_keeps_is_sent_at_once() -> None:
    writer, sent = RecordWriter("gw0", Journal(None)), list[str]()
    writer.send_at_once = sent.extend
    writer.write("start", test="a")
    assert kinds(sent) == ["start"]
    assert carried(writer) == []


def test_without_a_link_to_the_controller_it_rides_on_the_report() -> None:
    writer = RecordWriter("main", Journal(None))
    writer.write("start", test="a")
    assert carried(writer) == ["start"]


def test_a_journal_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "gw0.jsonl").mkdir()
    writer, sent = RecordWriter("gw0", Journal(tmp_path / "gw0.jsonl")), list[str]()
    writer.send_at_once = sent.extend
    writer.write("start", test="a")
    writer.write("end", test="a")
    assert kinds(sent) == ["start", "journal-problem", "end"]
    assert "Is a directory" in json.loads(sent[1])["text"]
