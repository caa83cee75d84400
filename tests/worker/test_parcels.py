"""Parcels: which events wait for others."""

from __future__ import annotations

from pytest_gpupool.foreign.xdist_protocol import LOGFINISH, LOGSTART, TEST_COMPLETE, TESTREPORT, UNSCHEDULED
from pytest_gpupool.records import wire
from pytest_gpupool.values.messages import PARCEL
from pytest_gpupool.worker.protocol.parcels import QUICK_SECONDS, Parcels


class Channel:
    """Remembers the names of the events of each parcel."""

    def __init__(self) -> None:
        self.parcels: list[list[str]] = []

    def send(self, event: tuple[str, bytes]) -> None:
        """As execnet's."""
        kind, data = event
        assert kind == PARCEL
        self.parcels.append([name for name, _ in wire.loads(data)])


A_TEST = (LOGSTART, TESTREPORT, TESTREPORT, TESTREPORT, LOGFINISH, TEST_COMPLETE)


def send(parcels: Parcels, *names: str) -> None:
    for name in names:
        parcels.send(name, {})


def test_at_first_every_event_goes_at_once() -> None:
    """Nobody knows yet how long a test takes."""
    channel = Channel()
    send(Parcels(channel), *A_TEST)
    assert channel.parcels == [[name] for name in A_TEST]


def test_after_a_quick_test_those_of_the_next_go_together() -> None:
    """In their order, with the word that it is over."""
    channel = Channel()
    parcels = Parcels(channel)
    parcels.took(QUICK_SECONDS / 2)
    send(parcels, *A_TEST)
    assert channel.parcels == [[*A_TEST]]


def test_a_message_waits_for_nothing() -> None:
    """And takes with it what waited."""
    channel = Channel()
    parcels = Parcels(channel)
    parcels.took(0.0)
    send(parcels, LOGSTART, UNSCHEDULED, TESTREPORT)
    assert channel.parcels == [[LOGSTART, UNSCHEDULED]]


def test_after_a_long_test_they_go_at_once_again() -> None:
    """A report of what goes on is worth more than its cost."""
    channel = Channel()
    parcels = Parcels(channel)
    parcels.took(0.0)
    parcels.took(QUICK_SECONDS)
    send(parcels, LOGSTART, TESTREPORT)
    assert channel.parcels == [[LOGSTART], [TESTREPORT]]
