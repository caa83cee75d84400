"""The interactor: pytest in a worker, with xdist's protocol and a next test that is chosen late.

The only module that knows xdist's worker program from inside, beside the wing ``foreign``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from xdist.remote import WorkerInteractor

from ...foreign import xdist_protocol
from ...foreign.pytest_names import call_program
from ...foreign.xdist_worker import SHUTDOWN, prepare, queue_of
from ...options import companions
from ...values import messages
from ...values.messages import Ask, Attempts, Broken, Describe, Message, Params, Poisoned, Records, Rest, Stolen
from ...values.texts import safe_repr
from ..items import params_of
from ..recording.recorder import Recorder, recorder_key
from ..resume import whole_collection_key
from .given_tests import GivenTests, Next
from .item_facts import facts_of
from .late_item import LateItem
from .parcels import Parcels


class Interactor(WorkerInteractor):
    """xdist's worker side, one test at a time."""

    def __init__(self, config: pytest.Config, channel: Any) -> None:
        self._parcels = Parcels(channel)
        self._describe = False
        self._recorder: Recorder = config.stash[recorder_key]
        if self._recorder.gate is not None:
            self._recorder.gate.tell = self.say
        if self._recorder.writer is not None:
            self._recorder.writer.send_at_once = lambda lines: self.say(Records(lines))
        super().__init__(config, channel)
        self._given = GivenTests(queue_of(self))

    def say(self, message: Message) -> None:
        """Send a message of ours."""
        name, values = xdist_protocol.unscheduled(messages.to_wire(message))
        self.sendevent(name, **values)

    def sendevent(self, name: str, **kwargs: object) -> None:
        """Send an event. xdist's own hooks, of which this class has most, call it too."""
        self._parcels.send(name, kwargs)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell the controller. xdist's own goes by a global of its program, which is not running."""
        self.sendevent(xdist_protocol.INTERNAL_ERROR, formatted_error=str(excrepr))

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave ids alone: xdist writes the group into them, which pytest 9 no longer reads. Groups go separately."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller what it needs for planning and no id says, then the ids."""
        whole, grouped = self.config.stash.get(whole_collection_key, None), companions.groups_by_mark(self.config)
        whole_collection = None if whole is None else whole.to_wire()
        self.say(facts_of(session.items, grouped=grouped, whole_collection=whole_collection))
        super().pytest_collection_finish(session)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, None]:
        """Say goodbye, as xdist does, and end quickly: others may wait for this worker's device."""
        goodbye = super().pytest_sessionfinish(exitstatus)
        next(goodbye)
        outcome: Any = yield
        with contextlib.suppress(OSError, StopIteration):  # the controller may be gone
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
            case Describe():
                self._describe = True  # by the main thread: a parameter's repr may use the device
            case Rest():
                self._given.rest()
            case Attempts(attempts):
                for index, tried in attempts.items():
                    self._recorder.begins_anew(self.session.items[index].nodeid, tried)
            case None:
                super().handle_command(command)

    def steal(self, indices: Sequence[int]) -> None:
        """Give back those of these tests that have not begun; xdist's own gives all or none."""
        self.say(Stolen(self._given.give_back(set(indices))))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run one test after the other, each given by the controller when the one before nears its end."""
        self.channel.setcallback(self.handle_command, endmarker=SHUTDOWN)
        following: Next = self._given.wait()
        while following is not SHUTDOWN:
            if isinstance(following, Rest):
                following = self._given.wait()
                continue
            if self._describe:
                self._describe = False
                self.say(Params.of((item.nodeid, values) for item in session.items if (values := params_of(item))))
            following = self._run(session, following)
        return True

    def _run(self, session: pytest.Session, index: int) -> Next:
        """Run a test, and return what comes next."""
        following: list[Next] = []

        def ask() -> pytest.Item | None:
            following.append(self._next())
            return session.items[following[0]] if isinstance(following[0], int) else None

        late = LateItem(ask)
        self.item_index = index  # xdist's hooks put it into reports
        began = time.perf_counter()
        self.config.hook.pytest_runtest_protocol(item=session.items[index], nextitem=late)
        seconds = time.perf_counter() - began - late.waited
        stops = session.shouldfail or session.shouldstop
        leaves = not stops and self._recorder.sticky_error is not None and self._is_replaceable
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
    def _is_replaceable(self) -> bool:
        # With --dist each the other tests of this worker are its own.
        return not companions.runs_each(self.config)

    def _leave(self, following: list[Next]) -> None:
        """Say that this process does not survive its test, as far as CUDA goes; give the others back."""
        if SHUTDOWN in following:
            return
        given = [index for index in following if isinstance(index, int)] + self._given.give_back_all()
        assert self._recorder.sticky_error is not None
        self.say(Poisoned(self.session.items[self.item_index].nodeid, self._recorder.sticky_error, given))

    def _next(self) -> Next:
        """Return what comes next: ask, if the controller has not said it already."""
        if self._recorder.sticky_error and self._is_replaceable:
            return Rest()  # all fixtures are torn down, as before an end
        following = self._given.next_at_once()
        if following is None:
            self.say(Ask())
            following = self._given.wait()
        return following


def run(channel: Any, workerinput: dict[str, Any], config: pytest.Config, basetemp: str | None) -> None:
    """Run pytest in this worker, as xdist's own program does, with our interactor in place of xdist's."""
    prepare(config, workerinput, basetemp)
    call_program(config, os.path.basename(workerinput["mainargv"][0]))  # noqa: PTH119 - as xdist does
    Interactor(config, channel)
    config.hook.pytest_cmdline_main(config=config)
