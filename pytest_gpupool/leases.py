"""Leases: the exclusive hold of devices by this process, through file locks. The only importer of filelock.

The lock is flock's (``filelock.FileLock``), one file per device and slot, keyed by UUID and never unlinked. It ends
with the process, however that ends. A lock alone never proves that a GPU is free (a killed holder's child may still
use it), therefore NVML is asked after locking. What is here tries once; how long to go on is the caller's policy.

A worker on a CPU slot takes no lock: what only locks need is imported where it is needed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageProblem
from .model import Device, Size, iso, size_text

if TYPE_CHECKING:
    from .holders import Holder
    from .probe import Probe, Usage

SHARED_MEMORY = Path("/dev/shm/gpupool")
SLOT = 0  # one worker a device

# On these, flock is emulated, local to one host, or both (see flock(2), NOTES).
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset((
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs",
))
# fmt: on

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5  # how late a waiting worker may see that a device is free


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a worker wants: one of ``devices``, tried from number ``first`` on so that workers do not collide."""

    devices: tuple[Device, ...]
    lock_dir: Path
    worker: str
    run: str
    first: int
    busy_memory: Size | None
    """What processes outside the pool may hold on a free device; None leases busy ones all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why a device could not be leased.

    ``pid`` is of the process in the way, where it is known; ``for_good`` says that waiting cannot help.
    """

    device: Device
    reason: str
    pid: int | None = None
    for_good: bool = False

    def __str__(self) -> str:
        return f"{self.device.label}  {self.device.name}  {self.reason}"


class Lease:
    """Devices held by this process, until it ends or :meth:`release`."""

    def __init__(self, devices: Sequence[Device], slots: Sequence[tuple[_Slot, Holder]] = ()) -> None:
        self.devices = tuple(devices)
        self._slots = list(slots)
        self._owner = os.getpid()

    def note(self, test: str | None) -> None:
        """Say beside the lock which test runs now."""
        for slot, holder in self._slots:
            slot.note(replace(holder, test=test))

    def release(self) -> None:
        """Free the devices; a second call does nothing, nor does a forked child's.

        Only right once this process has no CUDA context.
        """
        if os.getpid() != self._owner:
            return
        for slot, _ in self._slots:
            slot.unlock()
        self._slots.clear()


def try_lease(request: Request, probe: Probe) -> Lease | tuple[Blocker, ...]:
    """Lease the first free device, or say of each one why it is not free.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    from . import holders

    blockers: list[Blocker] = []
    for number in range(len(request.devices)):
        device = request.devices[(request.first + number) % len(request.devices)]
        slot = _Slot(request.lock_dir, device)
        blocker = slot.lock() or _unusable(device, slot, probe, request.busy_memory)
        if blocker is None:
            holder = holders.myself(worker=request.worker, run=request.run, since=iso(time.time()))
            slot.note(holder)
            return Lease([device], [(slot, holder)])
        blockers.append(blocker)
    return tuple(blockers)


def acquire(
    request: Request,
    probe: Probe,
    *,
    refused: Callable[[tuple[Blocker, ...], float], None],
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Lease | None, float]:
    """Try until there is a lease; return it and the seconds that it took.

    After each failure ``refused(blockers, seconds waited)`` is called, which may raise to give up, then
    ``pause(seconds)``, which may return False to be cancelled: the lease is None then.
    """
    began = clock()
    seconds = _FIRST_PAUSE
    while True:
        answer = try_lease(request, probe)
        if isinstance(answer, Lease):
            return answer, clock() - began
        refused(answer, clock() - began)
        if not pause(seconds):
            return None, clock() - began
        seconds = min(seconds * 1.5, _LONGEST_PAUSE)


def locked_devices(devices: Sequence[Device], lock_dir: Path) -> tuple[Blocker, ...]:
    """Say which of the devices are held at this moment. Raises UsageProblem where a lock file cannot be opened."""
    blockers = []
    for device in devices:
        slot = _Slot(lock_dir, device)
        blocker = slot.lock()
        if blocker is None:
            slot.unlock(silent=True)
        else:
            blockers.append(blocker)
    return tuple(blockers)


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


class _Slot:
    """One lock file and the note beside it."""

    def __init__(self, directory: Path, device: Device) -> None:
        import filelock

        stem = f"{device.id.replace('/', '_')}.{SLOT}"  # MIG ids of old drivers have slashes
        self._device = device
        self._path = directory / f"{stem}.lock"
        self._holder_path = directory / f"{stem}.json"
        # Never the fall-back to a soft lock: it would stay behind after a kill.
        self._lock = filelock.FileLock(self._path, timeout=0, mode=0o666, thread_local=False, fallback_to_soft=False)

    def lock(self) -> Blocker | None:
        """Take the lock, or say who has it."""
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return self._held()
        except OSError as error:
            raise UsageProblem(
                f"cannot lock {self._path}: {error.strerror}; remove the file if its owner no longer runs, "
                "or choose another directory with --gpupool-lock-dir (all runs on this host need the same)"
            ) from None
        return None

    def unlock(self, *, silent: bool = False) -> None:
        """Give the lock back; unless silent, the note beside it is wiped first."""
        if not silent:
            self.note(None)
        self._lock.release()

    def note(self, holder: Holder | None) -> None:
        """Say beside the lock who holds it, or that nobody does."""
        from . import holders

        holders.write(self._holder_path, holder)

    def _held(self) -> Blocker:
        from . import holders

        holder = holders.read(self._holder_path)
        if holder is None:
            return Blocker(device=self._device, reason="held by a process that does not say who it is")
        return Blocker(device=self._device, reason=f"held by {holder.describe(time.time())}", pid=holder.pid)


def _unusable(device: Device, slot: _Slot, probe: Probe, busy_memory: Size | None) -> Blocker | None:
    """With the lock in hand, say what else stands in the way; give the lock back then."""
    from .probe import DeviceFailed

    with _giving_back(slot):
        try:
            usage = probe.usage(device)
        except DeviceFailed as failed:
            slot.unlock(silent=True)
            return Blocker(device=device, reason=str(failed), for_good=failed.for_good)
        blocker = None if busy_memory is None else _busy(device, usage, busy_memory.of(device))
        if blocker is not None:
            slot.unlock(silent=True)
        return blocker


@contextmanager
def _giving_back(slot: _Slot) -> Iterator[None]:
    try:
        yield
    except BaseException:
        slot.unlock(silent=True)
        raise


def _busy(device: Device, usage: Usage, allowed: int) -> Blocker | None:
    foreign = [process for process in usage.processes if process.pid != os.getpid()]
    known = sum(process.memory or 0 for process in foreign)
    # In a container NVML may name no process, or no memory of one; the device's own figure still tells.
    held = max(known, usage.memory_used or 0)
    if held <= allowed:
        return None
    largest = max(foreign, key=lambda process: process.memory or 0, default=None)
    who = "a process that NVML does not name" if largest is None else f"pid {largest.pid} (not of this pool)"
    return Blocker(
        device=device, reason=f"busy: {who} uses {size_text(held)}", pid=None if largest is None else largest.pid
    )


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
