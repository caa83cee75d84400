"""Workers say in short what they have collected; only who has something new is asked to tell all of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from made_members import PROCESS, Node

from pytest_gpupool.distribution.collecting.collected_tests import CollectedTests
from pytest_gpupool.distribution.workers.member import Member, Shape
from pytest_gpupool.distribution.workers.roster import Roster
from pytest_gpupool.values.messages import Collected, Items, Params


class HeardNode(Node):
    """A worker that keeps what it was told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[str] = []

    def sendcommand(self, name: str, **values: object) -> None:
        """As xdist's."""
        self.told.append(name)


class Session:
    """xdist's, as far as it is told here."""

    def __init__(self) -> None:
        self.is_shutting_down = False
        self.collected: list[tuple[str, tuple[str, ...]]] = []
        self.count = 0

    def has_collected(self, node: Any, ids: list[str]) -> None:
        """Keep who has collected what."""
        self.collected.append((node.gateway.id, tuple(ids)))

    def count_collected(self, number: int) -> None:
        """Keep how many tests there are."""
        self.count = number

    def hear_later(self, something: object) -> None:
        """Who does not tell for long is no matter of these tests."""


class Controller:
    """A run's controller that keeps what is written and said."""

    def __init__(self, root: Path) -> None:
        self.written: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.config = SimpleNamespace(rootpath=root, get_verbosity=lambda: 0)
        self.records = SimpleNamespace(results=SimpleNamespace(each=False), write=self._write)
        self.console = SimpleNamespace(tell=self.said.append, warn=self.said.append)
        self.ran: list[str] = []

    def _write(self, kind: str, **values: Any) -> None:
        self.written.append({"record": kind, **values})

    def collected(self, worker: str, tests: list[tuple[str, Any]], whole: object, part: object) -> None:
        """Keep the run's tests."""
        self.ran += [nodeid for nodeid, _ in tests]


class Run:
    """Workers, and what is known of their tests."""

    def __init__(self, root: Path, workers: int) -> None:
        self.session, self.roster, self.controller = Session(), Roster(), Controller(root)
        made_up: Any = self.controller, self.roster, self.session
        self.collected = CollectedTests(*made_up)
        self.members = [self.start(number) for number in range(workers)]

    def start(self, number: int) -> Member:
        """Start one more."""
        node: Any = HeardNode(f"gw{number}")
        member = Member(node, PROCESS, (number,), Shape())
        self.roster.add(member)
        return member

    def hears(self, number: int, *ids: str) -> list[str]:
        """A worker has collected; return what it is told by now."""
        digest, members = ",".join(ids), ",".join(sorted(ids))
        self.collected.heard(self.members[number], Collected(digest, members, len(ids)))
        return told_to(self.members[number])

    def tells(self, number: int, *ids: str) -> None:
        """It has been asked, and tells."""
        self.collected.told(self.members[number], Items.of(ids, None, requirements={}, groups={}, warm={}))


def told_to(member: Member) -> list[str]:
    """The commands that a worker was sent."""
    node: Any = member.node
    told: list[str] = node.told
    return told


def test_one_tells_for_all(tmp_path: Path) -> None:
    """Those that had collected the same before, and those that have it later."""
    run = Run(tmp_path, 4)
    assert [run.hears(number, "a", "b") for number in range(3)] == [["gpupool_tell"], [], []]
    assert run.session.collected == []
    run.tells(0, "a", "b")
    assert run.hears(3, "a", "b") == []
    assert run.session.collected == [(f"gw{number}", ("a", "b")) for number in range(4)]


def test_where_it_dies_another_tells(tmp_path: Path) -> None:
    """And nothing goes on with the dead one."""
    run = Run(tmp_path, 3)
    for number in range(3):
        run.hears(number, "a")
    for number in (1, 0):
        run.members[number].gone = True
        run.collected.has_ended(run.members[number])
    assert [told_to(member) for member in run.members] == [["gpupool_tell"], [], ["gpupool_tell"]]
    run.tells(2, "a")
    assert run.session.collected == [("gw2", ("a",))]


def test_where_it_does_not_answer_another_tells(tmp_path: Path) -> None:
    """It is stopped, for instance; others do not wait for it, be they there by then or not."""
    run = Run(tmp_path, 3)
    run.hears(0, "a")
    run.collected.has_not_told(run.members[0])
    run.hears(1, "a")
    assert told_to(run.members[1]) == []
    run.collected.has_not_told(run.members[0])
    assert [told_to(member) for member in run.members] == [["gpupool_tell"], ["gpupool_tell"], []]
    run.tells(1, "a")
    assert run.session.collected == [("gw1", ("a",)), ("gw0", ("a",))]
    run.tells(0, "a")
    run.collected.has_not_told(run.members[0])
    assert run.hears(2, "a") == []
    assert run.session.collected[2:] == [("gw2", ("a",))]
    run.collected.close()


def test_who_has_something_else_is_asked_too(tmp_path: Path) -> None:
    """Each kind once; the difference is told once, and all tests count."""
    run = Run(tmp_path, 3)
    for number, ids in enumerate([("a", "b"), ("b", "a"), ("a", "c")]):
        assert run.hears(number, *ids) == ["gpupool_tell"]
        run.tells(number, *ids)
        run.collected.take_in(run.members[number])
    assert run.session.count == 3
    (said,) = run.controller.said
    assert said.startswith("warning: gw2 collected other tests than gw0")


def test_what_is_found_too_late_makes_the_run_incomplete(tmp_path: Path) -> None:
    """Where it is something else than what has run."""
    run = Run(tmp_path, 4)
    run.hears(0, "a", "b")
    run.tells(0, "a", "b")
    run.collected.take_in(run.members[0])
    run.session.is_shutting_down = True
    for number, ids in ((1, ("a", "b")), (2, ("b", "a"))):
        assert run.hears(number, *ids) == []
        assert not run.collected.are_missed
    assert run.hears(3, "a", "b", "c") == []
    assert run.collected.are_missed
    assert run.controller.written == [{"record": "collect-error", "where": "gw3"}]
    assert run.controller.said == [
        "gw3 collected other tests (3) than the run (2), when all of those were over already: they were not run"
    ]


def test_parameters_are_owed_by_who_has_brought_tests(tmp_path: Path) -> None:
    """Another tells them where it ends first; of tests that are none of the run's they are left out."""
    run = Run(tmp_path, 2)
    for number in range(2):
        run.hears(number, "a")
        run.members[number].collected = True
    run.tells(0, "a")
    run.collected.take_in(run.members[0])
    run.collected.add(run.members[0], ["a"])
    run.members[0].gone = True
    run.collected.has_ended(run.members[0])
    assert told_to(run.members[1]) == ["gpupool_describe"]
    run.collected.describe(run.members[1], Params.of([("a", {"x": 1}), ("new", {"x": 2})]))
    assert run.controller.written == [{"record": "collected", "worker": "gw1", "tests": [["a", {"x": 1}]]}]
    run.collected.has_ended(run.members[1])
    assert run.controller.ran == ["a"]
