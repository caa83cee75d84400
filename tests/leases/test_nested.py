"""Within a lease workers exclude each other by names alone, which end with their processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from made_leases import GPUS, IDLE, wait_until

from pytest_gpupool.devices.probe import DeviceFailed, Usage
from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.leases.lease import Lease
from pytest_gpupool.leases.nested import NestedRequest, acquire, free_slots
from pytest_gpupool.values.device import Device, Size

OUTER = f"outer-{os.getpid()}"


class Machine:
    """A probe whose devices are as told."""

    def __init__(self, **failed: DeviceFailed) -> None:
        self.failed = failed

    def usage(self, device: Device) -> Usage:
        """What uses it; the outer test may."""
        if device.id in self.failed:
            raise self.failed[device.id]
        return replace(IDLE, memory_used=100 * 2**30, memory_free=2**30)


def request(**changes: Any) -> NestedRequest:
    """What a worker of an inner run wants."""
    return NestedRequest(**{"outer": OUTER, "devices": GPUS, "run": "inner", "worker": "gw0", **changes})


def tried(wanted: NestedRequest, probe: Machine | None = None) -> Lease | tuple[Blocker, ...]:
    """The lease, or what is in the way of one try."""
    met: list[tuple[Blocker, ...]] = []
    lease, _ = acquire(wanted, probe or Machine(), refused=lambda blockers, _: met.append(blockers), is_cancelled=yes)
    return lease or met[0]


def yes() -> bool:
    """Cancelled."""
    return True


def taken(wanted: NestedRequest) -> Lease:
    """The lease, which is to be had."""
    lease = tried(wanted)
    assert isinstance(lease, Lease), lease
    return lease


def why_not(wanted: NestedRequest, probe: Machine | None = None) -> list[tuple[str, bool]]:
    """What is in the way, and whether it is for good."""
    blockers = tried(wanted, probe)
    assert not isinstance(blockers, Lease)
    return [(blocker.reason, blocker.for_good) for blocker in blockers]


HELD = ("held by another worker within this lease", False)


def test_one_has_a_device_alone() -> None:
    """Until it gives it back; another lease's workers are others."""
    first = taken(request(devices=GPUS[:1]))
    assert why_not(request(devices=GPUS[:1])) == [HELD]
    taken(request(devices=GPUS[:1], outer=f"{OUTER}-other")).release()
    first.release()
    taken(request(devices=GPUS[:1])).release()


def test_each_gets_the_next_free_one() -> None:
    """From its own place on, those to be avoided last."""
    leases = [taken(request(first=number)) for number in (1, 1, 1)]
    assert [lease.devices[0] for lease in leases] == [GPUS[1], GPUS[2], GPUS[0]]
    assert free_slots(GPUS, OUTER, 1) == 0
    leases.pop(0).release()
    assert free_slots(GPUS, OUTER, 1) == 1
    for lease in leases:
        lease.release()
    avoiding = taken(request(avoid=frozenset({GPUS[0].id})))
    assert avoiding.devices == (GPUS[1],)
    avoiding.release()


def test_several_are_taken_together_or_not_at_all() -> None:
    """In the lease's order; what was taken meanwhile is given back."""
    all_three = taken(request(gpus=3, first=2))
    assert all_three.devices == GPUS
    all_three.release()
    one = taken(request(first=1))
    alone = ("free, but 3 devices are needed together", False)
    assert sorted(why_not(request(gpus=3))) == sorted([alone, alone, HELD])
    assert free_slots(GPUS, OUTER, 1) == 2
    one.release()


def test_those_that_share_have_numbers() -> None:
    """As many as are let in; who wants it alone waits for all, and the other way round."""
    shared = [taken(request(devices=GPUS[:1], slots=2)) for _ in range(2)]
    assert why_not(request(devices=GPUS[:1], slots=2)) == [HELD]
    assert why_not(request(devices=GPUS[:1])) == [HELD]
    assert (free_slots(GPUS[:1], OUTER, 2), free_slots(GPUS[:1], OUTER, 3), free_slots(GPUS[:1], OUTER, 1)) == (0, 1, 0)
    for lease in shared:
        lease.release()
    alone = taken(request(devices=GPUS[:1]))
    assert why_not(request(devices=GPUS[:1], slots=2)) == [HELD]
    assert free_slots(GPUS[:1], OUTER, 2) == 0
    alone.release()


def test_a_device_in_use_is_not_busy_but_a_lost_one_is() -> None:
    """What uses it is of the lease."""
    lost = Machine(**{GPUS[0].id: DeviceFailed("is lost", for_good=True)})
    assert why_not(request(devices=GPUS[:1]), lost) == [("is lost", True)]
    lease = tried(request(), lost)
    assert isinstance(lease, Lease)
    assert lease.devices == (GPUS[1],)
    lease.release()


def test_what_can_never_come_is_not_waited_for() -> None:
    """Memory that no device has, and more devices than are left."""
    assert all(for_good for _, for_good in why_not(request(memory=1 << 60)))
    lost = Machine(**{GPUS[0].id: DeviceFailed("is lost", for_good=True)})
    assert all(for_good for _, for_good in why_not(request(gpus=3), lost))


def test_a_lease_within_a_lease_is_a_lease() -> None:
    """It is noted, restored, and asked for memory as any."""
    lease = taken(request(devices=GPUS[:1], slots=2))
    lease.note("test_a")
    assert lease.restore() is None
    assert lease.neighbours() == set()
    assert lease.admit(Size(2.0**20), Machine()) == ()
    assert [blocker.reason for blocker in lease.admit(Size(2.0**32), Machine())] == ["1.0 GiB free, 4.0 GiB needed"]
    lease.release()
    lease.release()


def test_who_waits_gets_it_when_it_is_free() -> None:
    """Refusals are told meanwhile."""
    first = taken(request(devices=GPUS[:1]))
    told: list[tuple[Blocker, ...]] = []

    def refused(blockers: tuple[Blocker, ...], _: float) -> None:
        told.append(blockers)
        if len(told) == 2:
            first.release()

    sleep: Callable[[float], None] = lambda _: None  # noqa: E731
    lease, waited = acquire(
        request(devices=GPUS[:1]), Machine(), refused=refused, is_cancelled=lambda: False, sleep=sleep
    )
    assert lease is not None
    assert waited >= 0
    assert len(told) == 2
    lease.release()


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_it_ends_with_its_process(signal: str) -> None:
    """However that ends."""
    code = (
        "import json, sys, time\n"
        "from pytest_gpupool.leases.locking.anchors import Anchor\n"
        "anchor = Anchor(sys.argv[1] + '/alone', scope=sys.argv[2])\n"
        "print(anchor.bind(), flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, GPUS[0].id, OUTER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert why_not(request(devices=GPUS[:1])) == [HELD]
        subprocess.run(["kill", f"-{signal.removeprefix('SIG')}", str(process.pid)], check=True)
    wait_until(lambda: free_slots(GPUS[:1], OUTER, 1) == 1)
