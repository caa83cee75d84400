"""The files of items: what is appended can be read, whatever happened to the last line."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from pytest_gpupool.records.beside.names import marked, name_of
from pytest_gpupool.records.beside.samples import (
    SampleFile,
    Samples,
    Tally,
    heading,
    is_place,
    place_of,
    read,
    tally_of,
)
from pytest_gpupool.records.folding.result import TestResult

NODEID = "tests/a b/test_ü.py::test_x[../../etc/passwd-" + "y" * 300 + "]"


def written(run: Path, *lines: str, nodeid: str = "t.py::test") -> str:
    place = place_of(nodeid, "gw0", 1)
    file = SampleFile(run / place, heading(nodeid, "gw0", 1))
    assert all(file.append(line) for line in lines)
    file.close()
    return place


def test_names_are_safe_for_any_test() -> None:
    place = place_of(NODEID, "2/gw0", 3)
    assert is_place(place)
    assert len(place) < 150
    assert place.endswith(".2_gw0-3.jsonl")
    assert name_of(NODEID) != name_of(f"{NODEID} ")
    assert not any(map(is_place, ("items/../x.jsonl", "/items/x.jsonl", "items/.x.jsonl", "items/a/b.jsonl", None, 3)))


def test_items_are_read_as_they_were_written(tmp_path: Path) -> None:
    place = written(tmp_path, '{"id":"a","scores":{"score":1}}', '{"id":"b","output":[1]}')
    assert list(read(tmp_path / place)) == [{"id": "a", "scores": {"score": 1}}, {"id": "b", "output": [1]}]


def test_what_a_kill_has_torn_and_what_is_no_item_is_passed_over(tmp_path: Path) -> None:
    place = written(tmp_path, '{"id":"a"}', '{"id":3}', "[]", '{"id":"b","scores":{"x":true}}', '{"id":"c"}')
    with (tmp_path / place).open("ab") as file:
        file.write(b'\xff\0\n{"id":"e"},{"id":"f"}\n\n' + b"[" * 100_000 + b'\n{"id":"d","out')
    told: list[str] = []
    assert [item["id"] for item in read(tmp_path / place, told.append)] == ["a", "c"]
    assert told == ["6 damaged lines left out"]


def test_what_is_left_out_is_told_to_who_reads_items(tmp_path: Path) -> None:
    """What a kill has cut off is no damage; what a newer version has written is read as far as it is known."""
    whole, torn, newer = (written(tmp_path, '{"id":"a"}', nodeid=name) for name in ("whole", "torn", "newer"))
    with (tmp_path / whole).open("a") as file:
        file.write('{"id":"b","out')
    (tmp_path / torn).write_text('{"id":\n{"id":"a"}\n')
    (tmp_path / newer).write_text('{"format":"gpupool-items","version":2}\n{"id":"a"}\n')
    samples = Samples(tmp_path)
    assert [[item["id"] for item in samples.of({"file": place})] for place in (whole, torn, newer)] == [["a"]] * 3
    assert samples.damaged == {
        torn: "1 damaged line left out",
        newer: "it is of version 2, of a newer pytest-gpupool: read as far as known here",
    }
    assert samples.missing == []
    full = {"file": torn, "count": 9, "lost": 8}
    assert [item["id"] for _ in range(2) for item in samples.of(full)] == ["a", "a"]
    lost = "8 of 9 items could not be written when they were recorded"
    assert samples.damaged[torn] == f"1 damaged line left out; {lost}"


def test_a_name_that_no_file_can_have_is_a_file_that_is_missing(tmp_path: Path) -> None:
    samples = Samples(tmp_path)
    assert list(samples.of({"file": f"items/{'x' * 5000}.jsonl"})) == []
    assert len(samples.missing) == 1


def test_a_test_that_closes_all_descriptors_loses_nothing(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "items" / "x.jsonl", "{}")
    file.append('{"id":"a"}')
    descriptor = file._descriptor
    assert descriptor is not None
    os.close(descriptor)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    assert file.append('{"id":"b"}')
    os.close(other)
    assert [item["id"] for item in read(file.path)] == ["a", "b"]
    assert (tmp_path / "other").read_bytes() == b""
    file.close()


def test_a_disk_without_room_is_a_problem_and_no_error() -> None:
    file = SampleFile(Path("/dev/full"), "{}")
    assert not file.append('{"id":"a"}')
    assert file.problem == "/dev/full: No space left on device"


def test_what_is_written_after_a_torn_heading_is_whole(tmp_path: Path) -> None:
    """As on a disk that was full for a moment."""
    file = SampleFile(tmp_path / "x.jsonl", heading("t.py::test", "gw0", 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        assert not file.append('{"id":"lost"}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in str(file.problem)
    assert file.append('{"id":"kept"}')
    file.close()
    assert [item["id"] for item in read(file.path)] == ["kept"]


def test_a_folder_that_cannot_be_made_is_one_as_well(tmp_path: Path) -> None:
    (tmp_path / "items").write_text("in the way")
    file = SampleFile(tmp_path / "items" / "x.jsonl", "{}")
    assert not file.append('{"id":"a"}')
    assert "x.jsonl: " in str(file.problem)


def test_means_tell_where_there_is_none(tmp_path: Path) -> None:
    lines = [
        '{"id":"a","scores":{"s":1,"t":"nan"}}',
        '{"id":"b","scores":{"s":0,"t":1}}',
        '{"id":"a","scores":{"s":9}}',
    ]
    tally, twice = tally_of(read(tmp_path / written(tmp_path, *lines)))
    assert list(twice) == ["a"]
    assert tally.to_record() == {
        "count": 2,
        "scores": {"s": {"n": 2, "mean": 0.5}, "t": {"n": 2, "mean": None, "non_finite": 1}},
    }


def test_scores_of_any_size_have_a_sum() -> None:
    """Or no mean, where it has no float."""
    tally = Tally()
    for value in (10**308, 10**308, 0.5, "nan"):
        tally.add({"s": value})
    assert tally.to_record()["scores"] == {"s": {"n": 4, "mean": None, "non_finite": 1}}


def test_items_of_a_test_that_was_killed_are_counted_by_who_reads(tmp_path: Path) -> None:
    test = TestResult(nodeid="t.py::test", items={"file": written(tmp_path, '{"id":"a","scores":{"s":1}}')})
    gone = TestResult(nodeid="t.py::gone", items={"file": "items/gone.gw0-1.jsonl"})
    test.before = [{"items": test.items}, {}]
    samples = Samples(tmp_path)
    samples.complete([test, gone])
    assert (test.items["count"], gone.items["count"], test.before[0]["items"]["count"]) == (1, 0, 1)
    assert samples.missing == ["items/gone.gw0-1.jsonl"]


def test_what_is_kept_of_an_earlier_run_has_its_mark_once(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    place = written(first, '{"id":"a"}')
    second.mkdir()
    third.mkdir()
    once = Samples(first).take_over({"file": place, "count": 1}, second, "9f3c2a")
    again = Samples(second).take_over(once, third, "000000")
    assert once["file"] == again["file"] == place.replace(".jsonl", ".9f3c2a.jsonl")
    assert [item["id"] for item in Samples(third).of(again)] == ["a"]
    assert Samples(first).take_over({"file": "items/gone.jsonl"}, second, "9f3c2a") == {"file": "items/gone.jsonl"}
    assert marked("a.b", "9f3c2a") == "a.b.9f3c2a"
