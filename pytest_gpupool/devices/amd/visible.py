"""ROCR_VISIBLE_DEVICES: what a list leaves of the devices, and how a worker's is written. Pure.

The rules are those of ROCR's source (``RvdFilter`` in ``amd_filter_device.cpp``): small letters are large ones; an
entry that is no number in C's spelling and no unique UUID ends the list, and so does one that names a device again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...values.device import Device, Export
from ..lists import HIDDEN, SPACES
from ..vendor import Visible

VARIABLE = "ROCR_VISIBLE_DEVICES"

_FILTERS = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
"""What HIP applies besides, to the devices that ROCR leaves, which are then numbered anew."""

_NO_UUIDS = 4  # no more than "GPU-"
_LONGEST = 20


def read_environment(value: str | None, devices: Sequence[Device]) -> Visible:
    """Apply the value of ROCR_VISIBLE_DEVICES (None where it is unset) to the host's devices."""
    if value is None:
        return Visible(devices=tuple(devices))
    chosen: list[Device] = []
    for token in (part.strip(SPACES) for part in value.split(",")):
        device = _by_token(token, devices)
        if device is None:
            return Visible(devices=tuple(chosen), warning=_ending(value, token, "names no device here"))
        if device in chosen:
            return Visible(devices=tuple(chosen), warning=_ending(value, token, "names a device again"))
        chosen.append(device)
    return Visible(devices=tuple(chosen))


def doubts(environ: Mapping[str, str], by_uuid: str | None) -> tuple[str, ...]:
    """Say what else may hide a worker's devices, or name other ones."""
    filters = [f"{name}={environ[name]}" for name in _FILTERS if name in environ]
    notes = [
        f"{one} is applied by HIP to each worker's devices, numbered from 0, and may hide them: unset it, and list "
        f"devices in {VARIABLE}"
        for one in filters
    ]
    value = environ.get(VARIABLE)
    if by_uuid and value and any(token.strip().isdecimal() for token in value.split(",")):
        notes.append(f"{VARIABLE}={value} is read by amd-smi's numbers ({by_uuid}): list UUIDs there")
    return tuple(notes)


def export(devices: Sequence[Device], how: Export) -> dict[str, str]:
    """Return the variable that makes exactly these devices visible to ROCm, in this order."""
    gpus = [device for device in devices if device.is_gpu]
    if not gpus:
        return {VARIABLE: HIDDEN}
    # An old GPU has no UUID for ROCm; it may stand beside others' UUIDs by its number.
    names = [(device.legacy_id if how == "uuid" else None) or str(device.index) for device in gpus]
    return {VARIABLE: ",".join(names)}


def shows_exactly(devices: Sequence[Device], environ: Mapping[str, str | None]) -> bool:
    """Return whether these variables show ROCm these devices and no others, in this order."""
    listed = environ.get(VARIABLE)
    if listed is None:
        return False
    return listed in {export(devices, how)[VARIABLE] for how in ("index", "uuid")}


def _by_token(token: str, devices: Sequence[Device]) -> Device | None:
    if token[:1] in ("g", "G"):
        return _by_uuid(token.upper(), devices)
    number = _c_number(token)
    return next((device for device in devices if device.index == number), None)


def _by_uuid(token: str, devices: Sequence[Device]) -> Device | None:
    if not _NO_UUIDS < len(token) <= _LONGEST:
        return None
    found = [device for device in devices if (device.legacy_id or "").upper().startswith(token)]
    return found[0] if len(found) == 1 else None


def _c_number(token: str) -> int | None:
    """Read a number as ``strtol(token, …, 0)`` does: 0x10 is 16, 010 is 8."""
    digits = token.removeprefix("-").removeprefix("+") if token[:1] in "+-" else token
    if not digits or not digits.isascii() or not digits[0].isdigit() or "_" in digits:
        return None
    is_octal = len(digits) > 1 and digits[0] == "0" and digits.isdecimal()
    try:
        number = int(digits, 8 if is_octal else 16 if digits[:2] in ("0x", "0X") else 10)
    except ValueError:
        return None
    return -number if token.startswith("-") else number


def _ending(value: str, token: str, why: str) -> str | None:
    # These are how a user says "none" or "no more" on purpose.
    if token in ("", HIDDEN):
        return None
    return f"{VARIABLE}={value}: {token!r} {why}, and ROCm ignores what comes after it"
