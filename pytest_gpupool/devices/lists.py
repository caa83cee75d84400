"""Lists of devices: what an entry names, and what ``--gpupool-devices`` chooses of what is visible. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..values.device import Device
from ..values.errors import UsageProblem
from .vendor import Vendor

HIDDEN = "-1"
"""What hides every device. Not the empty string: much code does ``int(os.environ["CUDA_VISIBLE_DEVICES"])``."""

INTEGER = re.compile(r"[+-]?[0-9]+")

SPACES = " \t\n\v\f\r"
"""What C takes for space: libraries that read lists are written in it."""


def select(spec: str, visible: Sequence[Device], host: Sequence[Device], vendor: Vendor) -> tuple[Device, ...]:
    """Return the devices that a ``--gpupool-devices`` list names, in its order.

    ``visible`` are those that the environment leaves, ``host`` all there are.

    Raises:
        UsageProblem: a device that is unknown, named twice, or hidden by the environment.
    """
    offer = _offer(visible, vendor)
    chosen: list[Device] = []
    for token in (part.strip() for part in spec.split(",")):
        found = by_token(token, host)
        if not found:
            raise UsageProblem(f"--gpupool-devices={spec}: no device {token!r} here; {offer}")
        for device in found:
            if device not in visible:
                raise UsageProblem(f"--gpupool-devices={spec}: {device.label} is hidden by {vendor.variable}; {offer}")
            if device in chosen:
                raise UsageProblem(f"--gpupool-devices={spec} names {device.label} twice; name it once")
            chosen.append(device)
    return tuple(chosen)


def by_token(token: str, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return the devices that one entry of a list names; none where it names none, or not one alone."""
    if number := INTEGER.match(token):
        # As strtoul reads it: "1gpu" is 1. Several MIG instances may share a GPU's index.
        return tuple(device for device in devices if device.index == int(number.group()) and device.is_gpu)
    if not token.startswith(("GPU-", "MIG-")):
        return ()
    exact = tuple(device for device in devices if token in (device.id, device.legacy_id))
    prefixed = tuple(device for device in devices if device.id.startswith(token))
    return exact or (prefixed if len(prefixed) == 1 else ())


def _offer(visible: Sequence[Device], vendor: Vendor) -> str:
    if not visible:
        return f"no GPU is visible here (see '{vendor.tool}')"
    names = ", ".join(f"{device.index} ({device.id})" for device in visible)
    return f"there are: {names}"
