"""Pytest's private names, and what they are used for. Seen in pytest 8.4.0 to 9.2.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from _pytest.outcomes import Failed as Failed  # what pytest.fail.Exception is, as a class that can have subclasses

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


def has_failed_as_unittest(item: pytest.Item) -> bool:
    """Whether the call of a ``unittest.TestCase`` has failed: pytest keeps that, and raises it later."""
    return bool(getattr(item, "_excinfo", None))


def junit_log(config: pytest.Config) -> LogXML | None:
    """Return the plugin that writes pytest's JUnit file, whose path is its ``logfile``; None where none is written."""
    from _pytest.junitxml import LogXML

    return next((plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, LogXML)), None)


def begun_testcases(log: LogXML) -> dict[str, object]:
    """Return, by the id of the test, the nodes of workers (None without) for which the file has begun a testcase."""
    return {str(nodeid): node for nodeid, node in log.node_reporters}


def parameters_of(item: pytest.Item) -> Mapping[str, object]:
    """Return the values of a parametrized test's parameters by name, none where it has none."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.params


def parameter_numbers_of(item: pytest.Item) -> Mapping[str, int]:
    """Return at which position each value of :func:`parameters_of` stands among those of its parameter."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.indices


class Fixture(NamedTuple):
    """A fixture that a test uses: its name, its scope, and the module of its function."""

    name: str
    scope: str
    module: str


def fixture_info(item: pytest.Item) -> Any | None:
    """Return what pytest knows of a test's fixtures: one object for all tests of a function, or None."""
    return getattr(item, "_fixtureinfo", None)


def fixtures_of(info: Any) -> Iterator[Fixture]:
    """Yield the fixtures in a :func:`fixture_info`, each as it is used: by its last definition.

    A parametrized function's arguments, which are no fixtures, are among them with a function of pytest's own.
    """
    for name, definitions in info.name2fixturedefs.items():
        if definitions:
            yield Fixture(name, definitions[-1].scope, str(getattr(definitions[-1].func, "__module__", "")))


def end_line(config: pytest.Config, reporter: Any) -> None:
    """End the line that stands on the terminal; of xdist's dots ``ensure_newline`` knows nothing."""
    reporter.ensure_newline()
    writer = config.get_terminal_writer()
    if writer.width_of_current_line:
        writer.line()


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
