"""A device in quarantine is leased by nobody, until whoever put it there, or root, takes that back."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_leases import GPUS, NOBODY, ZERO, Machine, for_nothing, leased, refused, request

from pytest_gpupool.leases import quarantines
from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.quarantines import NotYours, Quarantine, mine

LIFT = f"('gpupool quarantine {ZERO.id} --lift' takes it back)"

# As another user of the host. What it needs is imported before, as that user may not read this Python.
OTHER = """
import os, sys
from pytest_gpupool.leases import quarantines
from pytest_gpupool.leases.locking.lock_directory import lock_directory
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
directory = lock_directory(sys.argv[1], {})
try:
    if sys.argv[4] == "lift":
        print(quarantines.lift(directory, sys.argv[2]))
    else:
        quarantines.put(directory, sys.argv[2], quarantines.mine(sys.argv[4]))
        print("put")
except quarantines.NotYours as refused:
    print(refused)
"""


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def public() -> Iterator[LockDirectory]:
    """One that other users reach as well."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield lock_directory(f"{place}/locks", {})


def by_other(directory: LockDirectory, what: str, uid: int = NOBODY) -> str:
    """What another user gets to hear who does so."""
    command = [sys.executable, "-c", OTHER, str(directory.path), ZERO.id, str(uid), what]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def ageless(text: str) -> str:
    """A text in which it does not matter how many seconds have passed."""
    return re.sub(r"\b\d+ s ago", "0 s ago", text)


def note(directory: LockDirectory, content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (directory.path / f"{ZERO.id}.quarantine").write_bytes(data)


class TestEffect:
    """Requests honour it."""

    def test_nobody_leases_it(self, directory: LockDirectory) -> None:
        """Who wants one of several gets another; who wants that one is told why, by whom and what to do."""
        quarantines.put(directory, ZERO.id, mine("ECC  errors\nin row 7"))
        assert leased(try_lease(request(directory, *GPUS), Machine())).devices == (GPUS[1],)
        answer = try_lease(request(directory), Machine())
        user = mine("").user
        (line,) = refused(answer)
        assert ageless(line) == f"GPU 0  NVIDIA H200  quarantined by {user} 0 s ago: ECC errors in row 7 {LIFT}"
        assert for_nothing(answer)

    def test_what_cannot_be_had_together_is_not_waited_for(self, directory: LockDirectory) -> None:
        quarantines.put(directory, ZERO.id, mine("ECC errors"))
        assert for_nothing(try_lease(request(directory, *GPUS, gpus=3), Machine()))
        leased(try_lease(request(directory, *GPUS, gpus=2), Machine())).release()

    def test_until_it_is_lifted(self, directory: LockDirectory) -> None:
        quarantines.put(directory, ZERO.id, mine("ECC errors"))
        assert quarantines.lift(directory, ZERO.id)
        assert not quarantines.lift(directory, ZERO.id)
        leased(try_lease(request(directory), Machine())).release()
        assert not list(directory.path.glob("*quarantine*"))

    def test_who_holds_it_goes_on(self, directory: LockDirectory) -> None:
        held = leased(try_lease(request(directory), Machine()))
        quarantines.put(directory, ZERO.id, mine("ECC errors"))
        assert held.restore() is None
        held.release()


class TestFile:
    """What it says is for people; that it is there counts."""

    def test_it_says_who_and_why(self, directory: LockDirectory) -> None:
        """For every user to read, whatever the umask."""
        before = os.umask(0o077)
        try:
            quarantines.put(directory, ZERO.id, mine("fan broken", run="run-7"))
        finally:
            os.umask(before)
        path = directory.path / f"{ZERO.id}.quarantine"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        said = json.loads(path.read_text())
        assert said.keys() == {"reason", "user", "since", "run"} | ({"uid"} if os.getuid() else set())
        assert (said["reason"], said["run"]) == ("fan broken", "run-7")
        told = quarantines.read(directory, ZERO.id)
        assert told is not None
        assert re.fullmatch(r"quarantined by \w+'s run run-7 \d+ s ago: fan broken", told.describe(time.time()))
        assert quarantines.stems(directory) == [ZERO.id]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "no reason was given"),
            ("[1]", "no reason was given"),
            ("{" * 100_000, "no reason was given"),
            (b"\xff\xfe", "no reason was given"),
            ('{"reason": 7, "since": "never", "run": []}', "no reason was given"),
            ('{"reason": "dust", "new": {"a": 1}}', "dust"),
        ],
    )
    def test_it_may_say_anything(self, directory: LockDirectory, content: bytes | str, reason: str) -> None:
        """Keys that are not known, and what makes no sense, are left out; the owner is the file's."""
        note(directory, content)
        found = quarantines.read(directory, ZERO.id)
        assert found == Quarantine(reason=reason, user=mine("").user, uid=os.getuid())
        assert found.describe(0.0) == f"quarantined by {found.user}: {reason}"

    def test_it_commands_nobodys_terminal(self, directory: LockDirectory) -> None:
        note(directory, json.dumps({"reason": "\033[2J\r\u202eboo"}))
        assert refused(try_lease(request(directory), Machine()))[0].endswith(f": ?[2J??boo {LIFT}")

    def test_a_later_reason_replaces_an_earlier_one(self, directory: LockDirectory) -> None:
        """But not that of a run, which may have found only what was known."""
        quarantines.put(directory, ZERO.id, mine("one"))
        quarantines.put(directory, ZERO.id, mine("two"))
        quarantines.put(directory, ZERO.id, mine("three"), replace=False)
        found = quarantines.read(directory, ZERO.id)
        assert found is not None
        assert found.reason == "two"
        assert [path.name for path in directory.path.iterdir()] == [f"{ZERO.id}.quarantine"]

    @pytest.mark.parametrize("kind", ["directory", "link", "fifo"])
    def test_what_is_no_file_counts_for_nothing(self, directory: LockDirectory, tmp_path: Path, kind: str) -> None:
        path = directory.path / f"{ZERO.id}.quarantine"
        (tmp_path / "target").write_text("{}")
        makes: dict[str, Any] = {
            "directory": path.mkdir,
            "link": lambda: path.symlink_to(tmp_path / "target"),
            "fifo": lambda: os.mkfifo(path),
        }
        makes[kind]()
        assert quarantines.read(directory, ZERO.id) is None
        assert quarantines.stems(directory) == []
        leased(try_lease(request(directory), Machine())).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become other users")
class TestUsers:
    """The sticky directory decides who may take it back."""

    def test_another_users_stays(self, public: LockDirectory) -> None:
        """And who does not have to know better is told whom to ask."""
        assert by_other(public, "ECC errors") == "put"
        third = NOBODY - 1
        why = "quarantined by nobody 0 s ago: ECC errors"
        ask = f"Only nobody or root may change that: ask them for 'gpupool quarantine {ZERO.id} --lift'"
        assert ageless(by_other(public, "lift", third)) == f"{ZERO.id} stays in quarantine: {why}. {ask}"
        assert ageless(by_other(public, "mine!", third)) == f"{ZERO.id} is in quarantine already: {why}. {ask}"
        (line,) = refused(try_lease(request(public), Machine()))
        assert ageless(line) == f"GPU 0  NVIDIA H200  {why} {LIFT}"
        assert by_other(public, "lift") == "True"

    def test_root_may_take_it_back(self, public: LockDirectory) -> None:
        assert by_other(public, "ECC errors") == "put"
        assert quarantines.lift(public, ZERO.id)

    def test_who_it_is_is_the_kernels_word(self, public: LockDirectory) -> None:
        """Not that of the file."""
        assert by_other(public, "ECC errors") == "put"
        path = public.path / f"{ZERO.id}.quarantine"
        path.write_text('{"reason": "dust", "user": "root", "uid": 0}')
        found = quarantines.read(public, ZERO.id)
        assert found is not None
        assert (found.user, found.uid) == ("nobody", NOBODY)

    def test_a_run_leaves_anothers_as_it_is(self, public: LockDirectory) -> None:
        assert by_other(public, "ECC errors") == "put"
        quarantines.put(public, ZERO.id, mine("lost", run="r"), replace=False)
        found = quarantines.read(public, ZERO.id)
        assert found is not None
        assert found.reason == "ECC errors"


def test_the_refusal_survives_a_pickle() -> None:
    import pickle

    assert str(pickle.loads(pickle.dumps(NotYours("text")))) == "text"
