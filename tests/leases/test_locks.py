"""A lock file excludes, its note tells how many it lets in, and the directory is one where that works."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_gpupool.leases import holders
from pytest_gpupool.leases.holders import Holder
from pytest_gpupool.leases.locks import (
    LockFile,
    Refusal,
    Slot,
    claim,
    company,
    crowded,
    holders_now,
    lock_directory,
    room,
    slots,
)
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.errors import UsageProblem

GPU = Device(id="GPU-8a5c0000-0000", kind="gpu", index=0, name="NVIDIA H200")
LONG_GONE = 2**22 + 1  # above the kernel's largest


def me(slots: int, worker: str = "gw0") -> Holder:
    """A holder that lets so many share."""
    return holders.myself(worker=worker, run="run-1", since="2026-11-21T11:46:52.000000Z", slots=slots)


def taken(answer: Slot | Refusal) -> Slot:
    """The slot that must be there."""
    assert isinstance(answer, Slot), answer
    return answer


def refused(answer: Slot | Refusal | None) -> Refusal:
    """The refusal that must be there."""
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestLockFile:
    """Two objects for one file exclude each other."""

    def test_it_excludes(self, lock_dir: Path) -> None:
        """Until it is given back, which may be done twice."""
        first, second = LockFile(lock_dir / "queue.lock"), LockFile(lock_dir / "queue.lock")
        assert first.lock()
        assert not second.lock()
        assert second.is_taken()
        first.unlock()
        first.unlock()
        assert not second.is_taken()
        assert second.lock()
        second.unlock()

    def test_looking_leaves_nothing_locked(self, lock_dir: Path) -> None:
        """The file stays, for every user."""
        file = LockFile(lock_dir / "queue.lock")
        assert not file.is_taken()
        assert LockFile(lock_dir / "queue.lock").lock()
        assert stat.S_IMODE((lock_dir / "queue.lock").stat().st_mode) == 0o666

    def test_a_link_is_refused(self, lock_dir: Path) -> None:
        """Its target is not made."""
        (lock_dir / "queue.lock").symlink_to(lock_dir / "precious")
        with pytest.raises(UsageProblem, match=re.escape(f"cannot lock {lock_dir / 'queue.lock'}: ")):
            LockFile(lock_dir / "queue.lock").lock()
        assert not (lock_dir / "precious").exists()


class TestClaim:
    """How many share a device is what the one lets in that lets in the fewest."""

    @pytest.mark.parametrize(
        "wishes", [(1, 1), (1, 2), (2, 1), (2, 2, 2), (2, 3, 3), (3, 3, 2), (8, 1), (1, 8)], ids=str
    )
    def test_the_last_one_is_too_many(self, lock_dir: Path, wishes: tuple[int, ...]) -> None:
        """Whoever comes first; nothing of it stays behind, and when one goes it may come."""
        *before, last = wishes
        held = [taken(claim(lock_dir, GPU, me(number))) for number in before]
        refusal = refused(claim(lock_dir, GPU, me(last)))
        assert refusal == Refusal(min((slot.holder for slot in held if slot.holder), key=lambda h: h.slots), False)
        assert len(holders_now(lock_dir, GPU)) == len(held)
        for slot in held:
            slot.unlock()
        taken(claim(lock_dir, GPU, me(last))).unlock()

    @pytest.mark.parametrize("wishes", [(1,), (2, 2), (2, 3), (3, 2), (4, 4, 4, 4), (5, 3, 4)], ids=str)
    def test_these_share(self, lock_dir: Path, wishes: tuple[int, ...]) -> None:
        """Each in a slot of its own, with a note of its own."""
        held = [taken(claim(lock_dir, GPU, me(number, f"gw{number}"))) for number in wishes]
        assert [slot.number for slot in held] == list(range(len(wishes)))
        assert holders_now(lock_dir, GPU) == {slot.number: slot.holder for slot in held}

    def test_it_begins_at_the_number_that_is_given(self, lock_dir: Path) -> None:
        """And goes on around."""
        held = [taken(claim(lock_dir, GPU, me(3), first=5)) for _ in range(3)]
        assert [slot.number for slot in held] == [2, 0, 1]

    def test_a_neighbour_that_does_not_say_who_it_is_has_it_alone(self, lock_dir: Path) -> None:
        """It may go in a moment: its note may be half written."""
        slot = taken(claim(lock_dir, GPU, me(2)))
        (lock_dir / f"{GPU.id}.0.json").write_text("garbage")
        assert refused(claim(lock_dir, GPU, me(2))) == Refusal(None, passing=True)
        slot.note(me(2))
        assert taken(claim(lock_dir, GPU, me(2))).number == 1

    def test_who_has_locked_and_not_yet_noted_is_not_overlooked(self, lock_dir: Path) -> None:
        """By an exclusive one, in any slot; that goes back and leaves no note."""
        silent = Slot(lock_dir, GPU, 4)
        assert silent.lock()
        assert crowded(lock_dir, GPU, me(1)) is None
        assert refused(claim(lock_dir, GPU, me(1))) == Refusal(None, passing=True)
        assert (lock_dir / f"{GPU.id}.0.json").read_bytes() == b""
        assert set(holders_now(lock_dir, GPU)) == {4}

    def test_a_killed_holders_note_keeps_nobody_out(self, lock_dir: Path) -> None:
        """Only the lock does."""
        assert not Slot(lock_dir, GPU, 1).is_taken()
        holders.write(lock_dir / f"{GPU.id}.1.json", me(1))
        assert taken(claim(lock_dir, GPU, me(2))).number == 0

    def test_who_only_looks_may_pass(self, lock_dir: Path) -> None:
        """A lock beside the note of a process that is gone is somebody's who looks whether it is free."""
        looking = Slot(lock_dir, GPU)
        assert looking.lock()
        holders.write(lock_dir / f"{GPU.id}.0.json", _gone())
        assert refused(claim(lock_dir, GPU, me(1))) == Refusal(_gone(), passing=True)

    def test_an_error_gives_the_lock_back(self, lock_dir: Path) -> None:
        """That of another slot's bad file."""
        (lock_dir / f"{GPU.id}.1.lock").mkdir()
        with pytest.raises(UsageProblem, match="Is a directory"):
            claim(lock_dir, GPU, me(1))
        (lock_dir / f"{GPU.id}.1.lock").rmdir()
        taken(claim(lock_dir, GPU, me(1)))


class TestLooking:
    """What is to be seen without taking a slot."""

    def test_only_slots_of_the_device_count(self, lock_dir: Path) -> None:
        """Whatever else lies there."""
        names = ("0.lock", "2.lock", "02.lock", "-1.lock", "x.lock", "1.json", "99999999999.lock", "3.lock.1")
        for name in names:
            (lock_dir / f"{GPU.id}.{name}").touch()
        (lock_dir / "GPU-8a5c0000-00001.1.lock").touch()
        (lock_dir / "queue.lock").touch()
        assert [slot.number for slot in slots(lock_dir, GPU)] == [0, 2]

    def test_neighbours(self, lock_dir: Path) -> None:
        """Those who hold other slots now, by number."""
        held = [taken(claim(lock_dir, GPU, me(3, f"gw{number}"))) for number in range(3)]
        held.pop(1).unlock()
        holders.write(lock_dir / f"{GPU.id}.1.json", me(3))
        assert held[0].neighbours() == {2: held[1].holder}

    def test_company_is_judged_by_notes(self, lock_dir: Path) -> None:
        """Of processes that live."""
        assert company(lock_dir, GPU) == 0
        slot = taken(claim(lock_dir, GPU, me(3)))
        assert company(lock_dir, GPU) == 1
        slot.note(_gone())
        assert company(lock_dir, GPU) == 0
        slot.unlock()
        assert company(lock_dir, GPU) == 0

    @pytest.mark.parametrize(
        ("held", "wanted", "left"),
        [
            ({}, 1, 1),
            ({}, 3, 3),
            ({0: 1}, 1, 0),
            ({0: 1}, 3, 0),
            ({0: 2}, 1, 0),
            ({0: 2}, 3, 1),
            ({0: 3}, 3, 2),
            ({0: 3, 1: 3}, 3, 1),
            ({0: 3, 2: 3}, 2, 0),
            ({2: 3}, 2, 1),
            ({0: 3, 1: 3, 2: 3}, 3, 0),
            ({0: None}, 3, 0),
        ],
        ids=str,
    )
    def test_room(self, held: dict[int, int | None], wanted: int, left: int) -> None:
        """As many as both they and the others let in; who does not say has it alone."""
        assert room({number: None if lets is None else me(lets) for number, lets in held.items()}, wanted) == left


def _gone() -> Holder:
    data = me(2).to_json() | {"pid": LONG_GONE}
    return Holder(**data)  # type: ignore[arg-type]


class TestDirectory:
    """Where the lock files lie."""

    def test_the_option_comes_before_the_environment(self, tmp_path: Path) -> None:
        """Parents are made, and a directory that is there stays as it is."""
        environ = {"GPUPOOL_LOCK_DIR": str(tmp_path / "environment")}
        (tmp_path / "there").mkdir(mode=0o700)
        assert lock_directory(str(tmp_path / "a" / "option"), environ) == tmp_path / "a" / "option"
        assert lock_directory(str(tmp_path / "there"), environ) == tmp_path / "there"
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700
        assert not (tmp_path / "environment").exists()
        assert lock_directory(None, environ) == tmp_path / "environment"

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker may have another working directory."""
        monkeypatch.chdir(tmp_path)
        assert lock_directory("locks", {}) == tmp_path / "locks"

    @pytest.mark.parametrize("below", [".", "below"])
    def test_a_file_in_its_place(self, tmp_path: Path, below: str) -> None:
        """Or in the place of a parent; the run ends with status 4."""
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / below
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) in (
            f"the lock directory {path} is not a directory; choose one with --gpupool-lock-dir",
            f"the lock directory {path} cannot be made: Not a directory; choose one with --gpupool-lock-dir",
        )
        assert raised.value.exit_status == 4

    @pytest.mark.parametrize(
        ("setting", "directory"),
        [
            ("mount -t tmpfs none /dev/shm", "/dev/shm/gpupool"),
            ("mount -t tmpfs -o ro none /dev/shm", "$TMPDIR/gpupool"),
            (
                "mount -t tmpfs none /dev/shm && mkdir /dev/shm/gpupool"
                " && mount -t tmpfs -o mode=1777 none /dev/shm/gpupool && mount -o remount,ro /dev/shm",
                "/dev/shm/gpupool",
            ),
        ],
        ids=["shared memory", "cannot be written", "is there already"],
    )
    @pytest.mark.parametrize("variable", ["unset", "empty"])
    def test_without_a_choice(self, tmp_path: Path, setting: str, directory: str, variable: str) -> None:
        """Shared memory, else the temporary directory; where others lock in shared memory, everybody does."""
        source = (
            "import stat\nfrom pytest_gpupool.leases.lease import lock_directory\n"
            "path = lock_directory(None)\nprint(path, oct(stat.S_IMODE(path.stat().st_mode)))\n"
        )
        environ = {name: value for name, value in os.environ.items() if name != "GPUPOOL_LOCK_DIR"}
        environ |= {"TMPDIR": str(tmp_path)} | ({"GPUPOOL_LOCK_DIR": ""} if variable == "empty" else {})
        shell = f'{setting} || exit 77; exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", source],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        if os.geteuid() != 0 or done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("only root can have a shared memory of its own, and not in every container")
        assert done.stdout == f"{directory.replace('$TMPDIR', str(tmp_path))} 0o1777\n", done.stderr


class TestNetworkFileSystem:
    """A lock on a network file system may exclude nobody."""

    @pytest.fixture
    def mounts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Makes psutil see these mounts, by a stand-in for /proc."""
        proc = tmp_path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "filesystems").write_text("nodev\ttmpfs\nnodev\tnfs4\nnodev\tfuse\n\text4\n")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))

        def write(*lines: tuple[Path | str, str]) -> None:
            text = "".join(f"source {str(path).replace(' ', chr(92) + '040')} {kind} rw 0 0\n" for path, kind in lines)
            (proc / "self" / "mounts").write_text(text)

        return write

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "ceph", "cifs", "fuse.sshfs", "beegfs", "gpfs"])
    def test_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None], kind: str) -> None:
        """The error names its kind and another place."""
        mounts(("/", "ext4"), (tmp_path, kind), ("/dev/shm", "tmpfs"))
        path = tmp_path / "locks"
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) == (
            f"the lock directory {path} lies on a network file system ({kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /dev/shm/gpupool"
        )

    def test_a_link_to_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """Where it leads counts."""
        (tmp_path / "home").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "home")
        mounts(("/", "ext4"), (tmp_path / "home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "link" / "locks"), {})

    def test_a_name_with_a_space(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The kernel writes it in octal."""
        mounts(("/", "ext4"), (tmp_path / "my home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "my home" / "locks"), {})

    def test_a_local_one_within_it_is_not(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The innermost mount counts, not one of which the name is only the beginning."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path / "local", "ext4"), (tmp_path / "local/lo", "nfs4"))
        assert lock_directory(str(tmp_path / "local" / "locks"), {}).is_dir()

    def test_the_later_of_two_mounts_at_one_place_counts(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """It hides the earlier one."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path, "tmpfs"))
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
        mounts(("/", "ext4"), (tmp_path, "tmpfs"), (tmp_path, "nfs4"))
        with pytest.raises(UsageProblem, match="nfs4"):
            lock_directory(str(tmp_path / "locks"), {})

    def test_where_nothing_is_known_nothing_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """A container may hide its mounts."""
        mounts()
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
