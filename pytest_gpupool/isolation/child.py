"""The child: the process of one isolated test. It runs a phase when it is told to, and says what came of it."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
import warnings
from collections.abc import Collection
from typing import Any

import pytest

from ..foreign import companion_names, pytest_phases, python_names, xdist_warnings
from ..values.outcomes import RERUN
from ..worker.recording.recorder import Recorder
from .channel import Channel


class Child:
    """Serves the process that has started this one, until the test is over."""

    def __init__(self, item: pytest.Item, recorder: Recorder, channel: Channel) -> None:
        self._item = item
        self._recorder = recorder
        self._channel = channel
        self._warned = _Warned()
        # Around all phases, as pytest does: what a fixture's set-up makes of warnings holds for the call.
        self._catching = contextlib.ExitStack()
        self._threads: Collection[threading.Thread] = ()

    def serve(self) -> None:
        """Run the phases. Raises EOFError where nobody asks for more, as the other process has ended."""
        item = self._item
        item.config.pluginmanager.register(self._warned, "gpupool-warned")
        self._warned.is_past = False
        companion_names.start_timeout(item)
        with pytest_phases.diverted(item.session, {"pytest_runtest_logreport": self._logged}):
            while (phase := self._channel.receive()[0]) != "end":
                self._channel.send(*self._run(phase))
        companion_names.stop_timeout(item)
        companion_names.save_coverage()
        python_names.run_exit_functions()

    def _run(self, phase: str) -> tuple[object, ...]:
        item, before = self._item, pytest_phases.plain_attributes(self._item)
        if phase == "teardown":
            companion_names.are_no_reruns(item)
        try:
            if phase == "setup":
                self._catching.enter_context(pytest_phases.warnings_caught(item))
                self._threads = threading.enumerate()
            report = pytest_phases.run_phase(item, phase)
            if phase == "teardown":
                self._warn_of_threads()
                self._catching.close()
        except pytest.exit.Exception as error:
            return "exit", error.msg, error.returncode
        except KeyboardInterrupt:
            return "interrupt", "".join(traceback.format_exc())
        except BaseException:
            return "broke", traceback.format_exc()
        finally:
            pytest_phases.flushed(item.config, (sys.stdout, sys.stderr))
        return "done", self._told(report, before)

    def _warn_of_threads(self) -> None:
        """Tell of threads that somebody meant to end by themselves: this process does not wait for them."""
        left = [one.name for one in threading.enumerate() if not one.daemon and one not in self._threads]
        if left:
            text = (
                f"gpupool: {self._item.nodeid} is over, and with its process ends what it left running in the thread "
                f"{left[0]!r}, such as metrics that come later: let the test wait for what it starts"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # an error would be somebody else's
                warnings.warn(pytest.PytestWarning(text), stacklevel=2)

    def _told(self, report: pytest.TestReport, before: dict[str, object]) -> dict[str, Any]:
        item, session = self._item, self._item.session
        test, attributes = self._recorder.attempts.test, pytest_phases.plain_attributes(item)
        return {
            "report": _to_wire(item, report),
            "warnings": self._warned.take(),
            "attributes": {
                name: value for name, value in attributes.items() if name not in before or before[name] != value
            },
            "shouldfail": session.shouldfail,
            "shouldstop": session.shouldstop,
            "unfit": self._recorder.unfit if report.outcome == RERUN else None,
            "torch_peak": None if test is None or report.when != "teardown" else test.torch_peak(),
        }

    def _logged(self, report: pytest.TestReport) -> None:
        """A part of the test, such as a subtest, has a report of its own, which is for all plugins at once."""
        self._channel.send("logged", _to_wire(self._item, report))


def _to_wire(item: pytest.Item, report: pytest.TestReport) -> Any:
    return item.config.hook.pytest_report_to_serializable(config=item.config, report=report)


class _Warned:
    """The plugin that hears of the warnings of this process, and not again of those before."""

    def __init__(self) -> None:
        self.is_past = True
        self._heard: list[dict[str, Any]] = []

    @pytest.hookimpl
    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        if not self.is_past:
            with contextlib.suppress(Exception):  # a warning of whose arguments nothing can be said
                told = xdist_warnings.to_wire(warning_message, when=when, nodeid=nodeid, location=location)
                self._heard.append(told)

    def take(self) -> list[dict[str, Any]]:
        """Return those that are new."""
        heard, self._heard = self._heard, []
        return heard
