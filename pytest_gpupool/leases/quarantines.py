"""Quarantines: devices that nobody on this host is to lease until somebody lifts that, each by a file beside its lock.

The file alone tells: what it says of who and why is for people. Whose it is, is the kernel's word. In a directory with
the sticky bit only its owner, and root, may replace or remove it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ..processes.own import clock
from ..values.device import Device
from ..values.errors import GpupoolError
from ..values.texts import cut, duration_text, epoch, iso
from .admission import Blocker
from .locking import holders, names
from .locking.lock_directory import LockDirectory

_LONGEST_REASON = 500


class NotYours(GpupoolError):
    """Another user has put a device into quarantine, and only that one or root may change that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Why a device is not to be leased, who said so, and when (ISO 8601); ``run`` is the run that found it faulty."""

    reason: str
    user: str
    uid: int | None = None
    since: str | None = None
    run: str | None = None

    def describe(self, now: float) -> str:
        """Return ``quarantined by alice 3 h 5 min ago: ECC errors``."""
        run = f"'s run {self.run}" if self.run else ""
        age = "" if self.since is None else f" {duration_text(now - epoch(self.since))} ago"
        return holders.printable(f"quarantined by {self.user}{run}{age}: {self.reason}")


def mine(reason: str, *, run: str | None = None) -> Quarantine:
    """Return what this user, or a run of this user's, has to say now."""
    text = cut(" ".join(reason.split()), _LONGEST_REASON)
    return Quarantine(reason=text, user=holders.user_name(), uid=os.getuid(), since=iso(clock.now()), run=run)


def read(directory: LockDirectory, device: str) -> Quarantine | None:
    """Return the quarantine of a device, given by its id; None where there is none."""
    name = names.quarantine(device)
    data = directory.read(name)
    if data is None:
        return None
    said = _parsed(data)
    owner = directory.owner(name)
    return Quarantine(
        reason=said.get("reason") or "no reason was given",
        user="somebody" if owner is None else holders.name_of(owner),
        uid=owner,
        since=said.get("since"),
        run=said.get("run"),
    )


def quarantined(devices: Iterable[Device], directory: LockDirectory) -> dict[str, Quarantine]:
    """Return the quarantines of these devices, by their ids."""
    known = ((device.id, read(directory, device.id)) for device in devices)
    return {id_: quarantine for id_, quarantine in known if quarantine is not None}


def stems(directory: LockDirectory) -> list[str]:
    """Return the ids of all devices in quarantine, be they on this host still or not."""
    return [stem for stem in names.quarantined(directory.names()) if read(directory, stem) is not None]


def put(directory: LockDirectory, device: str, quarantine: Quarantine, *, replace: bool = True) -> None:
    """Put a device into quarantine, or say something else of one that is in it, unless that is to stay as it is.

    Raises NotYours where another user did, OSError where the file cannot be written.
    """
    name = names.quarantine(device)
    if not replace and read(directory, device) is not None:
        return
    aside = f".{name}.{secrets.token_hex(8)}"
    descriptor = directory.make(aside, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # past the umask: everybody is to read it
        os.write(descriptor, json.dumps({key: value for key, value in asdict(quarantine).items() if value}).encode())
        directory.rename(aside, name)
    except OSError:
        directory.remove(aside)
        _refuse_others(directory, device, "is in quarantine already")
        raise
    finally:
        os.close(descriptor)


def lift(directory: LockDirectory, device: str) -> bool:
    """Take a device out of quarantine; return whether it was in it. Raises NotYours where another user did that."""
    if read(directory, device) is None:
        return False
    directory.remove(names.quarantine(device))
    _refuse_others(directory, device, "stays in quarantine")
    return True


def blocker(device: Device, directory: LockDirectory) -> Blocker | None:
    """Say that a device is not to be leased, None where it may be."""
    quarantine = read(directory, device.id)
    return None if quarantine is None else Blocker(device=device, reason=sentence(device, quarantine), for_good=True)


def sentence(device: Device, quarantine: Quarantine) -> str:
    """Return why a device is not to be leased, and what takes that back."""
    return f"{quarantine.describe(clock.now())} ('gpupool quarantine {device.id} --lift' takes it back)"


def _refuse_others(directory: LockDirectory, device: str, what: str) -> None:
    there = read(directory, device)
    if there is not None and there.uid != os.getuid():
        raise NotYours(
            f"{device} {what}: {there.describe(clock.now())}. Only {there.user} or root may change that: ask them for "
            f"'gpupool quarantine {device} --lift'"
        )


def _parsed(data: bytes) -> dict[str, str]:
    """Return what a file says, as far as it is what it should be."""
    try:
        said = json.loads(data)
        texts = {key: said[key] for key in ("reason", "since", "run") if isinstance(said.get(key), str)}
    except (ValueError, AttributeError, RecursionError):
        return {}
    try:
        epoch(texts.get("since", "1970-01-01"))
    except ValueError:
        del texts["since"]
    return texts
