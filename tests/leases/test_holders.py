"""The file beside a lock says who holds it, and nothing that anybody writes into it does harm."""

from __future__ import annotations

import getpass
import json
import os
import socket
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.leases.holders import Holder, myself, read, write
from pytest_gpupool.values.texts import epoch

ALICE = Holder(
    pid=4711,
    user="alice",
    host="node1",
    worker="gw0",
    run="20261121T114652Z-9f3c2a",
    test="evals/test_mmlu.py::TestMmlu::test_mmlu[llama-8]",
    since="2026-11-21T11:46:52.000000Z",
)


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
        assert replace(ALICE, test=test).describe(epoch(ALICE.since) + seconds) == text


class TestWrite:
    """What a holder leaves beside its lock."""

    def test_it_is_the_objects_fields(self, tmp_path: Path) -> None:
        """For other programs to read."""
        write(tmp_path / "a.json", ALICE)
        data = json.loads((tmp_path / "a.json").read_text())
        assert list(data) == ["pid", "user", "host", "worker", "run", "test", "since"]
        assert data == {key: value for key, value in asdict(ALICE).items() if key not in ("slots", "memory")}

    def test_who_shares_says_so(self, tmp_path: Path) -> None:
        """And how much memory its test may take; who does neither writes what earlier versions can read."""
        sharing = replace(ALICE, slots=2, memory=3 << 30)
        write(tmp_path / "a.json", sharing)
        assert json.loads((tmp_path / "a.json").read_text()) == asdict(sharing)
        assert read(tmp_path / "a.json") == sharing

    def test_a_shorter_text_leaves_nothing_of_the_longer(self, tmp_path: Path) -> None:
        """It is written in place: another user's file in a sticky directory cannot be replaced."""
        path = tmp_path / "a.json"
        write(path, ALICE)
        inode = path.stat().st_ino
        write(path, replace(ALICE, test=None, user="bo"))
        assert read(path) == replace(ALICE, test=None, user="bo")
        assert path.stat().st_ino == inode

    def test_nobody_is_an_empty_file(self, tmp_path: Path) -> None:
        """It stays."""
        path = tmp_path / "a.json"
        write(path, ALICE)
        write(path, None)
        assert (path.read_bytes(), read(path)) == (b"", None)

    def test_every_user_may_write_it(self, tmp_path: Path) -> None:
        """Past the umask: the next holder may be another one."""
        umask = os.umask(0o077)
        try:
            write(tmp_path / "a.json", ALICE)
        finally:
            os.umask(umask)
        assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o666

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        """Neither to write nor to read: anybody may put one there."""
        precious = tmp_path / "precious"
        precious.write_text(json.dumps(asdict(ALICE)))
        (tmp_path / "a.json").symlink_to(precious)
        write(tmp_path / "a.json", None)
        assert precious.read_text() == json.dumps(asdict(ALICE))
        assert read(tmp_path / "a.json") is None

    @pytest.mark.parametrize("path", ["gone/a.json", "."], ids=["no directory", "a directory"])
    def test_where_it_cannot_be_written_nothing_happens(self, tmp_path: Path, path: str) -> None:
        """It only informs."""
        write(tmp_path / path, ALICE)
        assert list(tmp_path.iterdir()) == []
        assert read(tmp_path / path) is None

    def test_a_full_disk_is_no_reason_to_stop(self) -> None:
        """It only informs."""
        path = Path("/dev/full")
        if not path.is_char_device():
            pytest.skip("this system has no /dev/full")
        write(path, ALICE)

    def test_myself(self) -> None:
        """This process, this user, this host, no test yet."""
        holder = myself(worker="gw3", run="run-1", since="2026-11-21T11:46:52.000000Z")
        assert (holder.pid, holder.user, holder.host) == (os.getpid(), getpass.getuser(), socket.gethostname())
        assert (holder.worker, holder.run, holder.test) == ("gw3", "run-1", None)
        assert (holder.slots, holder.memory) == (1, None)

    def test_a_user_without_a_name_is_a_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in many containers."""
        monkeypatch.setattr("getpass.getuser", _no_name)
        assert myself(worker="gw3", run="run-1", since="").user == str(os.getuid())


class TestRead:
    """Any user of the host may write the file: what is not a holder reads as nobody."""

    def test_what_was_written(self, tmp_path: Path) -> None:
        """Texts of any script too."""
        holder = replace(ALICE, user="アリス", test="test_é.py::test[\n]")
        write(tmp_path / "a.json", holder)
        assert read(tmp_path / "a.json") == holder

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """Nobody ever held the lock."""
        assert read(tmp_path / "a.json") is None

    def test_a_file_cut_anywhere(self, tmp_path: Path) -> None:
        """A reader may come while it is written."""
        path = tmp_path / "a.json"
        whole = json.dumps(asdict(ALICE)).encode()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert read(path) is None, length

    def test_a_torn_file_is_read_again(self, tmp_path: Path) -> None:
        """A moment later it is whole: who reserves memory must not be overlooked while it writes."""
        path = tmp_path / "a.json"
        path.write_text(json.dumps(asdict(ALICE)) + '"}')
        assert read(path, sleep=lambda _: write(path, ALICE)) == ALICE

    @pytest.mark.parametrize(
        "content",
        [b"", b"\x00" * 300, b"\xff\xfe{}", b"4711", b"null", b'"alice"', b"[]", b"{}", b"{} {}", b"pid: 4711",
         b"[" * 60_000, b'{"a":' * 10_000, b"9" * 5000],
        ids=["empty", "zeros", "bytes", "number", "null", "text", "list", "no keys", "two", "yaml", "deep lists",
             "deep objects", "long number"],
    )  # fmt: skip
    def test_garbage(self, tmp_path: Path, content: bytes) -> None:
        """It raises nothing."""
        (tmp_path / "a.json").write_bytes(content)
        assert read(tmp_path / "a.json") is None

    @pytest.mark.parametrize(
        "change",
        [{"pid": "4711"}, {"pid": None}, {"pid": 47.11}, {"pid": True}, {"user": None}, {"user": 0}, {"host": []},
         {"worker": 3}, {"run": {}}, {"test": 7}, {"test": ["a"]}, {"since": 1795261612}, {"since": "yesterday"},
         {"since": ""}, {"since": "0001-01-01"}, {"more": 1}, {"slots": 0}, {"slots": "2"}, {"slots": True},
         {"slots": None}, {"slots": 2.0}, {"slots": 10**30}, {"memory": -1}, {"memory": "1GiB"}, {"memory": 0.5},
         {"memory": False}, {"memory": 10**400}],
        ids=str,
    )  # fmt: skip
    def test_wrong_types(self, tmp_path: Path, change: dict[str, Any]) -> None:
        """One is enough, and so is a key that is not known."""
        (tmp_path / "a.json").write_text(json.dumps({**asdict(ALICE), **change}))
        assert read(tmp_path / "a.json") is None

    def test_an_earlier_versions(self, tmp_path: Path) -> None:
        """It shares with nobody, and reserves nothing."""
        data = {key: value for key, value in asdict(ALICE).items() if key not in ("slots", "memory")}
        (tmp_path / "a.json").write_text(json.dumps(data))
        assert read(tmp_path / "a.json") == replace(ALICE, slots=1, memory=None)

    @pytest.mark.parametrize("key", ["pid", "user", "host", "worker", "run", "test", "since"])
    def test_a_key_that_lacks(self, tmp_path: Path, key: str) -> None:
        """None of these has a default."""
        data = asdict(ALICE)
        del data[key]
        (tmp_path / "a.json").write_text(json.dumps(data))
        assert read(tmp_path / "a.json") is None

    def test_a_huge_file(self, tmp_path: Path) -> None:
        """It is not read to its end."""
        (tmp_path / "a.json").write_text(json.dumps(asdict(replace(ALICE, user="x" * 100_000))))
        assert read(tmp_path / "a.json") is None

    def test_a_pipe(self, tmp_path: Path) -> None:
        """Nobody waits for a writer."""
        os.mkfifo(tmp_path / "a.json")
        source = (
            "import sys; from pathlib import Path; from pytest_gpupool.leases.holders import read\n"
            "print(read(Path(sys.argv[1])))"
        )
        command = [sys.executable, "-c", source, str(tmp_path / "a.json")]
        assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout == "None\n"

    @pytest.mark.parametrize("key", ["user", "host", "worker", "run", "test"])
    def test_a_text_that_cannot_be_printed(self, tmp_path: Path, key: str) -> None:
        """A lone surrogate, which no terminal and no report can show."""
        path = tmp_path / "a.json"
        path.write_text(json.dumps({**asdict(ALICE), key: "\ud800"}))
        holder = read(path)
        assert holder is None or "\ud800" not in holder.describe(0)

    @pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\r", "\x07", "\x9b2J"])
    def test_a_text_that_would_command_the_terminal(self, tmp_path: Path, text: str) -> None:
        """Control characters of another user's do not reach it."""
        path = tmp_path / "a.json"
        path.write_text(json.dumps({**asdict(ALICE), "user": text, "test": text}))
        holder = read(path)
        assert holder is None or holder.describe(0).isprintable()

    @given(st.binary(max_size=300))
    def test_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        """It raises nothing."""
        path = tmp_path_factory.getbasetemp() / "any.json"
        path.write_bytes(content)
        assert read(path) is None

    @given(
        st.fixed_dictionaries(
            {key: st.none() | st.booleans() | st.integers() | st.floats() | st.text() for key in asdict(ALICE)}
        )
    )
    def test_any_values(self, tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
        """What is read can be described."""
        path = tmp_path_factory.getbasetemp() / "any.json"
        path.write_text(json.dumps(values))
        holder = read(path)
        assert holder is None or holder.describe(0).startswith("pid ")


def _no_name() -> str:
    raise KeyError("getpwuid(): uid not found: 1234")
