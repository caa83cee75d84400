"""Events: what xdist hears of what a worker says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpupool.distribution.events import passed_on
from pytest_gpupool.distribution.workers.member import Member, Shape
from pytest_gpupool.foreign import xdist_protocol
from pytest_gpupool.foreign.xdist_session import END
from pytest_gpupool.records import wire
from pytest_gpupool.values.messages import PARCEL, Ask, LetIn, Message, to_wire

TEST = "test_a.py::test_b"
COMPLETE = (xdist_protocol.TEST_COMPLETE, {"item_index": 0, "duration": 0.1})


class Limits:
    """Remembers what the clocks are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def restart(self, worker: str, test: str) -> None:
        """As the real ones."""
        self.told.append(("restart", worker, test))

    def ends(self, worker: str) -> None:
        """As the real ones."""
        self.told.append(("ends", worker))


class Line:
    """The line from a worker to xdist."""

    def __init__(self, *, each: bool = False) -> None:
        self.node = SimpleNamespace(gateway=SimpleNamespace(id="gw0"), _down=False)
        self.member = Member(self.node, (0,), Shape())
        self.limits = Limits()
        self.heard: list[Any] = []
        self.say = passed_on(self.heard.append, self.member, self.limits, each=each)  # type: ignore[arg-type]


@pytest.fixture
def line() -> Line:
    """One that has said nothing yet."""
    return Line()


def said(*messages: Message) -> tuple[str, dict[str, Any]]:
    return xdist_protocol.unscheduled(*map(to_wire, messages))


def test_what_is_xdists_own_passes(line: Line) -> None:
    """As it is."""
    line.say(("workerready", {"workerinfo": {}}))
    line.say(END)
    assert line.heard == [("workerready", {"workerinfo": {}}), END]


def test_messages_become_values(line: Line) -> None:
    """Nobody behind this knows how they travelled."""
    line.say(said(LetIn(TEST)))
    (message,) = line.heard[0][1]["indices"]
    assert isinstance(message, LetIn)
    assert message.test == TEST


def test_parcels_are_opened(line: Line) -> None:
    """In the order in which things were put in; what waits in them is heard like the rest."""
    line.say(
        (PARCEL, wire.dumps([("logstart", {"nodeid": TEST, "location": ("test_a.py", 1, "test_b")}), said(Ask())]))
    )
    assert [name for name, _ in line.heard] == ["logstart", "unscheduled"]
    assert isinstance(line.heard[1][1]["indices"][0], Ask)


def test_each_attempt_has_the_whole_time(line: Line) -> None:
    """From its start to the end of the test, as they are heard and not as xdist comes to them."""
    line.say(("logstart", {"nodeid": TEST, "location": ("test_a.py", 1, "test_b")}))
    line.say(COMPLETE)
    assert line.limits.told == [("restart", "gw0", TEST), ("ends", "gw0")]


class TestOneThatWasEnded:
    """Because its test took too long."""

    def test_it_is_heard_no_more(self, line: Line) -> None:
        """The signals may have waked the test, which then ends well."""
        line.member.overdue = TEST
        line.say(COMPLETE)
        line.say(said(Ask()))
        assert line.heard == []

    def test_its_end_is_no_crash(self, line: Line) -> None:
        """Which xdist would count."""
        line.member.overdue = TEST
        line.say(END)
        assert line.heard == [xdist_protocol.worker_finished()]

    def test_what_had_said_goodbye_has_done_so(self, line: Line) -> None:
        """The end of its channel is nothing else then."""
        line.member.overdue = TEST
        line.node._down = True
        line.say(END)
        assert line.heard == [END]

    def test_with_each_xdist_replaces_it(self) -> None:
        """Somebody has to run the rest of its tests."""
        line = Line(each=True)
        line.member.overdue = TEST
        line.say(END)
        assert line.heard == [END]
