"""What has been added to a run's journals is read once, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_gpupool.live.tail import Tail
from pytest_gpupool.records.journal import Journal, dump


def said(number: int, worker: str = "gw0") -> dict[str, Any]:
    return {"record": "journal-problem", "worker": worker, "text": str(number)}


def texts(records: Iterable[Any]) -> list[str]:
    return [record["text"] for record in records if record["record"] == "journal-problem"]


def test_each_record_is_read_once(tmp_path: Path) -> None:
    """Also of a journal that is new since the last look."""
    tail, first = Tail(tmp_path), Journal(tmp_path / "gw0.jsonl")
    assert texts(tail.read()) == []
    first.append(dump(said(1)))
    assert texts(tail.read()) == ["1"]
    assert texts(tail.read()) == []
    first.append(dump(said(2)))
    second = Journal(tmp_path / "gw1.jsonl")
    second.append(dump(said(3)))
    assert texts(tail.read()) == ["2", "3"]
    first.close()
    second.close()


def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path, line = tmp_path / "gw0.jsonl", json.dumps(said(1)) + "\n"
    tail = Tail(tmp_path)
    path.write_text(line[:20])
    assert texts(tail.read()) == []
    path.write_text(line)
    assert texts(tail.read()) == ["1"]


def test_the_controller_comes_last(tmp_path: Path) -> None:
    """What it says of a test is about what a worker has said before."""
    for name in ("controller", "gw0", "main"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**said(1), "text": name}) + "\n")
    assert texts(Tail(tmp_path).read()) == ["gw0", "main", "controller"]


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    """Neither damage nor a file of another kind keeps the rest from being read."""
    lines = ["{", "[]", '{"record": "start"}', "[" * 100_000, "\xff", json.dumps(said(1))]
    (tmp_path / "gw0.jsonl").write_text("\n".join(lines) + "\n", encoding="latin-1")
    (tmp_path / "plan.json").write_text("{}\n")
    (tmp_path / "gw1.jsonl").mkdir()
    assert texts(Tail(tmp_path).read()) == ["1"]


def test_only_so_much_is_read_at_a_time(tmp_path: Path) -> None:
    """A line that is longer than that is read all the same."""
    lines = [json.dumps({**said(number), "more": "x" * 100}) for number in range(10)]
    (tmp_path / "gw0.jsonl").write_text("".join(f"{line}\n" for line in lines))
    tail = Tail(tmp_path, most=2 * len(lines[0]) + 2)
    assert texts(tail.read()) == ["0", "1"]
    assert texts(tail.read()) == ["2", "3"]
    assert texts(Tail(tmp_path, most=1).read()) == ["0"]


def test_a_directory_that_is_gone_has_no_records(tmp_path: Path) -> None:
    assert texts(Tail(tmp_path / "none").read()) == []
