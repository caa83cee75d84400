"""The early line: what is said while a worker waits for its lease."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.foreign.xdist_protocol import UNSCHEDULED, WORKER_FINISHED
from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.messages import CANCELLED, Delayed, Expired, Message, Waiting, from_wire
from pytest_gpupool.worker.protocol.early_line import EarlyLine

GPU = Device(id="GPU-0", kind="gpu", index=0, name="NVIDIA H200")
ALICE = Blocker(device=GPU, reason="held by pid 4711", pid=4711)
BOB = Blocker(device=GPU, reason="held by pid 4712", pid=4712)
SMALL = Blocker(device=GPU, reason="too small", for_good=True)


class Channel:
    """To a controller that says these things, then nothing, or has gone."""

    class TimeoutError(Exception):
        """As execnet's."""

    def __init__(self, *says: object, gone: bool = False) -> None:
        self.says = list(says)
        self.gone = gone
        self.sent: list[tuple[str, Any]] = []

    def send(self, event: tuple[str, Any]) -> None:
        """As execnet's."""
        if self.gone:
            raise OSError("cannot send")
        self.sent.append(event)

    def receive(self, timeout: float) -> object:
        """As execnet's."""
        if self.says:
            return self.says.pop(0)
        raise EOFError if self.gone else self.TimeoutError

    def heard(self) -> list[Message]:
        """The messages that were sent, for people."""
        return [message for message in self.all_heard() if message != Delayed()]

    def all_heard(self) -> list[Message]:
        """All that were sent."""
        return [from_wire(data) for name, values in self.sent if name == UNSCHEDULED for data in values["indices"]]


@pytest.fixture
def channel() -> Channel:
    """To a controller that says nothing."""
    return Channel()


def test_a_moments_wait_is_not_worth_a_word(channel: Channel) -> None:
    """Then it is said for whom."""
    line = EarlyLine(channel, "gw0", wait=60.0)
    line.refused((ALICE,), 0.2)
    assert channel.heard() == []
    line.refused((ALICE,), 1.2)
    (message,) = channel.heard()
    assert isinstance(message, Waiting)
    assert [*message.blockers] == [str(ALICE)]
    assert [process[0] for process in message.processes] == [4711]


def test_the_controller_knows_of_the_first_refusal(channel: Channel) -> None:
    """At once, and once: nobody should count on this worker."""
    line = EarlyLine(channel, "gw0", wait=60.0)
    for waited in (0.0, 0.1, 5.0):
        line.refused((ALICE,), waited)
    assert [message for message in channel.all_heard() if message == Delayed()] == [Delayed()]
    assert channel.all_heard()[0] == Delayed()


def test_it_is_said_again_when_somebody_else_is_in_the_way(channel: Channel) -> None:
    """And not before."""
    line = EarlyLine(channel, "gw0", wait=60.0)
    for waited, blocker in enumerate([ALICE, ALICE, BOB, BOB], 2):
        line.refused((blocker,), waited)
    assert [
        [process[0] for process in message.processes] for message in channel.heard() if isinstance(message, Waiting)
    ] == [[4711], [4712]]


def test_the_end_of_the_wait_is_said_once_for_each_holder(channel: Channel) -> None:
    """The controller may go on: what the run's own workers hold comes free."""
    line = EarlyLine(channel, "gw0", wait=5.0)
    for waited, blocker in enumerate([ALICE, ALICE, BOB], 5):
        line.refused((blocker,), waited)
    assert [type(message) for message in channel.heard()] == [Expired, Expired]


def test_nobody_waits_for_what_never_comes_free(channel: Channel) -> None:
    """As a device that is too small."""
    line = EarlyLine(channel, "gw0", wait=60.0)
    line.refused((SMALL,), 0.0)
    (message,) = channel.heard()
    assert isinstance(message, Expired)
    assert [process[0] for process in message.processes] == []


@pytest.mark.parametrize(
    ("channel", "goes_on"),
    [(Channel(), True), (Channel(("shutdown", {})), False), (Channel(gone=True), False)],
    ids=["silence", "any-word", "gone"],
)
def test_any_word_of_the_controller_ends_the_wait(channel: Channel, goes_on: bool) -> None:
    """It has no need of the worker any more, or is no more."""
    assert EarlyLine(channel, "gw0", wait=60.0).pause(0.1) is goes_on


def test_it_ends_as_one_that_ran_nothing(channel: Channel) -> None:
    """With all that xdist reads; a controller that has gone needs no goodbye."""
    EarlyLine(channel, "gw0", wait=60.0).finish()
    ((name, values),) = channel.sent
    output = values["workeroutput"]
    assert name == WORKER_FINISHED
    assert (output["exitstatus"], output[CANCELLED]) == (0, True)
    EarlyLine(Channel(gone=True), "gw0", wait=60.0).finish()
