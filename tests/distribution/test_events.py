"""Events: what xdist hears of what a worker says."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from made_members import PROCESS

from pytest_gpupool.distribution.events import Passage
from pytest_gpupool.distribution.workers.member import Member, Shape
from pytest_gpupool.foreign import xdist_protocol
from pytest_gpupool.foreign.xdist_session import END
from pytest_gpupool.records import wire
from pytest_gpupool.values.messages import CANCELLED, PARCEL, Ask, Finishing, Gone, LetIn, Message, TearingDown, to_wire

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

    def tears_down(self, worker: str) -> None:
        """As the real ones."""
        self.told.append(("tears down", worker))

    def asks(self, worker: str, answers: int) -> None:
        """As the real ones."""
        self.told.append(("asks", worker, str(answers)))


class Ends:
    """Remembers what it is told of a worker's end."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def watch(self, member: Member, tell: Callable[[], None]) -> None:
        """As the real ones."""
        self.tell = tell

    def connection_has_ended(self, member: Member) -> None:
        """As the real ones."""
        self.told.append("connection")

    def has_said_goodbye(self, member: Member) -> None:
        """As the real ones."""
        self.told.append("goodbye")

    def has_run_its_tests(self, member: Member) -> None:
        """As the real ones."""
        self.told.append("tests")

    def tears_down(self, member: Member, test: str) -> None:
        """As the real ones."""
        self.told.append(f"tears down after {test}")

    def goes_on(self, member: Member) -> None:
        """As the real ones."""
        self.told.append("goes on")


class Line:
    """The line from a worker to xdist."""

    def __init__(self, *, each: bool = False) -> None:
        self.node = SimpleNamespace(gateway=SimpleNamespace(id="gw0"), _down=False)
        self.member = Member(self.node, PROCESS, (0,), Shape(), limit=2.0)
        self.limits, self.ends = Limits(), Ends()
        self.heard: list[Any] = []
        self.later: list[Any] = []
        session = SimpleNamespace(hear_later=self.later.append)
        parts: Any = SimpleNamespace(limits=self.limits, ends=self.ends, session=session)
        self.say = Passage(self.heard.append, self.member, parts, each=each)


@pytest.fixture
def line() -> Line:
    """One that has said nothing yet."""
    return Line()


def said(*messages: Message) -> tuple[str, dict[str, Any]]:
    return xdist_protocol.unscheduled(*map(to_wire, messages))


def test_what_is_xdists_own_passes(line: Line) -> None:
    """As it is."""
    line.say(("workerready", {"workerinfo": {}}))
    line.say(xdist_protocol.worker_finished())
    assert line.heard == [("workerready", {"workerinfo": {}}), xdist_protocol.worker_finished()]
    assert line.ends.told == ["goodbye"]


def test_its_death_is_told_when_its_process_has_ended(line: Line) -> None:
    """Not when its connection has: by then nobody knows how it ended."""
    line.say(END)
    assert (line.heard, line.ends.told) == ([], ["connection"])
    line.ends.tell()
    assert (line.heard, line.later) == ([END], [])


def test_one_that_was_cancelled_is_no_business_of_xdists(line: Line) -> None:
    """It has not run pytest: other plugins have put nothing into its output."""
    line.say(xdist_protocol.worker_finished(**{CANCELLED: True}))
    assert (line.heard, line.later) == ([], [Gone("gw0", None)])
    assert line.node._down


def test_that_its_tests_are_over_is_for_us(line: Line) -> None:
    """From then on it has so long for pytest_sessionfinish."""
    line.say(said(Finishing()))
    assert (line.heard, line.ends.told) == ([], ["tests"])


def test_messages_become_values(line: Line) -> None:
    """Nobody behind this knows how they travelled."""
    line.say(said(LetIn(TEST)))
    (message,) = line.heard[0][1]["indices"]
    assert isinstance(message, LetIn)
    assert message.test == TEST


def test_parcels_are_opened(line: Line) -> None:
    """In the order in which things were put in; what waits in them is heard like the rest."""
    line.say(
        (PARCEL, wire.dumps([("logstart", {"nodeid": TEST, "location": ("test_a.py", 1, "test_b")}), said(Ask(3))]))
    )
    assert [name for name, _ in line.heard] == ["logstart", "unscheduled"]
    assert isinstance(line.heard[1][1]["indices"][0], Ask)


def test_each_attempt_has_the_whole_time(line: Line) -> None:
    """From its start to the end of the test, as they are heard and not as xdist comes to them."""
    line.say(("logstart", {"nodeid": TEST, "location": ("test_a.py", 1, "test_b")}))
    line.say(COMPLETE)
    assert line.limits.told == [("restart", "gw0", TEST), ("ends", "gw0")]


def test_what_it_waits_for_an_answer_is_not_its_tests_time(line: Line) -> None:
    """However long the controller takes."""
    line.say(said(Ask(3)))
    assert line.limits.told == [("asks", "gw0", "3")]
    assert line.heard[0][1]["indices"] == [Ask(3)]


def test_a_late_tear_down_has_a_time_of_its_own(line: Line) -> None:
    """Until the next test."""
    line.say(said(TearingDown(TEST)))
    line.say(("logstart", {"nodeid": TEST, "location": ("test_a.py", 1, "test_b")}))
    assert line.ends.told == [f"tears down after {TEST}", "goes on"]


class TestOneThatWasEnded:
    """Because its test took too long."""

    def test_it_is_heard_no_more(self, line: Line) -> None:
        """The signals may have waked the test, which then ends well."""
        line.member.overdue = TEST
        line.say(COMPLETE)
        line.say(said(Ask(3)))
        assert line.heard == []

    def test_its_end_is_no_crash(self, line: Line) -> None:
        """Which xdist would count; other plugins hear of it as of one."""
        line.member.overdue = TEST
        line.ends.tell()
        assert (line.heard, line.later) == ([], [Gone("gw0", "a test took longer than 2 s")])

    def test_one_that_did_not_finish_neither(self, line: Line) -> None:
        """It had no tests left."""
        line.member.late = "did not end"
        line.say(xdist_protocol.worker_finished())
        line.ends.tell()
        assert (line.heard, line.later) == ([], [Gone("gw0", "did not end")])

    def test_with_each_xdist_replaces_it(self) -> None:
        """Somebody has to run the rest of its tests."""
        line = Line(each=True)
        line.member.overdue = TEST
        line.ends.tell()
        assert (line.heard, line.later) == ([END], [])
