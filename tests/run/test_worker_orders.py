"""What a worker is told before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_run_parts import CARDS, RUN, devices, options, records

from pytest_gpupool.devices.pool import cpu_count
from pytest_gpupool.run.devices.run_devices import RunDevices
from pytest_gpupool.run.orders import WorkerOrders
from pytest_gpupool.values.device import cpu_device


def orders(tmp_path: Path, pool: RunDevices, **changes: Any) -> WorkerOrders:
    """Those of a run with these options."""
    given = options(tmp_path, **changes)
    return WorkerOrders(given, pool, records(tmp_path / "run"), finished=None)


def test_they_have_the_devices_that_are_left(tmp_path: Path) -> None:
    pool = devices(tmp_path)
    pool.quarantine("GPU-0", "is lost")
    told = orders(tmp_path, pool).at((2, 3), gpus=2, memory=7, avoid=["GPU-1"])
    assert told.devices == CARDS[1:]
    assert (told.pool, told.number, told.gpus, told.memory, told.avoid) == (4, 2, 2, 7, ("GPU-1",))
    assert (told.run, told.run_dir, told.lock_dir) == (RUN, str(tmp_path / "run"), str(tmp_path / "locks"))


def test_without_a_gpu_they_have_the_slots_at_the_workers_places(tmp_path: Path) -> None:
    told = orders(tmp_path, devices(tmp_path, ())).at((3,))
    assert told.devices == (cpu_device(3),)
    assert (told.pool, told.lock_dir, told.earlier) == (0, None, None)


def test_workers_share_the_cores(tmp_path: Path) -> None:
    of_run = orders(tmp_path, devices(tmp_path))
    assert of_run.at((0,)).threads == cpu_count()
    of_run.workers = 10 * cpu_count()
    assert of_run.at((0,)).threads == 1


def test_a_worker_understands_them(tmp_path: Path) -> None:
    told = orders(tmp_path, devices(tmp_path), sample=2.0).at((0,))
    assert type(told).from_wire(told.to_wire()) == told
    assert (told.sample, told.fail_on) == (2.0, ("gone", "invalid", "regressed"))
