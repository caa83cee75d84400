"""Locks: one file per device and slot, in a directory that all users of a host share. The only importer of filelock.

The lock is flock's (``filelock.FileLock``), keyed by UUID and never unlinked. It ends with the process, however that
ends. Several workers share a device by having a slot each, and no lock tells how many the others let in. Therefore who
takes a slot locks it, then writes its note, and only then looks at the other slots: of any two that come at the same
time, the one that looks last sees the other's lock and note. Who sees more holders than itself or any of them lets in
goes back. To an exclusive holder that is every other.

What is here tries once. filelock is imported where it is needed: a worker on a CPU slot takes no lock.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..values.device import Device
from ..values.errors import UsageProblem

if TYPE_CHECKING:
    from .holders import Holder

SHARED_MEMORY = Path("/dev/shm/gpupool")

# On these, flock is emulated, local to one host, or both (see flock(2), NOTES).
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset((
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs",
))
# fmt: on

_LARGEST_PID = 1 << 31


class LockFile:
    """A lock file. Who locks it excludes every other one, other objects of its own process too."""

    def __init__(self, path: Path) -> None:
        import filelock

        self._path = path
        # Never the fall-back to a soft lock: it would stay behind after a kill.
        self._lock = filelock.FileLock(path, timeout=0, mode=0o666, thread_local=False, fallback_to_soft=False)

    def lock(self) -> bool:
        """Take it, or say that it is held. Raises UsageProblem where the file cannot be made or opened."""
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise UsageProblem(
                f"cannot lock {self._path}: {error.strerror}; remove the file if its owner no longer runs, "
                "or choose another directory with --gpupool-lock-dir (all runs on this host need the same)"
            ) from None
        return True

    def unlock(self) -> None:
        """Give it back; where it is not held, nothing happens."""
        self._lock.release()

    def is_taken(self) -> bool:
        """Say whether anybody holds it at this moment.

        flock tells that only to who tries: a free one is locked for that moment, and whoever wants it then must be
        ready to try again. One that is held is not touched.
        """
        if not self.lock():
            return True
        self.unlock()
        return False


class Slot:
    """One slot of a device: its lock and the note beside it. ``holder`` is what this process noted there."""

    def __init__(self, directory: Path, device: Device, number: int = 0) -> None:
        self.device = device
        self.number = number
        self.holder: Holder | None = None
        self._directory = directory
        self._file = LockFile(directory / f"{_stem(device)}.{number}.lock")
        self._note = directory / f"{_stem(device)}.{number}.json"

    def lock(self) -> bool:
        """Take it, or say that it is held. Raises UsageProblem where its lock file cannot be made or opened."""
        return self._file.lock()

    def is_taken(self) -> bool:
        """Say whether anybody holds it at this moment; see :meth:`LockFile.is_taken`."""
        return self._file.is_taken()

    def unlock(self) -> None:
        """Give it back; what this process noted is wiped first."""
        if self.holder is not None:
            self.note(None)
        self._file.unlock()

    def note(self, holder: Holder | None) -> None:
        """Say beside the lock who holds it, or that nobody does."""
        from . import holders

        self.holder = holder
        holders.write(self._note, holder)

    def read(self) -> Holder | None:
        """Return what its note says, whether it is held or not; None where it does not tell."""
        from . import holders

        return holders.read(self._note)

    def neighbours(self) -> dict[int, Holder]:
        """Return the holders of the device's other slots by their numbers, as far as they say who they are."""
        others = ((slot, slot.read()) for slot in self.others())
        return {slot.number: holder for slot, holder in others if holder is not None and slot.is_taken()}

    def others(self) -> list[Slot]:
        """Return the device's other slots that anybody ever took."""
        return [slot for slot in slots(self._directory, self.device) if slot.number != self.number]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who stands in the way, None where it does not say who it is.

    ``passing`` says that it may be gone in a moment: somebody who only looks, or who tries and goes back.
    """

    holder: Holder | None
    passing: bool


def slots(directory: Path, device: Device) -> list[Slot]:
    """Return the slots of a device that anybody ever took, by their numbers."""
    pattern = re.compile(rf"{re.escape(_stem(device))}\.(0|[1-9]\d{{0,8}})\.lock", re.ASCII)
    numbers = sorted(int(match[1]) for path in directory.iterdir() if (match := pattern.fullmatch(path.name)))
    return [Slot(directory, device, number) for number in numbers]


def claim(directory: Path, device: Device, holder: Holder, *, first: int = 0) -> Slot | Refusal:
    """Take one of ``holder.slots`` slots of a device, tried from number ``first`` on, or say who stands in the way.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    refusal = crowded(directory, device, holder)
    if refusal is not None:
        return refusal
    tried = []
    for number in range(holder.slots):
        slot = Slot(directory, device, (first + number) % holder.slots)
        if slot.lock():
            return _settle(slot, holder)
        tried.append(slot.read())
    return _refusal(tried)


def crowded(directory: Path, device: Device, holder: Holder) -> Refusal | None:
    """Say who stands in a holder's way, without locking what is free: it may miss one, and disturbs nobody."""
    noted = [(slot, note) for slot in slots(directory, device) if (note := slot.read())]
    return _too_many(holder, [note for slot, note in noted if slot.is_taken()])


def company(directory: Path, device: Device) -> int:
    """Return how many seem to hold slots of a device, by their notes alone; for choosing, not for excluding."""
    notes = [slot.read() for slot in slots(directory, device)]
    return sum(note is not None and _lives(note.pid) for note in notes)


def holders_now(directory: Path, device: Device) -> dict[int, Holder | None]:
    """Return who holds which slot at this moment; slot 0's lock file is made where it is not there.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    known = {0: Slot(directory, device), **{slot.number: slot for slot in slots(directory, device)}}
    return {number: slot.read() for number, slot in known.items() if slot.is_taken()}


def room(taken: Mapping[int, Holder | None], wanted: int) -> int:
    """Return how many more workers of a run that lets ``wanted`` share may take a slot beside these holders."""
    numbers = wanted - sum(number < wanted for number in taken)
    return max(0, min(numbers, _let_in(wanted, taken.values()) - len(taken)))


def _settle(slot: Slot, holder: Holder) -> Slot | Refusal:
    try:
        slot.note(holder)
        refusal = _too_many(holder, [other.read() for other in slot.others() if other.is_taken()])
    except BaseException:
        slot.unlock()
        raise
    if refusal is None:
        return slot
    slot.unlock()
    # It was not to be seen a moment ago: it may be somebody who sees us now, and goes back as well.
    return Refusal(refusal.holder, passing=True)


def _too_many(holder: Holder, others: Sequence[Holder | None]) -> Refusal | None:
    if len(others) + 1 <= _let_in(holder.slots, others):
        return None
    return _refusal(others)


def _let_in(wanted: int, others: Iterable[Holder | None]) -> int:
    # Who does not say that it shares has the device alone.
    return min([wanted, *(1 if other is None else other.slots for other in others)])


def _refusal(others: Sequence[Holder | None]) -> Refusal:
    known = [other for other in others if other is not None]
    holder = min(known, key=lambda other: other.slots, default=None)
    return Refusal(holder, passing=len(known) < len(others) or not all(_lives(other.pid) for other in known))


def _lives(pid: int) -> bool:
    import psutil

    return 0 < pid < _LARGEST_PID and psutil.pid_exists(pid)


def _stem(device: Device) -> str:
    return device.id.replace("/", "_")  # MIG ids of old drivers have slashes


def lock_directory(given: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory of the lock files, made where it is not there.

    ``given`` is the option's value; without one ``$GPUPOOL_LOCK_DIR``, shared memory and the temporary directory
    follow, in this order.

    Raises:
        UsageProblem: it cannot be made or used, or lies on a network file system.
    """
    environ = os.environ if environ is None else environ
    chosen = given or environ.get("GPUPOOL_LOCK_DIR")
    if chosen:
        path = Path(chosen).absolute()
    elif SHARED_MEMORY.is_dir() or os.access(SHARED_MEMORY.parent, os.W_OK | os.X_OK):
        # Where others already lock here, anywhere else would not exclude them.
        path = SHARED_MEMORY
    else:
        path = Path(tempfile.gettempdir()) / "gpupool"
    _make_shared(path)
    _refuse_network(path)
    return path


def _make_shared(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        path.chmod(0o1777)  # past the umask: every user of the host locks here, none may remove another's file
    except FileExistsError:
        if not path.is_dir():
            raise UsageProblem(
                f"the lock directory {path} is not a directory; choose one with --gpupool-lock-dir"
            ) from None
    except OSError as error:
        raise UsageProblem(
            f"the lock directory {path} cannot be made: {error.strerror}; choose one with --gpupool-lock-dir"
        ) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise UsageProblem(
            f"the lock directory {path} may not be written by this user; let its owner do 'chmod 1777 {path}', "
            "or choose one for all users with --gpupool-lock-dir"
        )


def _refuse_network(path: Path) -> None:
    kind = _file_system(path.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageProblem(
            f"the lock directory {path} lies on a network file system ({kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /dev/shm/gpupool"
        )


def _file_system(path: Path) -> str | None:
    import psutil

    best: Any = None
    for mount in psutil.disk_partitions(all=True):
        # Of two mounts at one point the later hides the earlier.
        if path.is_relative_to(mount.mountpoint) and (best is None or len(mount.mountpoint) >= len(best.mountpoint)):
            best = mount
    return None if best is None else best.fstype
