"""The pool as one run has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_records import leased
from made_run_parts import CARDS, RUN, Silent, devices, records

from pytest_gpupool.leases import quarantines
from pytest_gpupool.run.devices.find import without_quarantined
from pytest_gpupool.values.errors import NoLease, RequirementNotMet


def test_a_device_leaves_the_pool_once(tmp_path: Path) -> None:
    console = Silent()
    run = records(None, console)
    pool = devices(tmp_path, kept=run, console=console)
    assert pool.quarantine("GPU-1", "has fallen off the bus")
    assert not pool.quarantine("GPU-1", "has an ECC error")
    assert console.warnings == [
        "GPU 1 (GPU-1) was taken out of the pool: it has fallen off the bus "
        "('gpupool quarantine GPU-1 --lift' takes it back)"
    ]
    assert run.results.quarantined == {"GPU-1": "has fallen off the bus"}
    assert pool.usable() == [CARDS[0], CARDS[2], CARDS[3]]
    assert pool.places() == 3


def test_the_host_is_told_which_device_left(tmp_path: Path) -> None:
    """Other runs go without it as well; what somebody said before stays."""
    pool = devices(tmp_path)
    assert pool.lock_dir is not None
    quarantines.put(pool.lock_dir, "GPU-0", quarantines.mine("dust"))
    for device in ("GPU-0", "GPU-1"):
        pool.quarantine(device, "has fallen off the bus")
    found = quarantines.quarantined(CARDS, pool.lock_dir)
    assert {id_: (one.reason, one.run) for id_, one in found.items()} == {
        "GPU-0": ("dust", None),
        "GPU-1": ("has fallen off the bus", RUN),
    }


def test_the_pool_is_what_is_not_in_quarantine(tmp_path: Path) -> None:
    """The header names the others."""
    made = devices(tmp_path)
    assert made.lock_dir is not None
    assert without_quarantined(made.pool, made.lock_dir, require=4) is made.pool
    quarantines.put(made.lock_dir, "GPU-3", quarantines.mine("dust"))
    left = without_quarantined(made.pool, made.lock_dir, require=3)
    assert left.devices == CARDS[:3]
    (note,) = left.notes
    said = r"GPU 3 is left out: quarantined by \w+ 0 s ago: dust \('gpupool quarantine GPU-3 --lift' takes it back\)"
    assert re.fullmatch(said, note)
    with pytest.raises(RequirementNotMet) as too_few:
        without_quarantined(made.pool, made.lock_dir, require=4)
    assert str(too_few.value) == (
        f"--gpupool-require=4, but of 4 GPUs (NVIDIA H200, NVIDIA T4) only 3 may be used:\n  {note}"
    )
    for device in CARDS[:3]:
        quarantines.put(made.lock_dir, device.id, quarantines.mine("rust"))
    with pytest.raises(NoLease) as none:
        without_quarantined(made.pool, made.lock_dir, require=0)
    assert str(none.value).startswith(
        "no device may be used: all of 4 GPUs (NVIDIA H200, NVIDIA T4) are in quarantine\n  GPU 0 is left out: "
    )


def test_each_slot_of_a_device_is_a_place(tmp_path: Path) -> None:
    assert devices(tmp_path, slots=3).places() == 12
    assert devices(tmp_path, ()).places() == 0


def test_the_most_frequent_kind_comes_first(tmp_path: Path) -> None:
    assert devices(tmp_path, CARDS[::-1]).kinds() == ["NVIDIA H200", "NVIDIA T4"]


def test_of_cpu_slots_those_are_known_that_a_worker_has_held(tmp_path: Path) -> None:
    run = records(None)
    run.results.add(leased("gw0", "cpu:2"))
    assert [device.id for device in devices(tmp_path, (), kept=run).seen()] == ["cpu:0", "cpu:1", "cpu:2"]
    assert devices(tmp_path, kept=run).seen() == CARDS


def test_on_a_shared_device_nobody_can_tell_what_a_dead_worker_left(tmp_path: Path) -> None:
    assert devices(tmp_path).memory_after_death() is not None
    assert devices(tmp_path, slots=2).memory_after_death() is None


def test_the_header_says_how_devices_are_shared(tmp_path: Path) -> None:
    pair = CARDS[:2]
    one = "gpupool: 2 GPUs (NVIDIA H200), 1 worker, one device each, CUDA_VISIBLE_DEVICES by index"
    assert devices(tmp_path, pair).header(1) == one
    shared = "gpupool: 2 GPUs (NVIDIA H200), 4 workers, up to 2 on a device, CUDA_VISIBLE_DEVICES by uuid"
    assert devices(tmp_path, pair, slots=2, export="uuid").header(4) == shared
    none = "gpupool: no GPU, CPU slots instead (NVML finds no GPU), 2 workers"
    assert devices(tmp_path, ()).header(2) == none


def test_what_was_in_the_way_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert devices(tmp_path, wait=1.5).no_lease_text(["GPU 0 held by pid 4711"]) == (
        "no device came free in 1.5 s.\n"
        "  GPU 0 held by pid 4711\n"
        "Wait longer (--gpupool-wait), choose other devices (--gpupool-devices), or end what holds them."
    )
    assert devices(tmp_path).no_lease_text(["GPU 0 cannot be locked"], in_vain=True) == (
        "no device can be leased, however long one waits.\n"
        "  GPU 0 cannot be locked\n"
        "Choose other devices (--gpupool-devices), or put right what is in the way."
    )
