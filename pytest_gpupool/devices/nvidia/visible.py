"""CUDA_VISIBLE_DEVICES: what a list leaves of the devices, what may be wrong with it, and how a worker's is written.

Pure: standard library only, no clock, no files. The rules for the environment's list are CUDA's own
(CUDA C++ Programming Guide, "CUDA Environment Variables"); where the guide is silent (``1gpu``, mixed spellings,
duplicates) they are those that PyTorch found by trial in ``torch.cuda._parse_visible_devices``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...values.device import Device, Export
from ..lists import HIDDEN, INTEGER, SPACES, by_token
from ..probe import Survey
from ..vendor import Visible

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
"""NVML's order; CUDA's own default order is by speed."""


def read_environment(value: str | None, devices: Sequence[Device]) -> Visible:
    """Apply the value of CUDA_VISIBLE_DEVICES (None where it is unset) to the host's devices."""
    if value is None:
        return Visible(devices=tuple(devices))
    tokens = [token.strip(SPACES) for token in value.split(",")]
    chosen: list[Device] = []
    for token in tokens:
        if _spelling(token) != _spelling(tokens[0]):
            return Visible(devices=tuple(chosen), warning=_ending(value, token, "is spelled otherwise than the first"))
        found = by_token(token, devices)
        if not found:
            # The list ends at the first token that CUDA cannot use; what comes after is not looked at.
            return Visible(devices=tuple(chosen), warning=_ending(value, token))
        if any(device in chosen for device in found):
            return Visible(
                devices=(), warning=f"CUDA_VISIBLE_DEVICES={value} names a device twice: CUDA sees no GPU then"
            )
        chosen += found
    return Visible(devices=tuple(chosen))


def doubts(environ: Mapping[str, str], host: Survey) -> tuple[str, ...]:
    """Say that the environment's numbers may mean other GPUs to CUDA than to NVML, and what to set."""
    value = environ.get(VARIABLE)
    if value is None or not INTEGER.match(value.strip(SPACES)) or value.strip(SPACES).startswith(HIDDEN):
        return ()
    name = f"{VARIABLE}={value}"
    if host.by_uuid:
        return (f"{name} is read by nvidia-smi's numbers, which may not be CUDA's ({host.by_uuid}): list UUIDs there",)
    kinds = list(dict.fromkeys(device.name for device in host.devices))
    if len(kinds) > 1 and environ.get(ORDER) != BY_BUS:
        return (
            f"{name} is read by nvidia-smi's numbers; CUDA numbers GPUs of several kinds ({', '.join(kinds)}) by "
            f"speed: set {ORDER}={BY_BUS}, or list UUIDs there",
        )
    return ()


def export(devices: Sequence[Device], how: Export) -> dict[str, str]:
    """Return the variables that make exactly these devices visible to CUDA, in this order."""
    gpus = [device for device in devices if device.is_gpu]
    if not gpus:
        return {VARIABLE: HIDDEN}
    # MIG instances have no index of their own, and CUDA ends a list where the spelling changes.
    if how == "uuid" or any(device.kind == "mig" for device in gpus):
        return {VARIABLE: ",".join(device.id for device in gpus)}
    return {VARIABLE: ",".join(str(device.index) for device in gpus), ORDER: BY_BUS}


def shows_exactly(devices: Sequence[Device], environ: Mapping[str, str | None]) -> bool:
    """Return whether these variables, however spelled, show CUDA these devices and no others, in this order."""
    listed = environ.get(VARIABLE)
    if listed is None:
        return False
    tokens = [token.strip(SPACES) for token in listed.split(",")]
    gpus = [device for device in devices if device.is_gpu]
    if not gpus:
        return tokens[0] in (HIDDEN, "", "NoDevFiles")
    if tokens == [device.id for device in gpus]:
        return True
    by_index = [str(device.index) for device in gpus if device.kind == "gpu"]
    return len(by_index) == len(gpus) and tokens == by_index and environ.get(ORDER) == BY_BUS


def _spelling(token: str) -> str:
    return token[:4] if token.startswith(("GPU-", "MIG-")) else "index"


def _ending(value: str, token: str, why: str = "") -> str | None:
    # These are how a user says "none" or "no more" on purpose.
    if token in ("", HIDDEN, "NoDevFiles"):
        return None
    reason = f"{token!r} {why}" if why else f"no device {token!r} here"
    return f"CUDA_VISIBLE_DEVICES={value}: {reason}, and CUDA ignores what comes after it"
