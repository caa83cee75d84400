"""The log of a test: its name, the line before each attempt, and how long it grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gpupool.logs import log_file
from pytest_gpupool.logs.log_file import LogFile
from pytest_gpupool.logs.place import heading, is_place, log_path, nodeid_in, rank_path
from pytest_gpupool.logs.worker_logs import WorkerLogs

AT = "2026-11-30T10:00:00.000000Z"


@pytest.mark.parametrize("nodeid", ["t.py::test_a[x=1-y]", "t.py::test_a[/a b/'\"$]", "a/" * 200 + "t.py::test", "ü"])
def test_a_name_for_each_test(tmp_path: Path, nodeid: str) -> None:
    """It needs no quotes in a shell, and no other test has it."""
    path = log_path(tmp_path, "gw0", nodeid)
    assert path.parent == tmp_path / "logs" / "gw0"
    assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.=+-")
    assert len(path.name) < 150
    assert path != log_path(tmp_path, "gw0", nodeid + "'")
    assert is_place(path.relative_to(tmp_path).as_posix())


@pytest.mark.parametrize(
    "name",
    [
        "logs/gw0/../../a.log",
        "/logs/gw0/a.log",
        "logs/../a.log",
        "logs/gw0/a.log\n",
        "gw0.jsonl",
        "logs/a.log",
        "logs/gw0/a.ranks/b.log",
        1,
    ],
)
def test_what_another_host_sends_goes_nowhere_else(name: object) -> None:
    """Than into the folder of a worker's logs."""
    assert not is_place(name)


def test_a_log_that_is_sent() -> None:
    """Its first piece has the heading; a child that is forked sends nothing, and tells its parent nothing either."""
    sent: list[tuple[str, str, bytes]] = []
    logs = WorkerLogs(None, "gw0")
    assert not logs.are_kept
    logs.send = lambda *piece: sent.append(piece)
    logs.begin("t.py::test", 1, AT)
    logs.write(b"one\n")
    if (pid := os.fork()) == 0:
        logs.goes_on_here()
        logs.write(b"two\n")
        os._exit(len(sent) - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    logs.write(b"three\n")
    logs.end()
    path = log_path(Path(), "gw0", "t.py::test").as_posix()
    head = heading("t.py::test", "gw0", 1, AT)
    assert sent == [("t.py::test", path, head + b"one\n"), ("t.py::test", path, b"three\n")]
    assert logs.path is None


def test_a_log_of_a_rank_that_is_sent() -> None:
    """Into a folder beside the test's, and less of it."""
    sent: list[tuple[str, str, bytes]] = []
    logs = WorkerLogs(None, "gw0")
    logs.begin("t.py::test", 1, AT)
    assert logs.of_rank(1) is None
    logs.send = lambda *piece: sent.append(piece)
    log = logs.of_rank(1)
    assert log is not None
    log.write(b"one\n")
    log.write(bytes(2**21))
    log.close()
    path = rank_path(log_path(Path(), "gw0", "t.py::test"), 1)
    assert is_place(path.as_posix())
    assert {piece[:2] for piece in sent} == {("t.py::test", path.as_posix())}
    data = b"".join(piece[2] for piece in sent)
    assert data.startswith(heading("t.py::test", "gw0", 1, AT) + b"one\n")
    assert b"this log is full (1 MiB)" in data
    assert len(data) < 2**20 + 2 * log_file.LAST


def test_a_heading_names_its_test() -> None:
    """Whatever is in the name; no other line is one."""
    for nodeid in ("t.py::test[a: b ===]", "t.py::test[Z: x]"):
        assert nodeid_in(heading(nodeid, "gw0", 2, AT)) == nodeid
    assert nodeid_in(b"=== gpupool: \n") is None
    assert nodeid_in(b"text\n") is None


def test_attempts_follow_each_other(tmp_path: Path) -> None:
    """There is no file for those that write nothing, and a child that is forked writes none."""
    logs = WorkerLogs(tmp_path, "gw0")
    for attempt, text in enumerate([b"", b"one\n", b"two\n"], 1):
        logs.begin("t.py::test", attempt, AT)
        logs.write(text)
        if not os.fork():
            logs.write(b"child\n")
            os._exit(0)
        os.wait()
    path = logs.path
    assert path is not None
    logs.end()
    logs.write(b"late\n")
    assert path.read_bytes() == b"".join(
        heading("t.py::test", "gw0", number, AT) + text for number, text in ((2, b"one\n"), (3, b"two\n"))
    )


def test_a_log_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long output it has the beginning and the end, and says so between."""
    monkeypatch.setattr(log_file, "MOST", 100)
    monkeypatch.setattr(log_file, "LAST", 10)
    log = LogFile(tmp_path / "log", b"")
    log._left = 100
    for number in range(100):
        log.write(b"%04d\n" % number)
    log.close()
    lines = log.path.read_text().splitlines()
    assert lines[0] == "0000"
    assert lines[-2:] == ["0098", "0099"]
    assert "this log is full (64 MiB)" in log.path.read_text()
    assert len(lines) < 30


def test_a_disk_that_cannot_be_written_costs_the_log_alone(tmp_path: Path) -> None:
    """The test goes on."""
    (tmp_path / "logs").touch()
    logs = WorkerLogs(tmp_path, "gw0")
    logs.begin("t.py::test", 1, AT)
    logs.write(b"text")
    assert logs.path is None
    logs.end()
