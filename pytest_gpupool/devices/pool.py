"""The pool: the devices that a run may lease, found from the host, the environment and ``--gpupool-devices``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..values.device import Device, cpu_device
from ..values.errors import RequirementNotMet, UsageProblem
from . import visible
from .probe import Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Devices to lease. Without a GPU there are none here: CPU slots are as many as workers are asked for.

    ``no_gpu`` says why there is no GPU; ``notes`` are lines that the user should see.
    """

    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    no_gpu: str | None = None
    driver: str | None = None

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
    environ: Mapping[str, str] | None = None,
    look: Callable[[], Survey] | None = None,
) -> Pool:
    """Find the pool that ``--gpupool-devices=spec`` means in this environment; ``look`` finds the host's devices.

    Raises:
        UsageProblem: the list names a device that is not to be had.
        RequirementNotMet: it has fewer than ``require`` GPUs and MIG instances.
    """
    environ = os.environ if environ is None else environ
    pool = _find(spec, environ, look)
    if len(pool.devices) < require:
        found = pool.no_gpu if pool.is_cpu else pool.describe()
        raise RequirementNotMet(
            f"--gpupool-require={require}, but the pool holds {len(pool.devices)}: {found}"
            + "".join(f"\n  {note}" for note in pool.notes)
        )
    return pool


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _find(spec: str, environ: Mapping[str, str], look: Callable[[], Survey] | None) -> Pool:
    if spec == "cpu":
        return Pool(no_gpu="--gpupool-devices=cpu")
    host = (look or _survey)()
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    left = visible.read_environment(listed, host.devices)
    notes = host.broken + ((left.warning,) if left.warning else ())
    if spec != "auto":
        if host.problem:
            raise UsageProblem(f"--gpupool-devices={spec}: {host.problem}")
        chosen = visible.select(spec, left.devices, host.devices)
    else:
        chosen = left.devices
    return Pool(
        devices=chosen,
        notes=notes,
        no_gpu=None if chosen else _why_none(host, listed),
        driver=host.driver,
    )


def _survey() -> Survey:
    from .nvml import survey  # not where only CPU slots are wanted

    return survey()


def _why_none(host: Survey, listed: str | None) -> str:
    if host.problem:
        return host.problem
    if host.devices and listed is not None:
        return f"CUDA_VISIBLE_DEVICES={listed} hides all {len(host.devices)}"
    return "no GPU answers" if host.broken else "NVML finds no GPU"


def _noun(kind: str, count: int) -> str:
    noun = {"gpu": "GPU", "mig": "MIG instance"}[kind]
    return noun if count == 1 else f"{noun}s"
