"""The gate: what must hold before a test starts on a worker, beyond its turn: enough devices, and memory on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...devices import vendors
from ...devices.torch import memory, presence
from ...processes.own import clock
from ...values.device import Size
from ...values.messages import HeldUp, LetIn, Message
from ...values.requirement import Requirement
from ...values.texts import size_text

if TYPE_CHECKING:
    from ...leases.admission import Blocker
    from ...leases.lease import Lease
    from ...values.orders import Orders

_PAUSE = 0.2  # how late a test may see that memory is free


class Gate:
    """Lets one test in at a time. ``tell(message)`` speaks to the controller, where there is one."""

    def __init__(
        self,
        lease: Lease,
        orders: Orders,
        *,
        clock: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], None] = clock.sleep,
    ) -> None:
        self._lease = lease
        self._orders = orders
        self._clock = clock
        self._sleep = sleep
        self._estimates: dict[str, int] | None = None
        self._fraction = 1.0
        self.tell: Callable[[Message], None] | None = None
        self.lost: str | None = None
        """Why the devices may be somebody else's by now, None while they are not."""

    def expect_end(self, at: str) -> None:
        """Say from the next test on when the run is expected to end, ISO 8601."""
        self._lease.until = at

    def enter(self, nodeid: str, requirement: Requirement) -> str | None:
        """Wait until the test can run; return why it never can, else None."""
        self.lost = self._lease.restore()
        if self.lost is not None:
            return f"this worker's lease is lost: {self.lost}"
        self._lease.note(nodeid)
        devices = self._lease.devices
        if requirement.gpus > len(devices):
            return _too_few(requirement.gpus, self._orders, len(devices))
        if not devices or not devices[0].is_gpu or not requirement.gpus:
            return None
        need = requirement.memory or self._estimate(nodeid)
        problem = None if need is None else self._wait(nodeid, need, given=requirement.memory is not None)
        if self._orders.slots > 1:
            self._cap(need)
        memory.forget_peak()
        return problem

    def leave(self) -> None:
        """The test has ended; others on the device may need what torch keeps."""
        self._lease.note(None)
        if self._orders.slots > 1:
            memory.give_back_cache()

    def _estimate(self, nodeid: str) -> Size | None:
        """Return what the test took in earlier runs. On a device of one's own nobody else takes it."""
        if self._orders.slots == 1:
            return None
        if self._estimates is None:
            from ...records import durations

            learned, _ = durations.load(Path(self._orders.durations), [self._lease.devices[0].name])
            self._estimates = {test: about.peak for test, about in learned.tests.items() if about.peak}
        peak = self._estimates.get(nodeid)
        total = self._lease.devices[0].memory_total
        return None if peak is None else Size(min(peak, total or peak))

    def _wait(self, nodeid: str, need: Size, *, given: bool) -> str | None:
        probe = vendors.of(self._lease.devices).probe()
        began, told = self._clock(), False
        while blockers := self._lease.admit(need, probe):
            waited = self._clock() - began
            if any(blocker.for_good for blocker in blockers) or waited >= self._orders.wait:
                if given:
                    return _no_memory(need, blockers, waited)
                break  # an estimate is no promise that the test needs as much
            if not told:
                told = True
                self._say(HeldUp(nodeid, [str(blocker) for blocker in blockers]))
            self._sleep(_PAUSE)
        if told:
            self._say(LetIn(nodeid))
        return None

    def _cap(self, need: Size | None) -> None:
        share = 1.0 / self._orders.slots
        device = self._lease.devices[0]
        if need is not None and device.memory_total:
            share = min(1.0, max(share, need.of(device) / device.memory_total))
        if share != self._fraction:
            memory.cap_memory(share)
            # Where torch is not loaded yet it is to be told before the next test.
            self._fraction = share if presence.has_torch() else self._fraction

    def _say(self, message: Message) -> None:
        if self.tell is not None:
            self.tell(message)


def _too_few(gpus: int, orders: Orders, held: int) -> str:
    text = f"this test asks for {'a device' if gpus == 1 else f'{gpus} devices'}, but"
    if gpus > orders.pool > 0 and orders.engine is not None:
        return f"{text} no host of the cluster has more than {orders.pool}"
    if gpus > orders.pool > 0:
        return f"{text} the pool has {orders.pool}{_of_instances(orders)}"
    text += f" its worker holds {held}"
    if not orders.pool:
        return text  # of CPU slots there are as many as are asked for
    return f"{text}: the others of the pool's {orders.pool} are not to be had in this run"


def _of_instances(orders: Orders) -> str:
    """Say why devices that are there do not count, where that is so."""
    if all(device.kind != "mig" for device in orders.devices):
        return ""
    return " that one process can use together: it sees a single MIG instance, and no GPU beside it"


def _no_memory(need: Size, blockers: tuple[Blocker, ...], waited: float) -> str:
    lines = "".join(f"\n  {blocker}" for blocker in blockers)
    amount = f"{need.amount:.0%} of the device's memory" if need.relative else size_text(int(need.amount))
    when = f" in {waited:.0f} s" if waited >= 1 else ""
    return f"this test asks for {amount}, which did not come free{when}:{lines}"
