"""The parts of a run in the controller, made for tests without pytest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.options.options import Options
from pytest_gpupool.run.console import Console
from pytest_gpupool.run.devices.run_devices import RunDevices
from pytest_gpupool.run.records import RunRecords
from pytest_gpupool.values.device import Device, Size

GIB = 2**30

RUN = "20261121T100000Z-000000"

CARDS = tuple(
    Device(id=f"GPU-{number}", kind="gpu", index=number, name="NVIDIA T4" if number == 3 else "NVIDIA H200")
    for number in range(4)
)


def options(directory: Path, **changes: Any) -> Options:
    """The options of a user who gave none, but for ``changes``."""
    usual: dict[str, Any] = {
        "devices": "auto",
        "require": 0,
        "wait": 600.0,
        "export": "index",
        "lock_dir": None,
        "directory": directory,
        "json": None,
        "html": None,
        "markdown": None,
        "source_url": None,
        "resume": None,
        "resume_anyway": False,
        "keep_runs": 20,
        "busy_memory": Size(512 * 2**20),
        "slots": 1,
        "longest_first": True,
        "timeout": None,
        "isolate": False,
        "budget": None,
        "seed": None,
        "oom_retries": 1,
        "machine_retries": 1,
        "repeats": 1,
        "baseline": None,
        "update_baseline": False,
        "fail_on": frozenset({"gone", "invalid", "regressed"}),
        "rtol": 0.01,
        "error": 0.01,
        "confirm": 4,
        "reason": "--gpupool-update-baseline",
        "sample": 0.5,
        "live": False,
        "yields": False,
        "affinity": False,
        "shard": None,
        "engine": "local",
        "engine_args": {},
        "durations": directory / "durations.json",
        "history": None,
    }
    return Options(**(usual | changes))


class Silent(Console):
    """A console without a terminal."""

    def __init__(self) -> None:
        self.warnings = []


def records(directory: Path | None, console: Console | None = None, *, each: bool = False) -> RunRecords:
    """The records of a run that has just begun."""
    return RunRecords(RUN, directory, console or Silent(), each=each)


def devices(
    directory: Path,
    cards: tuple[Device, ...] = CARDS,
    *,
    kept: RunRecords | None = None,
    console: Console | None = None,
    **changes: Any,
) -> RunDevices:
    """The devices of a run; ``changes`` are to its options."""
    pool = Pool(devices=cards, no_gpu=None if cards else "NVML finds no GPU")
    lock_dir = lock_directory(str(directory / "locks"), {}) if cards else None
    console = console or Silent()
    return RunDevices(pool, lock_dir, options(directory, **changes), kept or records(None, console), console)
