"""The sequence of attempts at this process's tests: when one begins, what it takes in, and when it is over.

An attempt begins with pytest's log start, or where a phase comes again: pytest-retry repeats set-up and call, a suite's
own protocol whatever it likes. It is over with the report of its tear-down, or else with its test's protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pytest

from ....logs.worker_logs import WorkerLogs
from ....processes import stacks
from ....processes.own import forks
from ....values.device import Device
from ....values.texts import iso
from ...items.identity import source_of
from .. import junit_properties, verdict_failure
from ..present import RunningTest
from ..recipes import Recipes
from ..sticky_error import StickyError
from ..writer import RecordWriter
from .attempt import Attempt
from .metric_log import MetricLog

if TYPE_CHECKING:
    from ....sampling.sampler import Sampler


class Attempts:
    """The attempts, of which one at most goes on. Without a writer nothing is on record of them."""

    def __init__(
        self,
        fail_on: frozenset[str],
        writer: RecordWriter | None,
        sticky_error: StickyError,
        clock: Callable[[], float],
    ) -> None:
        self.test: RunningTest | None = None
        """The test that runs, or ran last; None before the first."""
        self.present = Attempt()
        """The attempt that goes on, or went on last."""
        self.confirms = False
        """Whether the test that runs has ended before, and is only measured again."""
        self.sampler: Sampler | None = None
        """What sees what they use."""
        self.recipes: Recipes | None = None
        """What each test depends on, once that is known."""
        self.before: Counter[str] = Counter()
        """How many attempts there have been, by test, those elsewhere included."""
        self.logs = WorkerLogs(None if writer is None else writer.run_dir, "" if writer is None else writer.worker)
        """What keeps what they write."""
        self.log = MetricLog(writer)
        self._fail_on = fail_on
        self._writer = writer
        self._sticky_error = sticky_error
        self._clock = clock

    def send_piece(self, nodeid: str, file: str, data: bytes) -> None:
        """Have the controller append to a log, whose path is from the run's directory, which is not here."""
        self.log.send_piece(nodeid, file, data, self.present)

    def runs(self, item: pytest.Item) -> bool:
        """Say whether this is the test that runs."""
        return self.test is not None and self.test.item is item

    def at(self, item: pytest.Item, held: tuple[Device, ...]) -> Attempt:
        """Return the attempt at a test that goes on: what that one records is its own, whenever it comes."""
        if self.runs(item):
            return self.present
        return Attempt(test=RunningTest(item=item, refused=None, held=held))  # nobody has begun its protocol

    def begin(self, test: RunningTest) -> None:
        """An attempt begins, and with it the one before is over."""
        self.close()
        test.item.user_properties[:] = junit_properties.others(test.item.user_properties)
        self.present = self.present.next(test, test.devices())
        self.before[test.nodeid] += 1
        self.present.tries = self.before[test.nodeid]
        started = iso(self._clock())
        self.logs.begin(test.nodeid, self.before[test.nodeid], started)
        if self._writer is not None:
            self._writer.write(
                "start",
                test=test.nodeid,
                devices=self.present.devices,
                device_kind=None if test.refused else test.kind(),
                started=started,
                attempt=self.before[test.nodeid],
                recipe=None if self.recipes is None else self.recipes.of(test.item),
                **({} if (source := source_of(test.item)) is None else {"source": source}),
                **({"confirms": True} if self.confirms else {}),
                **({"asked": asked} if (asked := test.asked()) else {}),
                **({} if (repeat := test.repeat) is None else {"repeat": repeat.to_record()}),
            )
        if self.sampler is not None:
            self.sampler.begin(on_devices=bool(self.present.devices))

    def phase(self, name: str, item: pytest.Item) -> AbstractContextManager[None]:
        """Return what a phase of a test is to go on in."""
        return _Phase(self, name, item.nodeid) if self.runs(item) else nullcontext()  # else another plugin's doing

    def enters(self, phase: str) -> None:
        """A phase of the test begins."""
        if self.test is not None and self._must_begin(phase):
            self.begin(self.test)
        stacks.renew_offer()
        self.present.enters(phase)

    def is_given(self, test: RunningTest, serial: int, tries: int) -> None:
        """This process was started for an attempt at a test, which has begun, with that number, in another one."""
        self.test = test
        self.present = Attempt(test=test, serial=serial, devices=test.devices(), is_isolated=True, tries=tries)

    def is_tried_again(self) -> None:
        """An attempt is set up whose phases run in another process: it begins here, unless it has begun."""
        if self.test is not None and self._must_begin("setup"):
            self.begin(self.test)

    def problems(self, *, has_failed: bool) -> list[str]:
        """Return what another process could not know of the phase that it has run: each fails the test once.

        Where the phase ``has_failed``, its bad verdicts are told already.
        """
        bad, present = self.bad_verdicts(), self.present
        found, present.problems = present.problems, []
        return found if has_failed else found + bad

    def leaves(self, phase: str, *, in_peace: bool) -> None:
        """It is over. Where it was ``in_peace``, what is wrong with metrics of its children fails the test."""
        present = self.present
        present.leaves(phase)
        if not in_peace:
            return
        self.log.take_from_children(present)
        if phase == "call":
            present.problems += self.log.samples.doubled(present)
        if present.problems:
            problems, present.problems = present.problems, []
            pytest.fail("\n".join(problems), pytrace=False)

    def logged(self, report: pytest.TestReport) -> None:
        """Pytest's plugins are given a report; where no test runs in this process, of another one's."""
        if not self.present.has_begun:
            return
        self.log.take_from_children(self.present)
        if not self.present.is_isolated:  # else it stays in the test's own process
            self._sticky_error.look_at(report)
        if self.present.logs(report):
            self._end()

    def close(self) -> None:
        """No more is to be heard of the attempt: it ends, where any report of it was made. It has no result else."""
        attempt = self.present
        if attempt.has_begun and not attempt.is_over and attempt.closes():
            self.log.take_from_children(attempt)
            self._end()
        attempt.is_over = True

    def reconsider(self) -> None:
        """Let the verdicts know what went on around the test so far."""
        if self.sampler is not None:
            self.present.metrics.reconsider(self.sampler.figures())

    def bad_verdicts(self) -> list[str]:
        """Return a line for each metric whose verdict fails the test, once."""
        self.log.take_from_children(self.present)
        if self.test is None or not self.present.metrics:
            return []
        self.reconsider()
        return verdict_failure.sentences(self.present.metrics, self._fail_on)

    def _must_begin(self, phase: str) -> bool:
        attempt = self.present
        if attempt.test is not self.test or not attempt.has_begun or attempt.is_over:
            return True
        return phase != "teardown" and attempt.had(phase, "teardown")

    def _end(self) -> None:
        attempt, test = self.present, self.present.test
        assert test is not None
        if self.sampler is not None and not attempt.is_over:
            attempt.metrics.reconsider(self.sampler.end())
        attempt.is_over = True
        self.log.closes(attempt)
        if self._writer is not None:
            last_words = self._sticky_error.last_words(test.item.session, self._writer.worker)
            ended = iso(self._clock())
            torch_peak = attempt.torch_peak if attempt.is_isolated else test.torch_peak()
            record = attempt.to_record(ended=ended, last_words=last_words, torch_peak=torch_peak)
            self._writer.write("end", test=test.nodeid, **record)


class _Phase(forks.Border):
    """A phase that goes on. No generator: see there."""

    __slots__ = ("_attempts", "_name")

    def __init__(self, attempts: Attempts, name: str, nodeid: str) -> None:
        super().__init__(nodeid)
        self._attempts = attempts
        self._name = name

    def __enter__(self) -> None:
        self._attempts.enters(self._name)
        super().__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            self._attempts.leaves(self._name, in_peace=error is None)
