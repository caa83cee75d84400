"""The interactor: pytest in a worker, with xdist's protocol and a next test that is chosen late.

The only module that knows xdist's worker program from inside, beside the wing ``foreign``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from xdist.remote import WorkerInteractor

from ...foreign import xdist_protocol, xdist_warnings
from ...foreign.pytest_names import call_program, capture_descriptors, error_text
from ...foreign.pytest_reports import Reports
from ...foreign.xdist_worker import SHUTDOWN, prepare, queue_of
from ...options import companions
from ...processes.own import clock, forks
from ...values import messages
from ...values.messages import (
    Ask,
    Attempts,
    Broken,
    Captures,
    Describe,
    Ends,
    Finishing,
    Message,
    Params,
    Poisoned,
    Records,
    Rest,
    Stolen,
    TearingDown,
    Tell,
    WrongUsage,
)
from ...values.texts import safe_repr
from ..choosing.resume import whole_collection_key
from ..choosing.shard import part_key
from ..items.confirming import Confirming
from ..items.params import params_of
from ..recording.recorder import Recorder, recorder_key
from . import tear_down
from .given_tests import GivenTests, Next
from .item_facts import collected, facts_of
from .late_item import LateItem
from .order import Order
from .parcels import Parcels


class Interactor(WorkerInteractor):
    """xdist's worker side, one test at a time."""

    def __init__(self, config: pytest.Config, channel: Any) -> None:
        self._parcels = Parcels(channel)
        self._reports = Reports(config)
        self._describe = False
        self._late: LateItem | None = None
        self._recorder: Recorder = config.stash[recorder_key]
        if self._recorder.gate is not None:
            self._recorder.gate.tell = self.say
        if (writer := self._recorder.writer) is not None:
            writer.send_at_once = lambda lines: self.say(Records(lines))
            self._recorder.tells(lambda text: self.say(Records([writer.line("late-metric", text=text)])))
        self._order = Order()
        super().__init__(config, channel)
        self._given = GivenTests(queue_of(self))
        confirming = Confirming(lambda: self._recorder.confirms, self._measures_again)
        config.pluginmanager.register(confirming, "gpupool-confirming")

    def say(self, message: Message) -> None:
        """Send a message of ours."""
        name, values = xdist_protocol.unscheduled(messages.to_wire(message))
        self.sendevent(name, **values)

    def _measures_again(self, item: pytest.Item) -> None:
        self.sendevent(xdist_protocol.LOGSTART, nodeid=item.nodeid, location=item.location, confirms=True)

    def sendevent(self, name: str, **kwargs: object) -> None:
        """Send an event. xdist's own hooks, of which this class has most, call it too."""
        self._parcels.send(name, kwargs)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell the controller what came of a phase, by a shorter way than xdist's own."""
        data = self._reports.to_wire(report)
        assert self.session.items[self.item_index].nodeid == report.nodeid  # as xdist sees to it
        data.update(item_index=self.item_index, worker_id=self.workerid, testrun_uid=self.testrunuid)
        self.sendevent(xdist_protocol.TESTREPORT, data=data)

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell the controller. xdist's own goes by a global of its program, which is not running."""
        self.sendevent(xdist_protocol.INTERNAL_ERROR, formatted_error=error_text(excrepr, excinfo.value))

    @pytest.hookimpl
    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        """Tell the controller, whatever class it is of."""
        values = xdist_warnings.to_wire(warning_message, when=when, nodeid=nodeid, location=location)
        self.sendevent(xdist_warnings.RECORDED, **values)

    @pytest.hookimpl
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Look around what all other plugins, which are there by now, do to the order of the tests."""
        super().pytest_sessionstart(session)
        self.config.pluginmanager.register(self._order, "gpupool-order")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave ids alone: xdist writes the group into them, which pytest 9 no longer reads. Groups go separately."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller which tests these are, in short: others mostly have the same."""
        self.say(Captures(capture_descriptors(self.config)))
        self.say(collected(session.items))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, None]:
        """Say goodbye, as xdist does, and end quickly: others may wait for this worker's device."""
        wrong = sys.exc_info()[1]  # what ends the session, which pytest shows later, and here nobody sees
        if isinstance(wrong, pytest.UsageError):
            self.say(WrongUsage("\n".join(map(str, wrong.args))))
        goodbye = super().pytest_sessionfinish(exitstatus)
        next(goodbye)
        outcome: Any = yield
        with contextlib.suppress(OSError, StopIteration):  # the controller may be gone
            self._recorder.session_ends()
            if outcome.excinfo is not None:  # of which xdist says nothing
                error = outcome.excinfo[1]
                text = f"pytest_sessionfinish raised {type(error).__name__}: {safe_repr(str(error))}"
                self.say(Broken(text))
            goodbye.send(outcome)
        # pytest looks for garbage five times as it ends, each time through all that was collected. Once is enough where
        # nobody hears of it any more.
        gc.collect()
        gc.freeze()

    def handle_command(self, command: Any) -> None:
        """Hear the controller, in a thread of its own; some commands are ours."""
        match None if command is SHUTDOWN else messages.from_command(*command):
            case Tell():
                self._tell()
            case Describe():
                self._describe = True  # by the main thread: a parameter's repr may use the device
            case Ends(at):
                if self._recorder.gate is not None:
                    self._recorder.gate.expect_end(at)
            case Rest():
                self._given.rest()
            case Attempts(attempts, spent, confirms):
                for index, tried in attempts.items():
                    nodeid, is_again = self.session.items[index].nodeid, index in confirms
                    self._recorder.begins_anew(nodeid, tried, spent.get(index, ()), confirms=is_again)
            case None:
                super().handle_command(command)
        if command is not SHUTDOWN and command[0] in xdist_protocol.ANSWERS:
            self._given.answers += 1

    def _tell(self) -> None:
        """Tell all ids, and what the controller needs for planning and no id says."""
        whole, part = self.config.stash.get(whole_collection_key, None), self.config.stash.get(part_key, None)
        self.say(
            facts_of(
                self.session.items,
                grouped=companions.groups_by_mark(self.config),
                order_is_promised=self._order.is_promised,
                whole_collection=None if whole is None else whole.to_wire(),
                part=None if part is None else part.to_wire(),
            )
        )

    def steal(self, indices: Sequence[int]) -> None:
        """Give back those of these tests that have not begun; xdist's own gives all or none."""
        self.say(Stolen(self._given.give_back(set(indices))))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run one test after the other, each given by the controller when the one before nears its end."""
        self.channel.setcallback(self.handle_command, endmarker=SHUTDOWN)
        following: Next = self._given.wait()
        last: pytest.Item | None = None
        while following is not SHUTDOWN:
            if isinstance(following, Rest):
                following = self._given.wait()
                continue
            if self._describe:
                self._describe = False
                self.say(Params.of((item.nodeid, values) for item in session.items if (values := params_of(item))))
            item = session.items[following]
            self._tear_down_rest(last, item)
            last, following = item, self._run(session, following)
        self._tear_down_rest(last, None)
        self.say(Finishing())
        return True

    def _tear_down_rest(self, last: pytest.Item | None, following: pytest.Item | None) -> None:
        if last is not None:
            with forks.Border(last.nodeid):
                tear_down.rest(last, following, begins=lambda: self.say(TearingDown(last.nodeid)))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: object) -> Generator[None, Any, Any]:
        """Ask for the next test when what is this one's alone is torn down."""
        if isinstance(nextitem, LateItem):
            return (yield from tear_down.in_two_steps(item, nextitem))
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """What the tear-down waited for the controller is not its test's time."""
        report = yield
        if call.when == "teardown" and self._late is not None:
            report.duration = max(0.0, report.duration - self._late.waited)
            self._recorder.has_waited(self._late.waited)
            self._late = None
        return report

    def _run(self, session: pytest.Session, index: int) -> Next:
        """Run a test, and return what comes next."""
        following: list[Next] = []

        item = session.items[index]

        def is_told() -> bool:
            if not following and (told := self._told()) is not None:
                following.append(told)
            return bool(following) and not isinstance(following[0], Rest)

        def ask() -> pytest.Item | None:
            if not following:
                following.append(self._next())
            if isinstance(following[0], Rest) and self._stays_set_up:
                return item
            return session.items[following[0]] if isinstance(following[0], int) else None

        late = self._late = LateItem(item, ask, is_told)
        self.item_index = index  # xdist's hooks put it into reports
        began, shared = clock.monotonic(), self._recorder.seconds_of_set_ups
        self.config.hook.pytest_runtest_protocol(item=item, nextitem=late)
        shared = self._recorder.seconds_of_set_ups - shared
        seconds = max(0.0, clock.monotonic() - began - late.waited - shared)
        stops = session.shouldfail or session.shouldstop
        leaves = not stops and self._recorder.unfit is not None and self._is_replaceable
        if leaves:
            # Before the word that the test has ended, for which the controller might send another one.
            self._leave(following)
        self.sendevent(xdist_protocol.TEST_COMPLETE, item_index=index, duration=seconds)
        self._parcels.took(seconds)
        if stops or leaves:
            return SHUTDOWN
        late.resolve()
        return following[0]

    @property
    def _stays_set_up(self) -> bool:
        """Whether fixtures that tests share stay while no next test is known."""
        # Where this process will run no more, or others need the device's memory meanwhile, they do not.
        return not (self._recorder.unfit and self._is_replaceable) and not self._recorder.shares_devices

    @property
    def _is_replaceable(self) -> bool:
        # With --dist each the other tests of this worker are its own.
        return not companions.runs_each(self.config)

    def _leave(self, following: list[Next]) -> None:
        """Say that this process does not survive its test, as far as its device goes; give the others back."""
        if SHUTDOWN in following:
            return
        given = [index for index in following if isinstance(index, int)] + self._given.give_back_all()
        assert self._recorder.unfit is not None
        self.say(Poisoned(self.session.items[self.item_index].nodeid, self._recorder.unfit, given))

    def _told(self) -> Next | None:
        """Return what comes next, None where the controller has not said it already."""
        if self._recorder.unfit and self._is_replaceable:
            return Rest()  # all fixtures are torn down, as before an end
        return self._given.next_at_once()

    def _next(self) -> Next:
        """Return what comes next: ask, if the controller has not said it already."""
        answers = self._given.answers  # before the look: what comes after both has crossed with the question
        following = self._told()
        if following is None:
            self.say(Ask(answers))
            following = self._given.wait()
        return following


def run(channel: Any, workerinput: dict[str, Any], config: pytest.Config, basetemp: str | None) -> None:
    """Run pytest in this worker, as xdist's own program does, with our interactor in place of xdist's."""
    prepare(config, workerinput, basetemp)
    call_program(config, os.path.basename(workerinput["mainargv"][0]))  # noqa: PTH119 - as xdist does
    Interactor(config, channel)
    config.hook.pytest_cmdline_main(config=config)
