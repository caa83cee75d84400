"""Lists of devices as CUDA spells them: read CUDA_VISIBLE_DEVICES and ``--gpupool-devices``, write the worker's.

Pure: standard library only, no clock, no files. The rules for the environment's list are CUDA's own
(CUDA C++ Programming Guide, "CUDA Environment Variables"); where the guide is silent (``1gpu``, mixed spellings,
duplicates) they are those that PyTorch found by trial in ``torch.cuda._parse_visible_devices``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..values.device import Device, Export
from ..values.errors import UsageProblem

HIDDEN = "-1"
"""What hides every GPU. Not the empty string: much code does ``int(os.environ["CUDA_VISIBLE_DEVICES"])``."""

_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The devices that an environment's list leaves, in the list's order, and what to warn of."""

    devices: tuple[Device, ...]
    warning: str | None = None


def read_environment(value: str | None, devices: Sequence[Device]) -> Visible:
    """Apply the value of CUDA_VISIBLE_DEVICES (None where it is unset) to the host's devices."""
    if value is None:
        return Visible(devices=tuple(devices))
    tokens = [token.strip() for token in value.split(",")]
    chosen: list[Device] = []
    for token in tokens:
        if _spelling(token) != _spelling(tokens[0]):
            return Visible(devices=tuple(chosen), warning=_ending(value, token, "is spelled otherwise than the first"))
        found = _by_token(token, devices)
        if not found:
            # The list ends at the first token that CUDA cannot use; what comes after is not looked at.
            return Visible(devices=tuple(chosen), warning=_ending(value, token))
        if any(device in chosen for device in found):
            return Visible(
                devices=(), warning=f"CUDA_VISIBLE_DEVICES={value} names a device twice: CUDA sees no GPU then"
            )
        chosen += found
    return Visible(devices=tuple(chosen))


def select(spec: str, visible: Sequence[Device], host: Sequence[Device]) -> tuple[Device, ...]:
    """Return the devices that a ``--gpupool-devices`` list names, in its order.

    ``visible`` are those that the environment leaves, ``host`` all there are.

    Raises:
        UsageProblem: a device that is unknown, named twice, or hidden by the environment.
    """
    chosen: list[Device] = []
    for token in (part.strip() for part in spec.split(",")):
        found = _by_token(token, host)
        if not found:
            raise UsageProblem(f"--gpupool-devices={spec}: no device {token!r} here; {_offer(visible)}")
        for device in found:
            if device not in visible:
                raise UsageProblem(
                    f"--gpupool-devices={spec}: {device.label} is hidden by CUDA_VISIBLE_DEVICES; {_offer(visible)}"
                )
            if device in chosen:
                raise UsageProblem(f"--gpupool-devices={spec} names {device.label} twice; name it once")
            chosen.append(device)
    return tuple(chosen)


def export(devices: Sequence[Device], how: Export) -> dict[str, str]:
    """Return the variables that make exactly these devices visible to CUDA, in this order."""
    gpus = [device for device in devices if device.is_gpu]
    if not gpus:
        return {"CUDA_VISIBLE_DEVICES": HIDDEN}
    # MIG instances have no index of their own, and CUDA ends a list where the spelling changes.
    if how == "uuid" or any(device.kind == "mig" for device in gpus):
        return {"CUDA_VISIBLE_DEVICES": ",".join(device.id for device in gpus)}
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(str(device.index) for device in gpus),
        # NVML's order; CUDA's own default order is by speed.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def _by_token(token: str, devices: Sequence[Device]) -> tuple[Device, ...]:
    if number := _INTEGER.match(token):
        # As strtoul reads it: "1gpu" is 1. Several MIG instances may share a GPU's index.
        return tuple(device for device in devices if device.index == int(number.group()) and device.is_gpu)
    if not token.startswith(("GPU-", "MIG-")):
        return ()
    exact = tuple(device for device in devices if token in (device.id, device.legacy_id))
    prefixed = tuple(device for device in devices if device.id.startswith(token))
    return exact or (prefixed if len(prefixed) == 1 else ())


def _spelling(token: str) -> str:
    return token[:4] if token.startswith(("GPU-", "MIG-")) else "index"


def _ending(value: str, token: str, why: str = "") -> str | None:
    # These are how a user says "none" or "no more" on purpose.
    if token in ("", HIDDEN, "NoDevFiles"):
        return None
    reason = f"{token!r} {why}" if why else f"no device {token!r} here"
    return f"CUDA_VISIBLE_DEVICES={value}: {reason}, and CUDA ignores what comes after it"


def _offer(visible: Sequence[Device]) -> str:
    if not visible:
        return "no GPU is visible here (see 'nvidia-smi')"
    names = ", ".join(f"{device.index} ({device.id})" for device in visible)
    return f"there are: {names}"
