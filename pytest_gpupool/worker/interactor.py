"""The interactor: pytest in a worker, with xdist's protocol and a next test that is chosen late.

The only module that knows xdist's worker program from inside; ``tests/test_foreign_names.py`` fails when one of the
private names that it uses goes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
import xdist.remote
from xdist.remote import Marker, WorkerInteractor

from ..records import wire
from ..values.errors import MarkerProblem
from ..values.requirement import Requirement
from ..values.texts import safe_repr
from .items import params_of, requirement_of
from .recording.recorder import Recorder, recorder_key
from .resume import whole_collection_key

Next = Any
"""What comes out of xdist's queue: a test's number, or ``Marker.SHUTDOWN``."""

PARCEL = "gpupool_parcel"
"""The event that holds other events, as :mod:`pytest_gpupool.wire` has them."""

QUICK_SECONDS = 0.1
"""After a test that took less, the next one's events travel together: one message costs more than such a test."""

_MAY_WAIT = ("logstart", "testreport", "logfinish")

REST = "gpupool_rest"
"""The command that answers a question: there is no next test now, one may come."""

DESCRIBE = "gpupool_describe"
"""The command for which a worker tells its tests' parameters. One worker's are enough: others would take time."""


ATTEMPTS = "gpupool_attempts"
"""The command that says how often tests were tried elsewhere which are given to this worker next."""


class LateItem:
    """Stands for the next test, which is asked for only when somebody looks.

    pytest looks when it tears down (``SetupState.teardown_exact``); by then the present test is nearly over.
    """

    def __init__(self, ask: Callable[[], pytest.Item | None]) -> None:
        self._ask = ask
        self._known = False
        self._item: pytest.Item | None = None
        self.waited = 0.0

    def resolve(self) -> pytest.Item | None:
        """Return the next test, None where there is none; asks once."""
        if not self._known:
            began = time.perf_counter()
            self._item = self._ask()
            self.waited = time.perf_counter() - began
            self._known = True
        return self._item

    def __bool__(self) -> bool:
        return self.resolve() is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.resolve(), name)


class Interactor(WorkerInteractor):
    """xdist's worker side, one test at a time."""

    index: Next

    def __init__(self, config: pytest.Config, channel: Any) -> None:
        self._sending = threading.RLock()
        self._waiting: list[tuple[str, dict[str, object]]] = []
        self._quick = False
        self._describe = False
        self._recorder: Recorder = config.stash[recorder_key]
        if self._recorder.gate is not None:
            self._recorder.gate.tell = self.say
        if self._recorder.writer is not None:
            self._recorder.writer.send_at_once = lambda lines: self.say("records", lines=lines)
        super().__init__(config, channel)

    def say(self, kind: str, **values: Any) -> None:
        """Send a message of ours; it travels as xdist's ``unscheduled`` event, which only our scheduler hears."""
        self.sendevent("unscheduled", indices=[{"kind": kind, **values}])

    def sendevent(self, name: str, **kwargs: object) -> None:
        """Send an event, in a parcel with those that waited for it.

        A parcel is far cheaper than execnet's own way, and nothing in a report can be too strange for it. What still
        waits when the worker dies is about a test that has not ended.
        """
        with self._sending:  # messages of ours come from the thread that hears the controller, too
            self._waiting.append((name, kwargs))
            if not (self._quick and name in _MAY_WAIT):
                events, self._waiting = self._waiting, []
                self.channel.send((PARCEL, wire.dumps(events)))

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell the controller. xdist's own goes by a global of its program, which is not running."""
        self.sendevent("internal_error", formatted_error=str(excrepr))

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave ids alone: xdist writes the group into them, which pytest 9 no longer reads. Groups go separately."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller what it needs for planning and no id says, then the ids."""
        items = list(enumerate(session.items))
        grouped = items if self.config.getvalue("loadgroup") else []
        about = {
            "asks": {index: asks for index, item in items if (asks := _asks(item))},
            "groups": {index: group for index, item in grouped if (group := _group(item))},
            "warm": {index: warm for index, warm in enumerate(_warmth(session.items)) if warm},
        }
        whole = self.config.stash.get(whole_collection_key, None)
        self.say("items", text=json.dumps(about), left=None if whole is None else whole.to_wire())
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
                self.say("broken", text=f"pytest_sessionfinish raised {type(error).__name__}: {safe_repr(str(error))}")
            goodbye.send(outcome)
        # pytest looks for garbage five times as it ends, each time through all that was collected. Once is enough where
        # nobody hears of it any more.
        gc.collect()
        gc.freeze()

    def handle_command(self, command: Any) -> None:
        """Hear the controller; three commands are ours."""
        if command is not Marker.SHUTDOWN and command[0] == DESCRIBE:
            self._describe = True  # by the main thread: a parameter's repr may use the device
        elif command is not Marker.SHUTDOWN and command[0] == REST:
            self.torun.put(REST)
        elif command is not Marker.SHUTDOWN and command[0] == ATTEMPTS:
            for index, attempts in command[1]["attempts"].items():
                self._recorder.begins_anew(self.session.items[index].nodeid, attempts)
        else:
            super().handle_command(command)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run one test after the other, each given by the controller when the one before nears its end."""
        self.channel.setcallback(self.handle_command, endmarker=Marker.SHUTDOWN)
        self.index = self.torun.get()
        while self.index is not Marker.SHUTDOWN:
            if self.index is REST:
                self.index = self.torun.get()
                continue
            if self._describe:
                self._describe = False
                params = [[item.nodeid, values] for item in session.items if (values := params_of(item))]
                # As one text: execnet is slow with many small values.
                self.say("params", text=json.dumps(params))
            self.index = self._run(session, self.index)
        return True

    def steal(self, indices: Any) -> None:
        """Give queued tests back: those of ``indices`` that have not been taken out of the queue."""
        wanted = set(indices)
        with self.torun.lock() as queued:
            given = [index for index in queued if index in wanted]
            kept = [index for index in queued if index not in wanted]
            queued.clear()
            queued.extend(kept)
        self.say("stolen", tests=given)

    def _run(self, session: pytest.Session, index: int) -> Next:
        following: list[Next] = []

        def ask() -> pytest.Item | None:
            following.append(self._next())
            return session.items[following[0]] if isinstance(following[0], int) else None

        late = LateItem(ask)
        self.item_index = index
        began = time.perf_counter()
        self.config.hook.pytest_runtest_protocol(item=session.items[index], nextitem=late)
        seconds = time.perf_counter() - began - late.waited
        stops = session.shouldfail or session.shouldstop
        leaves = not stops and self._recorder.poison is not None and self._is_replaceable
        if leaves:
            # Before the word that the test has ended, for which the controller might send another one.
            self._leave(following)
        self.sendevent("runtest_protocol_complete", item_index=index, duration=seconds)
        self._quick = seconds < QUICK_SECONDS
        if stops or leaves:
            return Marker.SHUTDOWN
        late.resolve()
        return following[0]

    @property
    def _is_replaceable(self) -> bool:
        # With --dist each the other tests of this worker are its own.
        return bool(self.config.getvalue("dist") != "each")

    def _leave(self, following: list[Next]) -> None:
        """Say that this process does not survive its test, as far as CUDA goes; give the others back."""
        if Marker.SHUTDOWN in following:
            return
        with self.torun.lock() as queued:
            given = [index for index in (*following, *queued) if isinstance(index, int)]
            queued.clear()
        self.say("poisoned", test=self.session.items[self.item_index].nodeid, why=self._recorder.poison, tests=given)

    def _next(self) -> Next:
        if self._recorder.poison and self._is_replaceable:
            return REST  # all fixtures are torn down, as before an end
        with self.torun.lock() as queued:
            if queued:
                return queued.popleft()
        self.say("ask")
        return self.torun.get()


def run(channel: Any, workerinput: dict[str, Any], config: pytest.Config, basetemp: str | None) -> None:
    """Run pytest in this worker, as xdist's own program does, with our interactor in place of xdist's."""
    xdist.remote.setup_config(config, basetemp)
    config._parser.prog = os.path.basename(workerinput["mainargv"][0])  # noqa: PTH119 - as xdist does
    config.workerinput = workerinput  # type: ignore[attr-defined]
    config.workeroutput = {}  # type: ignore[attr-defined]
    Interactor(config, channel)
    config.hook.pytest_cmdline_main(config=config)


def _asks(item: pytest.Item) -> dict[str, Any]:
    """Return what the test asks for, as far as the controller needs it and it is not the usual."""
    try:
        requirement = requirement_of(item)
    except MarkerProblem:
        return {}  # said when the test is set up
    if requirement == _NOTHING:
        return {}
    asks = {
        name: getattr(requirement, name) for name in _ASKED if getattr(requirement, name) != getattr(_NOTHING, name)
    }
    memory = requirement.memory
    return asks if memory is None or memory.relative else {**asks, "memory": int(memory.amount)}


_NOTHING = Requirement()
_ASKED = ("gpus", "timeout", "priority", "serial", "lock", "stage")


def _warmth(items: list[pytest.Item]) -> Generator[str | None, None, None]:
    """Yield for each test what it shares with those that use the same set-up fixtures, None where that is nothing.

    These are the fixtures of its module, class or session that some code of the tests has, with their parameters.
    """
    known: dict[int, tuple[str, ...]] = {}
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        if info is None:
            yield None
            continue
        wide = known.get(id(info))
        if wide is None:
            wide = known[id(info)] = tuple(_wide_fixtures(info))
        indices = item.callspec.indices if wide and hasattr(item, "callspec") else {}
        chosen = [f"{name}{indices.get(name, '')}" for name in wide]
        yield f"{item.nodeid.split('::', 1)[0]}|{'|'.join(chosen)}" if chosen else None


def _wide_fixtures(info: Any) -> Generator[str, None, None]:
    for name, definitions in info.name2fixturedefs.items():
        # pytest's own cost nothing; a parametrized function's arguments, which are no fixtures, are among them.
        wide = bool(definitions) and definitions[-1].scope != "function"
        if wide and not str(getattr(definitions[-1].func, "__module__", "")).startswith(
            ("_pytest.", "pytest_gpupool.")
        ):
            yield name


def _group(item: pytest.Item) -> str | None:
    """Return the name of the test's ``xdist_group``, by xdist's rules."""
    names = {
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    }
    return "_".join(sorted(names)) or None
