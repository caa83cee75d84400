"""The lookup: in a fresh process, how the test is found for which it was started."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ..foreign import companion_names, pytest_phases
from ..foreign.pytest_names import capture_descriptors
from ..options import companions
from ..processes import stacks
from ..worker.recording.present import RunningTest
from ..worker.recording.recorder import recorder_key
from .channel import Channel
from .child import Child


class GivenTest:
    """The plugin. Only the test's file is collected, and of it one test is served; then this process ends at once."""

    def __init__(self, given: dict[str, Any], channel: Channel) -> None:
        self._given = given
        self._channel = channel
        self._problems: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Any:
        """No workers, and no debugger, as in a worker; and nothing but this file."""
        companions.be_alone(config)
        config.args[:] = [self._given["file"]]
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Nobody looks at this process's terminal: what plugins write to it as a test runs is the test's output."""
        config.pluginmanager.unregister(name="terminalreporter")
        pytest_phases.have_no_terminal(config)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Know what went wrong."""
        if report.failed:
            self._problems.append(report.longreprtext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve the test, and end."""
        item = next((item for item in session.items if item.nodeid == self._given["test"]), None)
        if item is None:
            why = "\n".join(self._problems) or f"{self._given['test']} is not among what it has collected"
            self._channel.send("lost", why)
            os._exit(1)
        recorder = session.config.stash[recorder_key]
        test = RunningTest(item=item, refused=None, held=recorder.held)
        recorder.attempts.is_given(test, self._given["attempt"], self._given["tries"])
        if self._given["outbox"] is not None:
            recorder.attempts.log.is_of_another(self._given["parent"], self._given["outbox"], self._given["folder"])
        stacks.offer_at(self._given["dump"])  # only now: pytest has chosen by itself where those of a crash go
        self._channel.send("ready", capture_descriptors(session.config))
        companion_names.protocol_of_others(session.config, self)(item=item, nextitem=None)
        os._exit(0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        """Serve the test, within what pytest and plugins have around each, as how assertions are explained."""
        Child(item, item.config.stash[recorder_key], self._channel).serve()
        return True
