"""Pytest's private names, and what they are used for. Seen in pytest 8.4.0 to 9.2.0."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from _pytest.outcomes import Failed as Failed  # what pytest.fail.Exception is, as a class that can have subclasses

REPEAT_STEP = "__pytest_repeat_step_number"
"""The parameter by which pytest-repeat makes several items of a test. Seen in its version 0.9.4."""

UsageError = pytest.UsageError
"""What pytest is ended with for a bad option or file, for a room that may not import pytest as it is loaded."""

if TYPE_CHECKING:
    from _pytest.junitxml import LogXML


def prepare_config(args: list[str], plugins: Sequence[object]) -> pytest.Config:
    """Make a configuration as ``pytest.main`` does, with these plugins before all others."""
    from _pytest.config import _prepareconfig

    return _prepareconfig(args, plugins)


def abandon(config: pytest.Config) -> None:
    """Undo what :func:`prepare_config` began, where no session follows."""
    config._ensure_unconfigure()


def call_program(config: pytest.Config, name: str) -> None:
    """Set what usage errors call the program: in a worker, the name by which the user called pytest."""
    config._parser.prog = name


def declared_options(parser: pytest.Parser) -> Iterator[str]:
    """Yield the names of all options that are declared by now, those of ini values as ``ini:NAME``."""
    groups = [*parser._groups, parser._anonymous]  # which is among them from pytest 9 on
    yield from (option.dest for group in groups for option in group.options)
    yield from (f"ini:{name}" for name in parser._inidict)


def ini_values(config: pytest.Config) -> Mapping[str, Any]:
    """Return what the ini file has, and from pytest 9 on what ``-o`` says, also what nobody has declared."""
    values = getattr(config, "_inicfg", None)
    if values is None:  # before pytest 9.1
        values = config.inicfg
    return {name: getattr(value, "value", value) for name, value in values.items()}


def declared_ini_values(config: pytest.Config) -> list[str]:
    """Return the names of the ini values that are declared by now."""
    return list(config._parser._inidict)


def run_phases(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Set a test up, call it and tear it down, as pytest's own protocol does, and have the reports heard."""
    from _pytest.runner import runtestprotocol

    runtestprotocol(item, nextitem=nextitem)


def leave_out(log: LogXML, report: pytest.TestReport, *, is_last: bool) -> None:
    """Have the file say nothing of the attempt that a report is of, of which it is the last one or not."""
    begun = log.node_reporter(report)
    if begun in log.node_reporters_ordered:
        log.node_reporters_ordered.remove(begun)
    if is_last:  # else the last one ends what was begun
        for key in [key for key, one in log.node_reporters.items() if one is begun]:
            del log.node_reporters[key]


def testcase_of(log: LogXML, report: pytest.TestReport) -> Any:
    """Return what the file has, or begins now, for the test of a report; for :func:`change_testcase`."""
    return log.node_reporter(report)


def change_testcase(
    log: LogXML, testcase: Any, properties: Sequence[tuple[str, str]], result: tuple[str, str, str] | None
) -> None:
    """Add properties to a testcase that is whole by now, and where a ``result`` is given put that in place of its own.

    ``result`` is the tag, ``failure`` or ``skipped``, with its message and text.
    """
    from xml.etree.ElementTree import Element, SubElement

    case = testcase.to_xml()
    own = next((child for child in case if child.tag == "properties"), None)
    if own is None:
        own = Element("properties")
        case.insert(0, own)
    for name, value in properties:
        SubElement(own, "property", name=name, value=value)
    if result is None:
        return
    tag, message, text = result
    old = next((child for child in case if child.tag in ("failure", "skipped")), None)
    log.stats["passed" if old is None else old.tag] -= 1
    log.stats[tag] += 1
    if old is not None:
        case.remove(old)
    new = Element(tag, {"message": message, **({"type": "pytest.xfail"} if tag == "skipped" else {})})
    new.text = text
    case.insert(1, new)


def junit_text(text: str) -> str:
    """Return a text as the file can carry it."""
    from _pytest.junitxml import bin_xml_escape

    return bin_xml_escape(text)


def will_run_first(config: pytest.Config, report: pytest.TestReport) -> None:
    """Have ``--last-failed`` know of a failure that pytest has not heard of."""
    plugin: Any = config.pluginmanager.getplugin("lfplugin")
    if plugin is not None:
        plugin.pytest_runtest_logreport(report)


def has_failed_as_unittest(item: pytest.Item) -> bool:
    """Whether the call of a ``unittest.TestCase`` has failed: pytest keeps that, and raises it later."""
    return bool(getattr(item, "_excinfo", None))


def tear_down(session: pytest.Session, needed: Sequence[Any]) -> None:
    """Tear down what is set up and none of these nodes', from a session on down to a test."""
    session._setupstate.teardown_exact(Needed(needed))  # type: ignore[arg-type]


def is_set_up_beyond(session: pytest.Session, needed: Sequence[Any]) -> bool:
    """Return whether :func:`tear_down` has something to do."""
    stack = list(session._setupstate.stack)
    return stack != list(needed[: len(stack)])


class Needed:
    """Looks to pytest like a next test whose chain of nodes this is."""

    def __init__(self, chain: Sequence[Any]) -> None:
        self._chain = list(chain)

    def listchain(self) -> list[Any]:
        """Return it."""
        return self._chain


def as_fixtures_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return tests as pytest itself orders them, so that wide fixtures with parameters are set up less often."""
    from _pytest.fixtures import reorder_items

    return list(reorder_items(items))


def capture_descriptors(config: pytest.Config) -> dict[str, int]:
    """Return the descriptors of the files into which pytest captures, by stream; none where it captures otherwise."""
    from _pytest.capture import FDCapture

    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = None if manager is None else manager._global_capturing
    streams = {} if capturing is None else {"stdout": capturing.out, "stderr": capturing.err}
    return {name: stream.tmpfile.fileno() for name, stream in streams.items() if isinstance(stream, FDCapture)}


def junit_log(config: pytest.Config) -> LogXML | None:
    """Return the plugin that writes pytest's JUnit file, whose path is its ``logfile``; None where none is written."""
    from _pytest.junitxml import LogXML

    return next((plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, LogXML)), None)


def begun_testcases(log: LogXML) -> dict[str, object]:
    """Return, by the id of the test, the nodes of workers (None without) for which the file has begun a testcase."""
    return {str(nodeid): node for nodeid, node in log.node_reporters}


def failure_text(report: pytest.TestReport) -> str:
    """Return what a report says of a failure, in short where pytest, which asks ``os.environ``, cannot write it."""
    try:
        return report.longreprtext
    except Exception as error:  # a test may have put anything in the place of what is needed for it
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is None:
            return f"(pytest cannot say what failed: {error!r})"
        return f"{crash.path}:{crash.lineno}: {crash.message}"


def error_text(excrepr: object, error: BaseException) -> str:
    """Return what pytest says of an error that is no test's; see :func:`failure_text`."""
    try:
        return str(excrepr)
    except Exception:
        return "".join(traceback.format_exception(error))


def rename(item: pytest.Item, nodeid: str) -> None:
    """Give a test another id."""
    if hasattr(item, "_id"):  # from pytest 9.2 on
        from _pytest.nodeid import NodeId

        item._id = NodeId.parse(nodeid)
    else:
        item._nodeid = nodeid  # type: ignore[attr-defined]


def copied(item: pytest.Item) -> pytest.Item:
    """Return another item that runs the same test, with fixtures, stash and properties of its own."""
    made = copy.copy(item)
    made.stash = pytest.Stash()
    made._store = made.stash  # its name of before, which plugins read
    made.user_properties = list(item.user_properties)
    made.own_markers = list(item.own_markers)
    made.keywords = copy.copy(item.keywords)
    made.keywords._markers = dict(item.keywords._markers)  # type: ignore[attr-defined]
    made._report_sections = list(item._report_sections)
    for name in ("_instance", "_obj") if isinstance(item.parent, pytest.Class) else ():
        vars(made).pop(name, None)  # each test of a class has an instance of its own
    if isinstance(made, pytest.Function):
        made._initrequest()
    return made


def parameters_of(item: pytest.Item) -> Mapping[str, object]:
    """Return the values of a parametrized test's parameters by name, none where it has none.

    An item of ours that is no function has them by itself: pytest takes one with a callspec for a function.
    """
    callspec = getattr(item, "callspec", None)
    return getattr(item, "gpupool_params", {}) if callspec is None else callspec.params


def parameter_numbers_of(item: pytest.Item) -> Mapping[str, int]:
    """Return at which position each value of :func:`parameters_of` stands among those of its parameter."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.indices


class Fixture(NamedTuple):
    """A fixture that a test uses: its name, its scope, the module of its function, and the names that it requests.

    ``place`` is the id of what defines it, empty for the rootdir and for plugins.
    """

    name: str
    scope: str
    module: str
    place: str
    requests: Sequence[str]


def fixture_info(item: pytest.Item) -> Any | None:
    """Return what pytest knows of a test's fixtures: one object for all tests of a function, or None."""
    return getattr(item, "_fixtureinfo", None)


def fixtures_of(info: Any) -> Iterator[Fixture]:
    """Yield the fixtures in a :func:`fixture_info`, each as it is used: by its last definition.

    A parametrized function's arguments, which are no fixtures, are among them with a function of pytest's own. They
    come in pytest's order, those of the widest scope first.
    """
    definitions = definitions_of(info)
    yield from (fixture_of(definitions[name]) for name in info.names_closure if name in definitions)


def definitions_of(info: Any) -> dict[str, Any]:
    """Return pytest's last definitions of the fixtures in a :func:`fixture_info`, by name, in no order."""
    return {name: found[-1] for name, found in info.name2fixturedefs.items() if found}


def fixture_of(definition: Any) -> Fixture:
    """Return what is known of one of pytest's definitions of a fixture."""
    module = str(getattr(definition.func, "__module__", ""))
    return Fixture(definition.argname, definition.scope, module, definition.baseid, definition.argnames)


def end_line(config: pytest.Config, reporter: Any) -> None:
    """End the line that stands on the terminal; of xdist's dots ``ensure_newline`` knows nothing."""
    reporter.ensure_newline()
    writer = config.get_terminal_writer()
    if writer.width_of_current_line:
        writer.line()


def add_to_summary(reporter: Any, kind: str, reports: Sequence[object]) -> None:
    """Have pytest's last line count these; it takes its colour from the kinds that there are."""
    reporter._add_stats(kind, reports)


class TerminalFile:
    """The file that pytest's terminal reporter writes to, in whose place another can be put."""

    def __init__(self, reporter: Any) -> None:
        self._writer = reporter._tw

    @property
    def file(self) -> Any:
        """The file as it is."""
        return self._writer._file

    @file.setter
    def file(self, file: Any) -> None:
        self._writer._file = file

    def is_on_a_new_line(self) -> None:
        """Somebody else has ended the line that the reporter was on: it knows by its text how far that goes."""
        self._writer._current_line = ""
