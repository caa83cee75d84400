"""Trespass hooks: where modules are collected and tests run, who leaves this process's devices is told so by name."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import pytest

from ...values.errors import UsageProblem
from ..recording import verdict_failure
from ..recording.recorder import Recorder
from ..recording.writer import SINGLE_PROCESS
from .loads import LoadWatch, conftest_path
from .own_devices import OwnDevices, words_of

if TYPE_CHECKING:
    from ...devices.vendor import Vendor
    from ...sampling.outside import Outsider

loads_key: pytest.StashKey[LoadWatch] = pytest.StashKey()


def watch(config: pytest.Config, recorder: Recorder, loads: LoadWatch) -> None:
    """Register what looks after modules and tests; ``loads`` is registered already."""
    config.stash[loads_key] = loads
    config.pluginmanager.register(Trespass(recorder, loads), "gpupool-trespass")


def hide_again(config: pytest.Config, hidden: Mapping[str, str], vendor: Vendor) -> None:
    """Have the controller, which runs no test, see no device: what a conftest.py changes is put back."""
    loads = LoadWatch(OwnDevices((), hidden, vendor=vendor, owner="the controller"), changes_pass=True)
    config.stash[loads_key] = loads
    config.pluginmanager.register(loads, "gpupool-loads")


def refuse_loaded(config: pytest.Config) -> None:
    """Say what the plugins and conftest.py files that were loaded so far have done. Raises UsageProblem."""
    loads = config.stash.get(loads_key, None)
    if loads is not None and (problems := loads.take_problems()) is not None:
        raise UsageProblem(problems)


def used_outside(recorder: Recorder, item: pytest.Item, told: set[Outsider | tuple[str, ...]]) -> list[str]:
    """Return what children of this process have used that is not leased, as its sampler has seen them in this attempt.

    What is in ``told`` was said before; it is added there.
    """
    equipment = recorder.equipment
    assert equipment is not None
    seen = equipment.sampler.outsiders()
    if not seen:  # as after nearly all phases
        return []
    new = seen - told
    told |= new
    return [_used(item.nodeid, outsider, equipment.own) for outsider in sorted(new)]


class Trespass:
    """The plugin. It changes reports, so that no mark of a test's own, such as xfail, hides what it says."""

    def __init__(self, recorder: Recorder, loads: LoadWatch) -> None:
        self._recorder = recorder
        self._loads = loads
        self._told: set[Outsider | tuple[str, ...]] = set()  # in the present attempt
        self._found_at_start: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """A hook of this name is where a conftest.py would choose devices, too."""
        if not config.pluginmanager.is_registered(self):
            return  # this process is to run no test, as was found out a moment ago
        named = [plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "pytest_configure")]
        files = filter(None, map(conftest_path, named))
        self._loads.look(f"pytest_configure of {' or '.join(files) or 'a plugin'}")
        try:
            refuse_loaded(config)
        except UsageProblem as problem:
            raise pytest.UsageError(f"gpupool: {problem}") from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """What a module, or a conftest.py of a folder, does as it is loaded fails its collection."""
        self._loads.look("a hook of a plugin or of a conftest.py", thoroughly=False)
        report = yield
        if isinstance(collector, pytest.File):
            self._loads.look(collector.nodeid or str(collector.path))
        if problems := self._loads.take_problems():
            _fail_collection(report, f"gpupool: {problems}")
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """An attempt begins. What is wrong by now was done between tests, by a hook of somebody's."""
        self._told.clear()
        own = self._own
        change = own.take_change()
        self._found_at_start = _changed_before(own, words_of(change)) if change else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A phase has ended: say what it did beyond the lease."""
        report = yield
        if problems := self._problems(item, call.when):
            verdict_failure.fail_phase(report, item, "\n".join(f"gpupool: {problem}" for problem in problems))
        return report

    @property
    def _own(self) -> OwnDevices:
        assert self._recorder.equipment is not None
        return self._recorder.equipment.own

    def _problems(self, item: pytest.Item, phase: str) -> list[str]:
        own, found = self._own, []
        if phase == "setup":
            found = [] if self._found_at_start is None else [self._found_at_start]
            if self._recorder.unfit is None:
                return found  # what a fixture does is seen soon enough
        if phase == "teardown" and (change := own.take_change()):
            found.append(_left_changed(item.nodeid, own, words_of(change)))
        strangers = own.strangers()
        if strangers and strangers not in self._told:
            self._told.add(strangers)
            if not self._recorder.attempts.present.is_isolated:  # else this process runs no other test anyway
                self._goes_on_elsewhere(item, strangers)
            found.append(_sees(item.nodeid, strangers, own))
        return found + used_outside(self._recorder, item, self._told)

    def _goes_on_elsewhere(self, item: pytest.Item, strangers: tuple[str, ...]) -> None:
        """Have no other test run in this process."""
        why = f"its process sees {', '.join(strangers)}, which it has not leased"
        self._recorder.becomes_unfit(why)
        if self._recorder.worker == SINGLE_PROCESS:
            item.session.shouldfail = f"gpupool: no other test can run here after {item.nodeid}: {why}"


def _fail_collection(report: pytest.CollectReport, text: str) -> None:
    if report.failed:
        report.sections.append(("gpupool", text))
        return
    report.outcome, report.longrepr, report.result = "failed", text, []


def _changed_before(own: OwnDevices, words: str) -> str:
    return (
        f"a hook of a plugin or of a conftest.py {words} before this test began, but {own.leased()}: remove that line, "
        "or switch the pool off with -p no:gpupool"
    )


def _left_changed(test: str, own: OwnDevices, words: str) -> str:
    return (
        f"{test} (or a fixture or hook of it) {words} and did not put it back, but {own.leased()}: leave it alone, or "
        "set it for a program that the test starts (env=…)"
    )


def _sees(test: str, strangers: tuple[str, ...], own: OwnDevices) -> str:
    return (
        f"{test} runs where {own.vendor.runtime} was initialised with {', '.join(strangers)}, but {own.leased()}: let "
        f"nothing change {own.vendor.variable} before that; where nothing does, {own.vendor.runtime} counts devices "
        f"otherwise than {own.vendor.tool}: give --gpupool-export=uuid"
    )


def _used(test: str, outsider: Outsider, own: OwnDevices) -> str:
    device = f"{outsider.label} ({outsider.device})"
    who = f"pid {outsider.pid} ({outsider.name})"
    return f"{test} used {device}, which its worker has not leased: {who}; {own.leased()}"
