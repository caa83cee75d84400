"""Collected tests: what the workers tell of what they have collected, and what becomes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ...foreign.xdist_session import XdistSession
from ...processes.time_limits import TimeLimits
from ...run.controller import Controller
from ...shards.part import Part
from ...values import messages
from ...values.messages import Collected, Command, Describe, Items, Params, Tell, Untold
from ...values.repeats import count_of_tests
from ...values.requirement import Requirement
from ...worker.choosing.resume import WholeCollection
from ..workers.member import Member
from ..workers.roster import Roster
from . import difference
from .changed_files import ChangedFiles
from .run_tests import Choose, Numbering, RunTests

_TELL_SECONDS = 10.0  # what it may take to tell 100,000 tests; who takes longer is stopped, or its thread is


class CollectedTests:
    """Has one worker tell what several have collected, and writes down what the run is to run."""

    def __init__(self, controller: Controller, roster: Roster, session: XdistSession) -> None:
        self.run = RunTests()
        """What the run is to run. With ``--dist each`` that is no one's business."""
        self._controller = controller
        self._roster = roster
        self._session = session
        self._each = controller.records.results.each
        self._items: dict[str, Items] = {}  # by digest
        self._members: set[str] = set()  # digests of what is known, in any order
        self._waiting: dict[str, list[Member]] = {}  # by digest, who waits until somebody has told it
        self._asked: dict[str, Member] = {}
        self._answers = TimeLimits(lambda worker, _: session.hear_later(Untold(worker)))
        self._numberings: dict[str, Numbering] = {}
        self._owing: list[Member] = []  # who is to tell parameters
        self._changed = ChangedFiles(controller.config.rootpath)
        self._first_ones: set[str] = set()
        self._sizes: set[int] = set()  # of workers that have collected
        self._is_told = False
        self._count = 0  # of the run's tests: several repeats are one
        self.are_missed = False
        """Whether a worker has found tests that this run leaves out, though nobody has written them meanwhile."""

    def heard(self, member: Member, message: Collected) -> None:
        """A worker has collected: go on with it once it is known what."""
        member.digest = message.digest
        if message.digest in self._items:
            self._go_on(member)
        elif self._session.is_shutting_down:
            self._is_too_late(member, message)
        else:
            self._waiting.setdefault(message.digest, []).append(member)
            self._members.add(message.members)
            self._ask(message.digest)

    def told(self, member: Member, items: Items) -> None:
        """It tells what that is, for all that have collected the same."""
        self._items[member.digest] = items
        if (asked := self._asked.pop(member.digest, None)) is not None:
            self._answers.end(asked.name)
        for waiting in self._waiting.pop(member.digest, ()):
            self._go_on(waiting)

    def has_not_told(self, member: Member) -> None:
        """A worker does not tell it: another that has collected the same is to, where there is one."""
        waiting = self._waiting.get(member.digest, [])
        if self._asked.get(member.digest) is not member or member not in waiting:
            return  # it has told it by now, or ended
        if len(waiting) == 1:
            self._answers.begin(member.name, "", _TELL_SECONDS)
            return
        waiting.remove(member)
        waiting.append(member)
        del self._asked[member.digest]
        self._ask(member.digest)

    def close(self) -> None:
        """No more is to be told."""
        self._answers.close()

    def items_of(self, member: Member) -> Items:
        """Return what a worker has collected, whoever told it."""
        return self._items[member.digest]

    def take_in(self, member: Member) -> Numbering:
        """A worker goes on: return what its numbers of tests mean. The first collection makes the run."""
        items = self.items_of(member)
        if member.digest not in self._numberings:
            is_first = not self._numberings
            if is_first:
                self._changed.begin()
                self._first_ones = {other.name for other in self._roster.everyone()}
            self._numberings[member.digest] = found = self.run.take_in(items.ids, self._what_is_new(member, items))
            if not is_first:
                self._differs(member, items, found)
            self._count = count_of_tests(self.run.ids)
        self._session.count_collected(self._count)
        return self._numberings[member.digest]

    def add(
        self, member: Member, tests: Sequence[str], whole_collection: str | None = None, part: str | None = None
    ) -> None:
        """The run is to run these tests; the parameters follow, since they may take time."""
        whole = None if whole_collection is None else WholeCollection.from_wire(whole_collection)
        of_all = None if part is None else Part.from_wire(part)
        self._controller.collected(member.name, [(nodeid, {}) for nodeid in tests], whole, of_all)
        self._have_described(member)

    def describe(self, member: Member, params: Params) -> None:
        """A worker tells its tests' parameters."""
        if member in self._owing:
            self._owing.remove(member)
        tests = [test for test in params.tests() if self._each or test[0] in self.run]
        self._controller.records.write("collected", worker=member.name, tests=tests)

    def has_ended(self, member: Member) -> None:
        """A worker has ended: what it still owed another is to tell."""
        waiting = self._waiting.get(member.digest, [])
        if member in waiting:
            waiting.remove(member)
        if self._asked.get(member.digest) is member:
            del self._asked[member.digest]
            self._ask(member.digest)
        if member in self._owing:
            self._owing.remove(member)
            others = (other for other in self._roster.present() if other.collected)
            self._have_described(next(others, None))

    def _ask(self, digest: str) -> None:
        if digest not in self._asked and self._waiting[digest]:
            self._asked[digest] = self._waiting[digest][0]
            _tell(self._asked[digest], Tell())
            self._answers.begin(self._asked[digest].name, "", _TELL_SECONDS)

    def _go_on(self, member: Member) -> None:
        if not member.gone:
            self._session.has_collected(member.node, self.items_of(member).ids)

    def _what_is_new(self, member: Member, items: Items) -> Choose:
        """Return what says which tests that nobody had so far become the run's."""
        needs = items.told()["requirements"]
        may_differ = member.name in self._first_ones or member.shape.gpus not in self._sizes
        self._sizes.add(member.shape.gpus)

        def choose(unknown: Sequence[int], lacks: int) -> list[int]:
            if lacks and not may_differ:
                return []  # others in its place would have others again, for ever
            # Without a device it runs no others than those that ask for none.
            mine = [at for at in unknown if member.shape.gpus or not Requirement.from_wire(needs.get(at, {})).gpus]
            return [number for number in mine if not self._changed.has(items.ids[number])]

        return choose

    def _differs(self, member: Member, items: Items, found: Numbering) -> None:
        left_out = [items.ids[number] for number in found.left_out]
        edited = [nodeid for nodeid in left_out if self._changed.has(nodeid)]
        if edited:
            self._say(difference.edited(member.name, edited))
        new = [nodeid for nodeid in left_out if nodeid not in edited]
        if new and member.shape.gpus:
            self._are_missed(member, difference.come_late(member.name, new))
        lacks = [self.run.ids[number] for number in found.lacks if not self._changed.has(self.run.ids[number])]
        more = [items.ids[number] for number in found.more] or new
        # That larger workers see more devices is no surprise.
        is_no_surprise = not lacks and member.shape.gpus != 1
        if (lacks or more) and not self._is_told and not is_no_surprise:
            self._is_told = True
            self._say(difference.text(self._first_name(), member.name, lacks, more))

    def _first_name(self) -> str:
        first = next(iter(self._numberings))
        return next((other.name for other in self._roster.everyone() if other.digest == first), "the first worker")

    def _say(self, text: str) -> None:
        """Say it at once, or, where the user asked for quiet, at the end."""
        if self._controller.config.get_verbosity() < 0:
            self._controller.console.warn(text)
        else:
            self._controller.console.tell(f"warning: {text}")

    def _is_too_late(self, member: Member, message: Collected) -> None:
        # Who was started later may have found what has been written since.
        is_news = message.members not in self._members and member.name in self._first_ones
        if is_news and not self._each:
            self._are_missed(
                member,
                f"{member.name} collected other tests ({message.number}) than the run ({len(self.run.ids)}), "
                "when all of those were over already: they were not run",
            )

    def _are_missed(self, member: Member, text: str) -> None:
        """Make the run an incomplete one, and say why, once."""
        if not self.are_missed:
            self._controller.console.warn(text)
        self.are_missed = True
        self._controller.records.write("collect-error", where=member.name)

    def _have_described(self, member: Member | None) -> None:
        if member is not None:
            self._owing.append(member)
            _tell(member, Describe())


def _tell(member: Member, command: Command) -> None:
    name, values = messages.to_command(command)
    with contextlib.suppress(OSError):  # it has died, which is heard next
        member.node.sendcommand(name, **values)
