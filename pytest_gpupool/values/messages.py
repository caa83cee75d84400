"""Messages: what a worker and the controller say to each other, beside what xdist's own two sides say.

Three kinds, told apart by who says them to whom:

- ``Message``: a worker to the controller, as :func:`to_wire` has it. It is heard by the scheduler, in xdist's loop.
- ``Command``: the controller to a worker, as :func:`to_command` has it, on the way of xdist's commands.
- ``Notice``: a thread of the controller, or an event there, to the loop. It never travels.

They are named tuples: twenty frozen dataclasses would take every worker several milliseconds to import.

The life of a question, which keeps a worker's next test open until the present one is nearly over::

    worker: runs A                               controller: scheduler, planning
    A's call ends      report of the call -----> a hint: the next test can be chosen now (asks)
    what is A's alone is torn down; then it looks at the next test
      |- it has come:  goes on
      '- it has not:   Ask --------------------> what the hint has not answered yet (asks); no time limit meanwhile
         waits         <------- runtests [B]     Assign: tear down what B does not need, then run it
                       <------- Rest             none now, one may come: wait, with all set up that is not A's alone
                       <------- shutdown         Retire: tear everything down, then end
    A is over          runtest_protocol_complete -> ended; it may bring tests for those that wait

Where a plugin hides the report of the call (pytest-rerunfailures does), the question alone is heard. A worker that has
tests queued ahead takes the next one from there, and asks when they are used up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

PARCEL = "gpupool_parcel"
"""The event that holds other events of a worker, as :mod:`pytest_gpupool.records.wire` has them."""

CANCELLED = "gpupool_cancelled"
"""What is true in the output of a worker that has not run pytest."""


class Leased(NamedTuple):
    """The worker has its lease: the ``record`` of it, and the descriptor to which it writes its stacks when asked.

    ``process`` has the fields of its :class:`ProcessId`, where that is known; ``devices`` are those that it holds, of
    which the controller knows nothing where an engine has placed the worker.
    """

    record: dict[str, Any]
    stacks: int
    process: Sequence[int] | None = None
    devices: Sequence[Mapping[str, Any]] = ()


class Delayed(NamedTuple):
    """Its devices were not free at once. That may be a matter of moments; :class:`Waiting` tells the user."""


class Waiting(NamedTuple):
    """It waits for a device: a line for each holder, and the fields of :class:`ProcessId` of those that are known."""

    blockers: Sequence[str]
    processes: Sequence[Sequence[int]]


class Expired(NamedTuple):
    """It has waited for as long as the user said, or waits in vain; the fields are those of :class:`Waiting`.

    It ``is_barred`` where nobody can use what an engine has given it, or what there is here.
    """

    blockers: Sequence[str]
    processes: Sequence[Sequence[int]]
    is_barred: bool = False


class Failed(NamedTuple):
    """It cannot lease at all: the text of the error, and the exit status that goes with it."""

    text: str
    status: int


class Refused(NamedTuple):
    """pytest itself refuses to go on with what is in the suite or on the command line: why, and the exit status."""

    text: str
    status: int


class Collected(NamedTuple):
    """It has collected. Mostly the controller knows these tests already, from another worker; else it asks for them."""

    digest: str
    """Of the ids in their order."""
    members: str
    """Of the ids in any order."""
    number: int
    """How many there are."""


class WrongUsage(NamedTuple):
    """pytest has found in its collection what it ends with as wrong usage, such as a bad ``-k``: its words."""

    text: str


class Items(NamedTuple):
    """The answer to :class:`Tell`: the ids of its tests, and what planning needs to know of them and no id says."""

    ids: Sequence[str]
    about: str
    """As :meth:`of` has it: one text, since execnet is slow with many small values."""
    whole_collection: str | None
    """Of a run that resumes another: all that was found, as ``WholeCollection`` has it."""

    order_is_promised: bool = False
    """Whether an option or a plugin has ordered the tests, or a conftest.py."""

    part: str | None = None
    """Of a sharded run: what this shard has of all tests, as ``shards.part.Part`` has it."""

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        whole_collection: str | None,
        *,
        order_is_promised: bool = False,
        part: str | None = None,
        **about: Mapping[int, Any],
    ) -> Items:
        """Make it of the tests' ids, ``requirements``, ``groups``, and what they share, by number."""
        return cls(ids, json.dumps(about), whole_collection, order_is_promised, part)

    def told(self) -> dict[str, dict[int, Any]]:
        """Return what :meth:`of` was given."""
        # JSON's keys are texts.
        return {
            key: {int(index): value for index, value in values.items()}
            for key, values in json.loads(self.about).items()
        }


class Captures(NamedTuple):
    """Its tests' output is captured into these files: its descriptors by stream."""

    descriptors: Mapping[str, int]


class Params(NamedTuple):
    """The answer to :class:`Describe`: the parameters of those tests that have any, as one text for execnet's sake."""

    text: str

    @classmethod
    def of(cls, params: Iterable[tuple[str, Mapping[str, Any]]]) -> Params:
        """Make it of nodeids and what each has for its parameters."""
        return cls(json.dumps(list(params)))

    def tests(self) -> list[list[Any]]:
        """Return what :meth:`of` was given, as JSON gives it back."""
        tests: list[list[Any]] = json.loads(self.text)
        return tests


class Ask(NamedTuple):
    """It wants to know its next test. Before it asked it had heard so many answers: one more may be on its way."""

    answers: int


class Stolen(NamedTuple):
    """The answer to xdist's ``steal``: the tests that it gives back, by number."""

    tests: Sequence[int]


class Poisoned(NamedTuple):
    """Its process can use its device no more: the test that did it, why, the tests that it gives back, by number."""

    test: str
    why: str
    tests: Sequence[int]


class HeldUp(NamedTuple):
    """Its test waits for memory: a line for each device that is in the way."""

    test: str
    blockers: Sequence[str]


class LetIn(NamedTuple):
    """The test that was held up goes on."""

    test: str


class LeftRunning(NamedTuple):
    """A test is over, and processes live that were started meanwhile: the fields of each one's :class:`ProcessId`."""

    test: str
    processes: Sequence[Sequence[int]]


class Records(NamedTuple):
    """Records, as lines of JSON, that no disk keeps and that no report brings in time."""

    lines: Sequence[str]


class TearingDown(NamedTuple):
    """It tears down what its last test shared with others and the next one does not need."""

    test: str


class Finishing(NamedTuple):
    """Its tests are over and all is torn down: ``pytest_sessionfinish`` is next."""


class Broken(NamedTuple):
    """Its session did not end well, of which xdist says nothing."""

    text: str


Message = (
    Leased
    | Delayed
    | Waiting
    | Expired
    | Failed
    | Refused
    | WrongUsage
    | Collected
    | Items
    | Captures
    | Params
    | Ask
    | Stolen
    | Poisoned
    | HeldUp
    | LetIn
    | LeftRunning
    | Records
    | TearingDown
    | Finishing
    | Broken
)
"""What a worker says to the controller."""


class Overdue(NamedTuple):
    """A worker's test takes longer than it may, said by the thread that keeps the time."""

    worker: str
    test: str


class DeviceFailed(NamedTuple):
    """A device is no good any more, said by the threads that look after them."""

    device: str
    reason: str


class Fewer(NamedTuple):
    """A worker has ended that nobody replaces: those that wait may now wait in vain."""


class Share(NamedTuple):
    """How many devices the run is to hold while others wait, None for all, said by the thread that looks for them."""

    most: int | None


class Exited(NamedTuple):
    """The process of a worker is gone that was gone as a worker before, said by the thread that waits for that."""

    worker: str


class Settled(NamedTuple):
    """By now other plugins have said whether a test that ended with its worker, by number, runs again."""

    test: int


class Unanswered(NamedTuple):
    """A worker was asked for tests so long ago that its answer is not waited for: something holds it up."""

    worker: str


class Untold(NamedTuple):
    """A worker was asked for what it has collected so long ago that another is to tell it: something holds it up."""

    worker: str


class TimePasses(NamedTuple):
    """Some time has passed in which workers waited, though there were tests, which others were about to run."""


class Unplaced(NamedTuple):
    """An engine has not placed a worker yet: why, and whether that takes longer by now than the user would wait."""

    worker: str
    why: str
    has_expired: bool


class Room(NamedTuple):
    """So many GPUs a cluster has by now, and so many the host that has the most."""

    gpus: int
    largest: int


class Gone(NamedTuple):
    """A worker has ended that has run no test, or that we have ended: then other plugins hear of ``error``."""

    worker: str
    error: str | None


Notice = (
    Overdue
    | DeviceFailed
    | Fewer
    | Share
    | Exited
    | Settled
    | Unanswered
    | Untold
    | TimePasses
    | Unplaced
    | Room
    | Gone
)
"""What the controller says to itself, to be heard once the present event is over."""

Heard = Message | Notice
"""What a scheduler hears."""


class Rest(NamedTuple):
    """The answer to a question: there is no next test now, one may come."""


class Tell(NamedTuple):
    """Tell what you have collected: nobody else has the same tests in the same order."""


class Describe(NamedTuple):
    """Tell your tests' parameters. One worker's are enough: others would take time."""


class Attempts(NamedTuple):
    """How often tests that are given next were tried elsewhere, by number.

    ``spent`` are the causes of which they have failed as often as they are to be tried again for them. Tests that it
    ``confirms`` have ended before: they are measured again, since a metric is suspect.
    """

    attempts: Mapping[int, int]
    spent: Mapping[int, Sequence[str]]
    confirms: Sequence[int] = ()


class Ends(NamedTuple):
    """When the run is expected to end, ISO 8601, for those who wait for its devices."""

    at: str


Command = Rest | Tell | Describe | Attempts | Ends
"""What the controller says to a worker."""

_MESSAGES: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}
_COMMANDS: dict[str, type[Command]] = {f"gpupool_{kind.__name__.lower()}": kind for kind in get_args(Command)}
_COMMAND_NAMES = {kind: name for name, kind in _COMMANDS.items()}


def to_wire(message: Message) -> list[Any]:
    """Return a message as plain values, which execnet and JSON carry: its kind, then its fields."""
    return [type(message).__name__, *message]


def from_wire(data: Sequence[Any]) -> Message:
    """Make it again from :func:`to_wire`."""
    return _MESSAGES[data[0]](*data[1:])


def to_command(command: Command) -> tuple[str, dict[str, Any]]:
    """Return a command as xdist's are sent: a name of its own and plain values."""
    return _COMMAND_NAMES[type(command)], command._asdict()


def from_command(name: str, values: Mapping[str, Any]) -> Command | None:
    """Make it again from :func:`to_command`; None where it is one of xdist's."""
    kind = _COMMANDS.get(name)
    return None if kind is None else kind(**values)
