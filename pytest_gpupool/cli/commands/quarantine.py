"""``gpupool quarantine DEVICE --reason TEXT`` and ``--lift``: take a device out of this host's pool, or back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ...leases import quarantines
from ...leases.locking.lock_directory import LockDirectory, lock_directory
from ...leases.occupancy import Occupancy
from ...values.device import Device
from ...values.errors import UsageProblem
from .. import host
from ..sources import warn

_ABOUT = """\
Takes a device out of the pool of this host: no run, of whichever user, leases it until that is taken back. Who holds it
now goes on. Where a run finds a device faulty it does the same. Whoever did it, or root, can take it back; so does a
reboot, where the locks are in /run/lock.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "quarantine",
        help="take a device out of this host's pool, or back",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("device", metavar="DEVICE", help="its number, its UUID or the beginning of it")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--reason", metavar="TEXT", help="why, for those who find it missing")
    what.add_argument("--lift", action="store_true", help="take it back into the pool")
    command.add_argument("--lock-dir", metavar="PATH", help="where the locks are, as pytest's --gpupool-lock-dir")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if not args.lift and not args.reason.strip():
        raise UsageProblem("--reason is empty: say why, for those who find the device missing")
    directory = lock_directory(args.lock_dir)
    devices = host.survey().devices
    if args.lift:
        for name in _named_to_lift(args.device, devices, directory):
            _lift(name, devices, directory)
        return 0
    for device in _named(args.device, devices):
        _put(device, args.reason, directory)
    return 0


def _put(device: Device, reason: str, directory: LockDirectory) -> None:
    try:
        quarantines.put(directory, device.id, quarantines.mine(reason))
    except OSError as error:
        raise UsageProblem(f"{directory.path} cannot be written: {error.strerror}") from None
    print(
        f"gpupool: {_about(device)} is out of this host's pool; 'gpupool quarantine {device.id} --lift' takes it back"
    )
    for hold in Occupancy(directory).holds(device.id):
        who = "a process that does not say who it is" if hold.holder is None else hold.holder.label
        warn(f"{who} holds {device.label} and goes on")


def _lift(name: str, devices: Sequence[Device], directory: LockDirectory) -> None:
    device = next((device for device in devices if device.id == name), None)
    about = name if device is None else _about(device)
    if quarantines.lift(directory, name):
        print(f"gpupool: {about} is in this host's pool again")
    else:
        print(f"gpupool: {about} is not in quarantine")


def _named(text: str, devices: Sequence[Device]) -> list[Device]:
    """Return the devices that are meant; a GPU's number means all of its MIG instances. Raises UsageProblem."""
    found = _by_number(text, devices) or _by_id(text, [device.id for device in devices], devices)
    if not found:
        raise UsageProblem(f"no device {text!r} here; {_offer(devices)}")
    return found


def _named_to_lift(text: str, devices: Sequence[Device], directory: LockDirectory) -> list[str]:
    """Return the ids that are meant, also of devices that are in quarantine and not on this host any more."""
    known = [device.id for device in devices]
    known += [stem for stem in quarantines.stems(directory) if stem not in known]
    numbered = [device.id for device in _by_number(text, devices)]
    found = numbered or [text] * (text in known) or [id_ for id_ in known if id_.startswith(text)]
    if len(found) > 1 and not numbered:
        raise UsageProblem(f"{text!r} is the beginning of several: {', '.join(found)}")
    if not found:
        raise UsageProblem(f"no device {text!r} here, nor in quarantine; {_offer(devices)}")
    return found


def _by_number(text: str, devices: Sequence[Device]) -> list[Device]:
    return [device for device in devices if text.isascii() and text.isdigit() and device.index == int(text)]


def _by_id(text: str, ids: Sequence[str], devices: Sequence[Device]) -> list[Device]:
    found = [device for device in devices if text in (device.id, device.legacy_id)]
    found = found or [device for device in devices if text and device.id.startswith(text)]
    if len(found) > 1:
        raise UsageProblem(f"{text!r} is the beginning of several: {', '.join(device.id for device in found)}")
    return found


def _about(device: Device) -> str:
    return f"{device.label} ({device.id}, {device.name})"


def _offer(devices: Sequence[Device]) -> str:
    if not devices:
        return "this host shows no GPU (see 'gpupool status')"
    return f"there are: {', '.join(f'{device.index} ({device.id})' for device in devices)}"
