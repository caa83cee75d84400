"""The file beside a lock says who holds it, and nothing that anybody writes into it does harm."""

from __future__ import annotations

import getpass
import json
import os
import socket
import stat
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_leases import wait_until

from pytest_gpupool.leases.locking.holders import Holder, by_pid, myself, read, write
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.processes import table
from pytest_gpupool.values.texts import epoch

NAME = "a.json"
SINCE = "2026-11-21T11:46:52.000000Z"

ALICE = Holder(
    pid=4711,
    started=123456,
    pid_namespace=4026531836,
    uid=1000,
    user="alice",
    host="node1",
    worker="gw0",
    run="20261121T114652Z-9f3c2a",
    test="evals/test_mmlu.py::TestMmlu::test_mmlu[llama-8]",
    since=SINCE,
)


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestDescribe:
    """How a person reads it."""

    @pytest.mark.parametrize(
        ("test", "seconds", "text"),
        [
            (ALICE.test, 720, "pid 4711 (alice, test_mmlu[llama-8]) for 12 min"),
            ("test_a.py::test_a", 8, "pid 4711 (alice, test_a) for 8 s"),
            ("script", 8, "pid 4711 (alice, script) for 8 s"),
            (None, 11100, "pid 4711 (alice) for 3 h 5 min"),
            (None, -60, "pid 4711 (alice) for 0 s"),
        ],
    )
    def test_it_names_process_user_test_and_time(self, test: str | None, seconds: float, text: str) -> None:
        """Of the test its last part; a clock that was set back gives no negative time."""
        assert replace(ALICE, test=test).describe(epoch(SINCE) + seconds) == text


class TestWrite:
    """What a holder leaves beside its lock."""

    def test_it_says_what_there_is_to_say(self, directory: LockDirectory) -> None:
        """For other programs to read; what is unknown is left out."""
        write(directory, NAME, ALICE)
        data = json.loads((directory.path / NAME).read_text())
        keys = ["pid", "started", "pid_namespace", "uid", "user", "host", "run", "worker", "test", "since"]
        assert list(data) == keys
        assert data == {key: asdict(ALICE)[key] for key in keys}

    def test_who_shares_says_so(self, directory: LockDirectory) -> None:
        """And how much memory its test may take."""
        sharing = replace(ALICE, slots=2, memory=3 << 30)
        write(directory, NAME, sharing)
        assert json.loads((directory.path / NAME).read_text()).items() >= {"slots": 2, "memory": 3 << 30}.items()
        assert read(directory, NAME) == sharing

    def test_a_shorter_text_leaves_nothing_of_the_longer(self, directory: LockDirectory) -> None:
        """It is written in place: another user's file in a sticky directory cannot be replaced."""
        path = directory.path / NAME
        write(directory, NAME, ALICE)
        inode = path.stat().st_ino
        write(directory, NAME, replace(ALICE, test=None, user="bo"))
        assert read(directory, NAME) == replace(ALICE, test=None, user="bo")
        assert path.stat().st_ino == inode

    def test_nobody_is_an_empty_file(self, directory: LockDirectory) -> None:
        """It stays."""
        path = directory.path / NAME
        write(directory, NAME, ALICE)
        write(directory, NAME, None)
        assert (path.read_bytes(), read(directory, NAME)) == (b"", None)

    def test_every_user_may_write_it(self, directory: LockDirectory) -> None:
        """Past the umask: the next holder may be another one."""
        umask = os.umask(0o077)
        try:
            write(directory, NAME, ALICE)
        finally:
            os.umask(umask)
        assert stat.S_IMODE((directory.path / NAME).stat().st_mode) == 0o666

    def test_a_link_is_not_followed(self, directory: LockDirectory) -> None:
        """Neither to write nor to read: anybody may put one there."""
        precious = directory.path / "precious"
        precious.write_text(json.dumps(asdict(ALICE)))
        (directory.path / NAME).symlink_to(precious)
        write(directory, NAME, None)
        assert precious.read_text() == json.dumps(asdict(ALICE))
        assert read(directory, NAME) is None

    @pytest.mark.parametrize("name", ["gone/a.json", "folder"])
    def test_where_it_cannot_be_written_nothing_happens(self, directory: LockDirectory, name: str) -> None:
        """It only informs."""
        (directory.path / "folder").mkdir()
        write(directory, name, ALICE)
        assert [path.name for path in directory.path.iterdir()] == ["folder"]
        assert read(directory, name) is None

    def test_a_full_disk_is_no_reason_to_stop(self, tmp_path: Path) -> None:
        """It only informs."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        where = tmp_path / "small"
        where.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "none", where], check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            directory = lock_directory(str(where), {})
            write(directory, NAME, None)
            (where / "rest").write_bytes(b"x" * 4096)
            write(directory, NAME, ALICE)
            assert read(directory, NAME) is None
            directory.close()
        finally:
            subprocess.run(["umount", where], check=True)

    def test_myself(self) -> None:
        """This process, this user, this host, no test yet."""
        holder = myself(worker="gw3", run="run-1", since="2026-11-21T11:46:52.000000Z")
        assert holder.process == table.identity()
        assert (holder.user, holder.uid, holder.host) == (getpass.getuser(), os.getuid(), socket.gethostname())
        assert (holder.worker, holder.run, holder.test, holder.command) == ("gw3", "run-1", None, None)
        assert (holder.slots, holder.memory) == (1, None)

    def test_a_user_without_a_name_is_a_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in many containers."""
        monkeypatch.setattr("getpass.getuser", _no_name)
        assert myself(worker="gw3", run="run-1", since="").user == str(os.getuid())

    def test_who_has_left_no_note_is_known_by_the_kernel(self) -> None:
        """By its number: the user, and the beginning of the command line."""
        child = subprocess.Popen(["sleep", "300"])
        wait_until(lambda: table.command(child.pid) == "sleep 300")  # it has its name before its arguments
        known = by_pid(child.pid)
        assert known is not None
        assert known.describe(0) == f"pid {child.pid} ({getpass.getuser()}, sleep 300)"
        child.kill()
        child.wait()
        assert by_pid(child.pid) is None


class TestRead:
    """Any user of the host may write the file: what is not a holder reads as nobody."""

    def test_what_was_written(self, directory: LockDirectory) -> None:
        """Texts of any script too."""
        holder = replace(ALICE, user="アリス", test="test_é.py::test[\n]")
        write(directory, NAME, holder)
        assert read(directory, NAME) == holder

    def test_a_missing_file(self, directory: LockDirectory) -> None:
        """Nobody ever held the lock."""
        assert read(directory, NAME) is None

    def test_a_file_cut_anywhere(self, directory: LockDirectory) -> None:
        """A reader may come while it is written."""
        path = directory.path / NAME
        whole = json.dumps(asdict(ALICE)).encode()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert read(directory, NAME) is None, length

    def test_a_torn_file_is_read_again(self, directory: LockDirectory) -> None:
        """A moment later it is whole: who reserves memory must not be overlooked while it writes."""
        path = directory.path / NAME
        path.write_text(json.dumps(asdict(ALICE)) + '"}')
        assert read(directory, NAME, sleep=lambda _: write(directory, NAME, ALICE)) == ALICE

    @pytest.mark.parametrize(
        "content",
        [b"", b"\x00" * 300, b"\xff\xfe{}", b"4711", b"null", b'"alice"', b"[]", b"{}", b"{} {}", b"pid: 4711",
         b"[" * 60_000, b'{"a":' * 10_000, b"9" * 5000],
        ids=["empty", "zeros", "bytes", "number", "null", "text", "list", "no keys", "two", "yaml", "deep lists",
             "deep objects", "long number"],
    )  # fmt: skip
    def test_garbage(self, directory: LockDirectory, content: bytes) -> None:
        """It raises nothing."""
        (directory.path / NAME).write_bytes(content)
        assert read(directory, NAME) is None

    @pytest.mark.parametrize(
        "change",
        [{"pid": "4711"}, {"pid": None}, {"pid": 47.11}, {"pid": True}, {"user": None}, {"user": 0}, {"host": []},
         {"worker": 3}, {"run": {}}, {"test": 7}, {"test": ["a"]}, {"since": 1795261612}, {"since": "yesterday"},
         {"since": ""}, {"since": "0001-01-01"}, {"until": "soon"}, {"started": "1"}, {"uid": -1},
         {"command": 1}, {"slots": 0}, {"slots": "2"}, {"slots": True},
         {"slots": None}, {"slots": 2.0}, {"slots": 10**30}, {"memory": -1}, {"memory": "1GiB"}, {"memory": 0.5},
         {"memory": False}, {"memory": 10**400}],
        ids=str,
    )  # fmt: skip
    def test_wrong_types(self, directory: LockDirectory, change: dict[str, Any]) -> None:
        """One is enough."""
        (directory.path / NAME).write_text(json.dumps({**asdict(ALICE), **change}))
        assert read(directory, NAME) is None

    def test_an_earlier_versions(self, directory: LockDirectory) -> None:
        """It says less of the process."""
        keys = ("pid", "user", "host", "worker", "run", "test", "since")
        (directory.path / NAME).write_text(json.dumps({key: asdict(ALICE)[key] for key in keys}))
        holder = read(directory, NAME)
        assert holder == replace(ALICE, started=None, pid_namespace=None, uid=None)
        assert holder.process is None

    def test_a_later_versions(self, directory: LockDirectory) -> None:
        """What is not known is left out."""
        (directory.path / NAME).write_text(json.dumps({**ALICE.to_json(), "mood": "good", "more": [1]}))
        assert read(directory, NAME) == ALICE

    @pytest.mark.parametrize("key", ["pid", "user", "host"])
    def test_a_key_that_lacks(self, directory: LockDirectory, key: str) -> None:
        """None of these has a default."""
        data = ALICE.to_json()
        del data[key]
        (directory.path / NAME).write_text(json.dumps(data))
        assert read(directory, NAME) is None

    def test_a_huge_file(self, directory: LockDirectory) -> None:
        """It is not read to its end."""
        (directory.path / NAME).write_text(json.dumps(asdict(replace(ALICE, user="x" * 100_000))))
        assert read(directory, NAME) is None

    def test_a_pipe(self, directory: LockDirectory) -> None:
        """Nobody waits for a writer."""
        os.mkfifo(directory.path / NAME)
        assert read(directory, NAME) is None

    @pytest.mark.parametrize("key", ["user", "host", "worker", "run", "test"])
    def test_a_text_that_cannot_be_printed(self, directory: LockDirectory, key: str) -> None:
        """A lone surrogate, which no terminal and no report can show."""
        path = directory.path / NAME
        path.write_text(json.dumps({**asdict(ALICE), key: "\ud800"}))
        holder = read(directory, NAME)
        assert holder is None or "\ud800" not in holder.describe(0)

    @pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\r", "\x07", "\x9b2J"])
    def test_a_text_that_would_command_the_terminal(self, directory: LockDirectory, text: str) -> None:
        """Control characters of another user's do not reach it."""
        path = directory.path / NAME
        path.write_text(json.dumps({**asdict(ALICE), "user": text, "test": text}))
        holder = read(directory, NAME)
        assert holder is None or holder.describe(0).isprintable()

    @given(st.binary(max_size=300))
    def test_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        """It raises nothing."""
        directory = lock_directory(str(tmp_path_factory.getbasetemp() / "any"), {})
        (directory.path / NAME).write_bytes(content)
        assert read(directory, NAME) is None
        directory.close()

    @given(
        st.fixed_dictionaries(
            {key: st.none() | st.booleans() | st.integers() | st.floats() | st.text() for key in asdict(ALICE)}
        )
    )
    def test_any_values(self, tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
        """What is read can be described."""
        directory = lock_directory(str(tmp_path_factory.getbasetemp() / "any"), {})
        (directory.path / NAME).write_text(json.dumps(values))
        holder = read(directory, NAME)
        assert holder is None or holder.describe(0).startswith("pid ")
        directory.close()


def _no_name() -> str:
    raise KeyError("getpwuid(): uid not found: 1234")
