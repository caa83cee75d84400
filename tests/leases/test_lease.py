"""A lease excludes every other process of this host, and ends with its own, however that ends."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from made_leases import (
    GPUS,
    LEASES,
    NOBODY,
    ZERO,
    Machine,
    Processes,
    Requests,
    for_nothing,
    leased,
    lock_file,
    locked,
    note_file,
    noted,
    refused,
    request,
    starting,
    wait_until,
)

from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.lease import Lease
from pytest_gpupool.leases.locking.anchors import Anchor
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.processes.own import clock
from pytest_gpupool.values.device import Device


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {}).path


@pytest.fixture
def request_for(lock_dir: Path) -> Requests:
    """Makes requests for devices, the first GPU alone if not said otherwise."""
    return partial(request, lock_directory(str(lock_dir), {}))


@pytest.fixture
def process(lock_dir: Path) -> Iterator[Processes]:
    """Starts processes, and kills them after the test."""
    with starting(lock_dir) as start:
        yield start


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class TestExclusion:
    """One process holds a device."""

    def test_what_one_process_holds_no_other_gets(self, process: Processes, request_for: Requests) -> None:
        """It learns by whom and for how long."""
        other = process()
        assert other.says() == f"leased {ZERO.id}"
        answer = try_lease(request_for(), Machine())
        assert not isinstance(answer, Lease)
        (blocker,) = answer
        assert re.fullmatch(
            rf"GPU 0  NVIDIA H200  held by pid {other.pid} \({getpass.getuser()}\) for \d+ s", str(blocker)
        )
        assert (blocker.device, blocker.pid) == (ZERO, other.pid)

    def test_of_many_processes_as_many_succeed_as_there_are_devices(self, process: Processes) -> None:
        """Each has a device of its own."""
        others = [process(devices=GPUS) for _ in range(5)]
        texts = [other.says() for other in others]
        assert sorted(text for text in texts if text.startswith("leased")) == [f"leased {gpu.id}" for gpu in GPUS]

    def test_a_device_is_free_again_when_its_holder_ends(self, process: Processes, request_for: Requests) -> None:
        """Without a release."""
        other = process()
        other.says()
        other.end()
        leased(try_lease(request_for(), Machine())).release()

    def test_a_device_is_free_again_when_its_holder_is_killed(self, process: Processes, request_for: Requests) -> None:
        """The note that it left says nothing then."""
        other = process()
        other.says()
        other.kill()
        lease = leased(try_lease(request_for(), Machine()))
        note = noted(request_for().lock_dir.path)
        assert note is not None
        assert note["pid"] == os.getpid()
        lease.release()

    def test_the_subprocess_of_a_killed_holder_does_not_hold_it(
        self, process: Processes, request_for: Requests
    ) -> None:
        """Though it lives on."""
        other = process(
            "held, text = lease()\n"
            "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
            "say(child.pid)\n"
            "sys.stdin.read()\n"
        )
        child = psutil.Process(int(other.says()))
        other.kill()
        leased(try_lease(request_for(), Machine())).release()
        child.kill()

    def test_the_forked_child_of_a_killed_holder_holds_it(self, process: Processes, request_for: Requests) -> None:
        """It may use the GPU as its parent did; the device is free when it has ended, too."""
        other = process(
            "held, text = lease()\nif os.fork() == 0:\n    say(os.getpid())\n    signal.pause()\nsys.stdin.read()\n"
        )
        child = psutil.Process(int(other.says()))
        other.kill()
        assert refused(try_lease(request_for(), Machine())) == [
            "GPU 0  NVIDIA H200  held by a process that does not say who it is"
        ]
        child.kill()
        wait_until(lambda: locked(request_for().lock_dir.path) == [])
        leased(try_lease(request_for(), Machine())).release()

    @pytest.mark.parametrize("ending", ["sys.exit()", "os._exit(0)", "held.release(); os._exit(0)", "held = None"])
    def test_a_forked_child_that_ends_takes_nothing_from_its_parent(
        self, process: Processes, request_for: Requests, ending: str
    ) -> None:
        """Whether its interpreter shuts down or not."""
        other = process(
            "held, text = lease()\n"
            "if (child := os.fork()) == 0:\n"
            f"    {ending}\n"
            "    sys.exit()\n"
            "os.waitpid(child, 0)\n"
            "say(text)\n"
            "sys.stdin.read()\n"
        )
        assert other.says() == f"leased {ZERO.id}"
        (line,) = refused(try_lease(request_for(), Machine()))
        assert line.startswith("GPU 0  NVIDIA H200  held by ")

    def test_a_lease_excludes_its_own_process_too(self, request_for: Requests) -> None:
        """Until it is released; a second release does nothing."""
        lease = leased(try_lease(request_for(), Machine()))
        assert refused(try_lease(request_for(), Machine())) != []
        lease.release()
        second = leased(try_lease(request_for(), Machine()))
        lease.release()
        assert refused(try_lease(request_for(), Machine())) != []
        second.release()


class TestFiles:
    """What lies in the lock directory."""

    def test_every_user_may_lock(self, process: Processes, tmp_path: Path) -> None:
        """Whatever the umask of who came first."""
        where = tmp_path / "new" / "locks"
        other = process("os.umask(0o077)\n" + LEASES, where=where)
        assert other.says() == f"leased {ZERO.id}"
        assert stat.S_IMODE(where.stat().st_mode) == 0o1777
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in where.iterdir()}
        assert files == {f"{ZERO.id}.lock": 0o666, f"{ZERO.id}.json": 0o666}

    def test_a_lock_file_stays_for_ever(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Through a release and a kill: where it is removed, two can lock one name."""
        leased(try_lease(request_for(), Machine())).release()
        inode = lock_file(lock_dir).stat().st_ino
        other = process()
        other.says()
        other.kill()
        leased(try_lease(request_for(), Machine())).release()
        assert lock_file(lock_dir).stat().st_ino == inode

    def test_the_note_says_who_and_what(self, request_for: Requests, lock_dir: Path) -> None:
        """The test while it runs, nobody after the release."""
        lease = leased(try_lease(request_for(), Machine()))
        note = noted(lock_dir)
        assert note is not None
        assert list(note) == ["pid", "started", "pid_namespace", "uid", "user", "host", "run", "worker", "since"]
        assert (note["pid"], note["uid"], note["user"]) == (os.getpid(), os.getuid(), getpass.getuser())
        assert (note["run"], note["worker"]) == ("run-1", "gw0")
        lease.note("test_a.py::test_b[1]")
        assert noted(lock_dir) == note | {"test": "test_a.py::test_b[1]"}
        (line,) = refused(try_lease(request_for(), Machine()))
        assert f"held by pid {os.getpid()} ({getpass.getuser()}, test_b[1]) for " in line
        lease.note(None)
        assert noted(lock_dir) == note
        lease.release()
        assert noted(lock_dir) is None

    def test_a_holder_whose_note_cannot_be_read_holds_all_the_same(
        self, process: Processes, request_for: Requests, lock_dir: Path
    ) -> None:
        """Only the lock excludes, and the kernel tells who has it."""
        other = process()
        other.says()
        note_file(lock_dir).write_text("garbage")
        (line,) = refused(try_lease(request_for(), Machine()))
        who = f"pid {other.pid} ({getpass.getuser()}, {sys.executable[:60]}"
        assert line.startswith(f"GPU 0  NVIDIA H200  held by {who}")

    def test_the_slashes_of_an_old_drivers_mig_name_make_no_directories(
        self, request_for: Requests, lock_dir: Path
    ) -> None:
        """``MIG-GPU-<uuid>/<gi>/<ci>``."""
        mig = Device(id="MIG-GPU-1f/7/0", kind="mig", index=0, name="MIG 1g")
        lease = leased(try_lease(request_for(mig), Machine()))
        assert lock_file(lock_dir, replace(mig, id="MIG-GPU-1f_7_0")).exists()
        lease.release()

    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            ("mkdir {0}", "{0} is no regular file: remove it"),
            ("mkfifo {0}", "{0} is no regular file: remove it"),
            ("ln -s precious {0}", "{0} is a link: remove it"),
            ("ln precious {0}", "{0} has a second name (a hard link): remove it"),
        ],
        ids=["directory", "pipe", "link", "hard link"],
    )
    def test_a_bad_file_spoils_its_device_alone(
        self, request_for: Requests, lock_dir: Path, bad: str, why: str
    ) -> None:
        """Anybody may put one there; what it leads to is left alone, and the line says what to do."""
        precious = lock_dir / "precious"
        precious.write_text("precious")
        subprocess.run(["sh", "-c", bad.format(lock_file(lock_dir))], cwd=lock_dir, check=True)
        lease = leased(try_lease(request_for(*GPUS[:2]), Machine()))
        assert lease.devices == (GPUS[1],)
        answer = try_lease(request_for(), Machine())
        assert refused(answer) == [f"GPU 0  NVIDIA H200  cannot be locked: {why.format(lock_file(lock_dir))}"]
        assert for_nothing(answer)
        lease.release()
        assert precious.read_text() == "precious"


class TestCleaners:
    """Whatever removes lock files while they are held, nobody else gets the device, and the holder puts them back."""

    @pytest.mark.parametrize("what", ["the file", "the directory", "and made again"])
    def test_removed_while_it_is_held(
        self, process: Processes, request_for: Requests, lock_dir: Path, what: str
    ) -> None:
        """A second anchor excludes meanwhile; then the lock is as it was."""
        lease = leased(try_lease(request_for(), Machine()))
        if what == "the file":
            lock_file(lock_dir).unlink()
        else:
            shutil.rmtree(lock_dir)
        if what == "and made again":
            lock_dir.mkdir()
            lock_dir.chmod(0o1777)
            lock_file(lock_dir).touch()
        other = process()
        assert other.says().startswith("GPU 0  NVIDIA H200  held by ")
        assert lease.restore() is None
        assert locked(lock_dir) == [0]
        assert (noted(lock_dir) or {})["pid"] == os.getpid()
        lease.release()
        assert process().says() == f"leased {ZERO.id}"

    def test_where_others_lock_the_new_file_first_it_says_so(self, request_for: Requests, lock_dir: Path) -> None:
        """A program that knows the file, but not the anchor."""
        lease = leased(try_lease(request_for(), Machine()))
        lock_file(lock_dir).unlink()
        with lock_file(lock_dir).open("w") as stranger:
            fcntl.flock(stranger, fcntl.LOCK_EX)
            assert lease.restore() == (
                f"{lock_file(lock_dir)} was removed while it was locked, and another process has locked a new one"
            )
        assert lease.restore() is None
        lease.release()

    def test_those_who_only_try_the_new_file_are_waited_for(
        self, request_for: Requests, lock_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They find the anchor, and give way."""
        lease = leased(try_lease(request_for(), Machine()))
        lock_file(lock_dir).unlink()
        with lock_file(lock_dir).open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            monkeypatch.setattr(clock, "sleep", lambda seconds: other.close())
            assert lease.restore() is None
        assert locked(lock_dir) == [0]
        lease.release()

    def test_removed_while_it_is_taken(
        self, request_for: Requests, lock_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After it was locked, and before the anchor was there: another would lock a new one."""
        bind = Anchor.bind
        removed: list[Path] = []

        def late(anchor: Anchor) -> bool:
            if not removed:
                removed.append(lock_file(lock_dir))
                removed[0].unlink()
            return bind(anchor)

        monkeypatch.setattr(Anchor, "bind", late)
        lease = leased(try_lease(request_for(), Machine()))
        assert removed
        assert locked(lock_dir) == [0]
        lease.release()

    def test_those_who_lock_elsewhere_are_excluded_too(
        self, process: Processes, request_for: Requests, tmp_path: Path
    ) -> None:
        """By the anchor, which knows no directory."""
        lease = leased(try_lease(request_for(), Machine()))
        assert process(where=tmp_path / "elsewhere").says() == (
            "GPU 0  NVIDIA H200  held by a process that does not say who it is"
        )
        lease.release()
        assert process(where=tmp_path / "elsewhere").says() == f"leased {ZERO.id}"


class TestOtherUsers:
    """Locks are for all users of a host."""

    # What is imported late must be there by then: another user may not be able to read this one's Python.
    AS_NOBODY = "import filelock, pytest_gpupool.leases.occupancy, pytest_gpupool.leases.slots\n"
    AS_NOBODY += f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"

    def test_another_user_locks_what_root_has_made(self, process: Processes, public: Path) -> None:
        """In root's directory, root's lock file, and writes root's note."""
        where = public / "locks"
        first = process(where=where)
        assert first.says() == f"leased {ZERO.id}"
        second = process(self.AS_NOBODY + LEASES, where=where)
        assert second.says().startswith(f"GPU 0  NVIDIA H200  held by pid {first.pid} (")
        first.end()
        third = process(self.AS_NOBODY + LEASES, where=where)
        assert third.says() == f"leased {ZERO.id}"
        assert (noted(where) or {})["pid"] == third.pid
        assert lock_file(where).stat().st_uid == 0

    def test_a_lock_file_that_only_its_owner_may_open(self, process: Processes, public: Path) -> None:
        """The line says who can help."""
        where = lock_directory(str(public / "locks"), {}).path
        lock_file(where).touch(0o600)
        assert process(self.AS_NOBODY + LEASES, where=where).says() == (
            f"GPU 0  NVIDIA H200  cannot be locked: {lock_file(where)} belongs to root, and may not be opened: let "
            "root remove it"
        )

    def test_a_lock_file_that_others_may_only_read_is_locked_all_the_same(
        self, process: Processes, public: Path
    ) -> None:
        """To lock it is enough."""
        where = lock_directory(str(public / "locks"), {}).path
        lock_file(where).touch(0o644)
        assert process(self.AS_NOBODY + LEASES, where=where).says() == f"leased {ZERO.id}"
        assert process(where=where).says().startswith("GPU 0  NVIDIA H200  held by pid ")

    def test_root_locks_another_users_file(self, process: Processes, public: Path) -> None:
        """In a sticky directory, where the kernel may refuse to create what is there."""
        where = lock_directory(str(public / "locks"), {}).path
        process(self.AS_NOBODY + "held, text = lease()\nsay(text)\n", where=where).end()
        assert lock_file(where).stat().st_uid == NOBODY
        assert process(where=where).says() == f"leased {ZERO.id}"

    def test_a_directory_that_another_user_may_not_write(self, process: Processes, public: Path) -> None:
        """The error has the command for its owner."""
        where = public / "locks"
        where.mkdir(mode=0o755)
        assert process(self.AS_NOBODY + LEASES, where=where).says() == (
            f"the lock directory {where} may not be written by this user; let its owner do 'chmod 1777 {where}', "
            "or choose one for all users with --gpupool-lock-dir"
        )

    def test_a_directory_that_another_user_may_not_make(self, process: Processes, public: Path) -> None:
        """The error has the reason."""
        where = public / "locks"
        assert process(self.AS_NOBODY + LEASES, where=where).says() == (
            f"the lock directory {where} cannot be used: Permission denied; choose one with --gpupool-lock-dir"
        )
