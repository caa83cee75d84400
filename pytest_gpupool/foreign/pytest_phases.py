"""Pytest's private names around the phases of one test: how they are called, captured, set up and torn down.

Seen in pytest 8.4.0 to 9.2.0.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import pytest
from _pytest.config import create_terminal_writer
from _pytest.runner import call_and_report
from _pytest.warnings import catch_warnings_for_item

from .pytest_names import TerminalFile, definitions_of, fixture_info, tear_down

SESSION_ENDS = (KeyboardInterrupt, pytest.exit.Exception)
"""What ends a session, and is no test's failure."""


@contextlib.contextmanager
def diverted(session: pytest.Session, instead: Mapping[str, Callable[..., object]]) -> Iterator[None]:
    """Have these functions called in place of the hooks of their names, where a test's own hooks are asked for."""
    real = type(session).gethookproxy  # a forked child diverts what its parent has diverted
    vars(session)["gethookproxy"] = lambda path: _Diverted(real(session, path), instead)
    try:
        yield
    finally:
        vars(session).pop("gethookproxy", None)


def real_hooks(item: pytest.Item) -> Any:
    """Return a test's own hooks, whatever is called in their place."""
    return type(item.session).gethookproxy(item.session, item.path)


class _Diverted:
    def __init__(self, real: Any, instead: Mapping[str, Callable[..., object]]) -> None:
        self._real = real
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return self._instead.get(name) or getattr(self._real, name)


def run_phase(item: pytest.Item, phase: str) -> pytest.TestReport:
    """Run a phase of a test with all its hooks, and return its report, of which no plugin is told.

    The tear-down tears down all that is set up. Raises what ends the session.
    """
    values = {"nextitem": None} if phase == "teardown" else {}
    return call_and_report(item, phase, log=False, **values)  # type: ignore[arg-type]


@contextlib.contextmanager
def warnings_caught(item: pytest.Item) -> Generator[None]:
    """Have warnings caught as in a test, and ``pytest_warning_recorded`` called for each one at the end."""
    if not item.config.pluginmanager.hasplugin("warnings"):
        yield
        return
    with catch_warnings_for_item(config=item.config, ihook=item.ihook, when="runtest", item=item):
        yield


@contextlib.contextmanager
def captured_as(phase: str, item: pytest.Item) -> Generator[None]:
    """Have what is written and logged meanwhile shown with a phase of a test, where pytest captures it."""
    manager = item.config.pluginmanager
    capture: Any = manager.getplugin("capturemanager")
    logging: Any = manager.getplugin("logging-plugin")
    with contextlib.ExitStack() as stack:
        if capture is not None:
            stack.enter_context(capture.item_capture(phase, item))
        if logging is not None:
            stack.enter_context(_logs_as(phase, item, logging))
        yield


@contextlib.contextmanager
def _logs_as(phase: str, item: pytest.Item, plugin: Any) -> Generator[None]:
    from _pytest.logging import catching_logs

    with catching_logs(plugin.report_handler, level=plugin.log_level) as handler:
        handler.reset()
        try:
            yield
        finally:
            item.add_report_section(phase, "log", handler.stream.getvalue().strip())


def take_captured(config: pytest.Config) -> dict[str, str]:
    """Return what was captured and nobody has taken, by stream, of a child that has ended meanwhile."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if capture is None or capture._global_capturing is None:
        return {}
    out, err = capture.read_global_capture()
    return {"stdout": str(out), "stderr": str(err)}


def set_up_above(item: pytest.Item) -> None:
    """Set up what a test lies in: session, folders, module and class. Raises what a set-up raises."""
    assert item.parent is not None
    item.session._setupstate.setup(item.parent)  # type: ignore[arg-type]


def tear_down_above(session: pytest.Session, following: Any) -> None:
    """Tear down what is set up and the next test, None where there is none, does not need."""
    tear_down(session, [] if following is None else following.listchain())


def leave_to_parent(session: pytest.Session) -> None:
    """In a forked child: what is set up by now is not torn down here."""
    stack = session._setupstate.stack
    for node, (_, error) in list(stack.items()):
        stack[node] = ([], error)


def wide_fixtures(item: pytest.Item) -> list[tuple[str, frozenset[str], bool]]:
    """Return the fixtures of a test that outlive it, in the order of their set-up.

    Each with all that it requests, at however many removes, and with whether an instance of it is set up.
    """
    info = fixture_info(item)
    if info is None:
        return []
    definitions = definitions_of(info)
    return [
        (name, _requested(name, definitions), definitions[name].cached_result is not None)
        for name in info.names_closure
        if name in definitions and definitions[name].scope != "function"
    ]


def _requested(name: str, definitions: Mapping[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    left: list[str] = [name]
    while left:
        for needed in getattr(definitions.get(left.pop()), "argnames", ()):
            if needed not in found:
                found.add(needed)
                left.append(needed)
    return frozenset(found)


def set_up_fixture(item: pytest.Item, name: str) -> None:
    """Set up a fixture of a test, as its set-up would. Raises what that raises, which pytest keeps for the test."""
    request: Any = getattr(item, "_request", None)
    if not request:
        return
    stack = item.session._setupstate.stack
    stack[item] = ([], None)  # pytest lets nobody ask for a fixture whose node is not set up
    try:
        request._get_active_fixturedef(name)
    finally:
        stack.pop(item, None)


def make_base_of_tmp_path(config: pytest.Config) -> None:
    """Make the folder in which those of ``tmp_path`` lie, so that processes forked from now on share it."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is not None:
        with contextlib.suppress(OSError):  # said where a test asks for it
            factory.getbasetemp()


def plain_attributes(item: pytest.Item) -> dict[str, Any]:
    """Return a test's attributes, pytest's and those that plugins have set, as far as they are plain values: copies."""
    return {name: copy.deepcopy(value) for name, value in vars(item).items() if name not in _OWN and _is_plain(value)}


_OWN = ("user_properties", "funcargs", "_request", "stash", "keywords", "own_markers", "_obj", "_instance")


def _is_plain(value: object, depth: int = 4) -> bool:
    if value is None or type(value) in (bool, int, float, str):
        return True
    if depth and type(value) in (list, tuple):
        return all(_is_plain(one, depth - 1) for one in value)  # type: ignore[attr-defined]
    if depth and type(value) is dict:
        return all(_is_plain(key, 0) and _is_plain(one, depth - 1) for key, one in value.items())
    return False


def note_part(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have pytest know of a failed subtest of a test, which another process has run: the test fails by it."""
    try:
        from _pytest.subtests import SubtestReport, failed_subtests_key
    except ImportError:  # before pytest 9
        return
    if isinstance(report, SubtestReport) and report.failed:
        key = report.id if hasattr(report, "id") else report.nodeid  # before pytest 9.2
        item.config.stash[failed_subtests_key][key] += 1  # type: ignore[index]


def expects_failure(item: pytest.Item) -> str | None:
    """Return why a test is expected to fail in any way, None where it is not."""
    from _pytest.skipping import evaluate_xfail_marks

    if item.config.option.runxfail:
        return None
    expected: Any = evaluate_xfail_marks(item)
    return str(expected.reason) if expected and expected.run and expected.raises is None else None


def have_no_terminal(config: pytest.Config) -> None:
    """Have plugins that ask for pytest's terminal write to stderr, as that is then; without a reporter pytest fails."""
    vars(config)["get_terminal_writer"] = lambda: create_terminal_writer(config, sys.stderr)


def flushed(config: pytest.Config, streams: Sequence[Any]) -> None:
    """Write what these streams, and the terminal's, hold back: a forked child would write it once more."""
    terminal: Any = config.pluginmanager.getplugin("terminalreporter")
    for stream in (*streams, *([] if terminal is None else [TerminalFile(terminal).file])):
        with contextlib.suppress(Exception):  # closed, or a test's own
            stream.flush()
