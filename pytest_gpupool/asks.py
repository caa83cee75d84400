"""What tests ask of the plan: their markers, as far as this pool can give it, and what earlier runs say of them.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import estimates
from .estimates import Known
from .model import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What one test asks for; see :class:`backlog.Test`. ``timeout`` is in seconds."""

    gpus: int = 1
    memory: int = 0
    priority: int = 0
    stage: int = 0
    serial: bool = False
    locks: frozenset[str] = frozenset()
    timeout: float | None = None
    seconds: float | None = None


def asks_of(
    nodeids: Sequence[str],
    said: Mapping[int, Mapping[str, Any]],
    known: Mapping[str, Known],
    *,
    devices: Sequence[Device],
    timeout: float | None,
) -> list[Asks]:
    """Return what each test asks for.

    ``said`` are the keys of its markers by the test's number, ``known`` what earlier runs say, ``devices`` the pool's
    GPUs, none where there are CPU slots, and ``timeout`` the limit of tests that name none. What this pool can never
    give is not planned for: such a test runs on any worker, where it fails and says why.
    """
    seconds = estimates.durations(nodeids, known)
    asks = []
    for index, expected in enumerate(seconds):
        keys = said.get(index)
        if not keys:
            asks.append(Asks(seconds=expected, timeout=timeout))
            continue
        gpus, memory = possible(keys.get("gpus", 1), keys.get("memory", 0), devices)
        asks.append(
            Asks(
                gpus=gpus,
                memory=memory,
                priority=keys.get("priority", 0),
                stage=keys.get("stage", 0),
                serial=keys.get("serial", False),
                locks=frozenset(keys.get("lock", ())),
                timeout=keys.get("timeout", timeout),
                seconds=expected,
            )
        )
    return asks


def possible(gpus: int, memory: int, devices: Sequence[Device], largest: int | None = None) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, a worker should have for a test that asks for so much.

    No bytes where any device will do: all are large enough, or too few. More than ``largest`` of them together are not
    to be had.
    """
    if not devices:
        return max(1, gpus), 0  # CPU slots cap nothing, and none is kept idle by a test that needs none
    if gpus > len(devices) or (largest is not None and gpus > largest):
        return 1, 0
    if not gpus:
        return 0, 0  # of no device
    totals = [device.memory_total for device in devices if device.memory_total is not None]
    small = [total for total in totals if total < memory]
    return gpus, memory if small and len(devices) - len(small) >= gpus else 0


def group_of(nodeid: str, mode: str, marked: Mapping[str, str]) -> str | None:
    """Return the group of a test under xdist's ``--dist`` mode, None where it is free.

    ``marked`` has the names of ``xdist_group`` marks by nodeid.
    """
    if mode == "loadfile":
        return nodeid.split("::", 1)[0]
    if mode == "loadscope":
        return nodeid.rsplit("::", 1)[0]
    return marked.get(nodeid) if mode == "loadgroup" else None
