"""The pool: the devices that a run may lease, found from the host, the environment and ``--gpupool-devices``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..processes.cpu import limits
from ..values.device import Device, cpu_device
from ..values.errors import RequirementNotMet, UsageProblem
from . import lists, vendors
from .probe import Survey
from .vendor import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Devices to lease. Without a GPU there are none here: CPU slots are as many as workers are asked for.

    ``no_gpu`` says why there is no GPU; ``notes`` are lines that the user should see. ``by_uuid`` says why a worker's
    GPUs are to be named by their UUIDs, whatever was asked for; None where their numbers will do.
    """

    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    no_gpu: str | None = None
    driver: str | None = None
    by_uuid: str | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether workers get CPU slots."""
        return not self.devices

    def slots(self, workers: int) -> tuple[Device, ...]:
        """Return what that many workers would lease from."""
        return self.devices or tuple(cpu_device(number) for number in range(workers))

    def describe(self) -> str:
        """Return ``4 GPUs (NVIDIA H200)``, or that there are CPU slots and why."""
        if self.is_cpu:
            return f"no GPU, CPU slots instead ({self.no_gpu})"
        kinds = Counter(device.kind for device in self.devices)
        words = [f"{count} {_noun(kind, count)}" for kind, count in kinds.items()]
        names = ", ".join(dict.fromkeys(device.name for device in self.devices))
        return f"{' + '.join(words)} ({names})"


def discover(
    spec: str,
    *,
    require: int = 0,
    slots: int = 1,
    environ: Mapping[str, str] | None = None,
    look: Callable[[], Survey] | None = None,
) -> Pool:
    """Find the pool that ``--gpupool-devices=spec`` means in this environment; ``look`` finds the host's devices.

    ``slots`` is how many workers are to share a device.

    Raises:
        UsageProblem: the list names a device that is not to be had, or one that can only be used by one process is to
            be shared.
        RequirementNotMet: it has fewer than ``require`` GPUs and MIG instances.
    """
    environ = os.environ if environ is None else environ
    pool = _find(spec, slots, environ, look)
    if len(pool.devices) < require:
        found = pool.no_gpu if pool.is_cpu else pool.describe()
        raise RequirementNotMet(
            f"--gpupool-require={require}, but the pool holds {len(pool.devices)}: {found}"
            + "".join(f"\n  {note}" for note in pool.notes)
        )
    return pool


def cpu_count(*, limit: Callable[[], float | None] = limits.limit) -> int:
    """Return the number of cores that this process may use: as many as it may run on, and has time for.

    Of a part of a core nothing is made: a worker more would only make the others wait.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    time = limit()
    return cores if time is None else max(1, min(cores, int(time)))


def _find(spec: str, slots: int, environ: Mapping[str, str], look: Callable[[], Survey] | None) -> Pool:
    if spec == "cpu":
        return Pool(no_gpu="--gpupool-devices=cpu")
    host = (look or vendors.survey)()
    vendor = vendors.named(host.vendor)
    left = vendor.visible(environ, host.devices)
    if spec != "auto":
        if host.problem:
            raise UsageProblem(f"--gpupool-devices={spec}: {host.problem}")
        chosen = lists.select(spec, left.devices, host.devices, vendor)
    else:
        chosen = left.devices
    exclusive = [device for device in chosen if device.id in host.exclusive]
    if slots > 1 and exclusive and not vendor.has_server(environ):
        first, how = exclusive[0], host.exclusive[exclusive[0].id]
        raise UsageProblem(f"--gpupool-slots={slots}: {first.label} ({first.name}) {how}, or leave --gpupool-slots out")
    return Pool(
        devices=chosen,
        notes=(*host.broken, *([left.warning] if left.warning else ()), *vendor.doubts(environ, host)),
        no_gpu=None if chosen else _why_none(host, vendor, environ.get(vendor.variable)),
        driver=host.driver,
        # A MIG instance is always named by its UUID.
        by_uuid=host.by_uuid if any(device.kind == "gpu" for device in chosen) else None,
    )


def _why_none(host: Survey, vendor: Vendor, listed: str | None) -> str:
    if host.problem:
        return host.problem
    if host.devices and listed is not None:
        return f"{vendor.variable}={listed} hides all {len(host.devices)}"
    return "no GPU answers" if host.broken else f"{vendor.library} finds no GPU"


def _noun(kind: str, count: int) -> str:
    noun = {"gpu": "GPU", "mig": "MIG instance"}[kind]
    return noun if count == 1 else f"{noun}s"
