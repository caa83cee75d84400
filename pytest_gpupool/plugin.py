"""The plugin: pytest's hooks, kept thin. What a process does depends on its role (see ``role.Role``).

Everybody who has the package installed imports this module with every pytest: what a role needs is imported by that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from .foreign import as_written  # before all others
from .options import companions, role_end
from .options.declarations import add_options
from .options.options import fail_on, given_in_vain, mend_resume, off_lines, refuse_unknown
from .options.role import Known, Role, changed_too_late, role_of
from .processes.own import garbage, modules
from .values.errors import GpupoolError, UsageProblem
from .worker.fixtures import be_off
from .worker.recording.recipes import declared, declared_key

if TYPE_CHECKING:
    from .run.controller import Controller
    from .values.orders import Orders
    from .worker.program import WorkerSide

as_written.spare_package()  # once more, since workers have imported it before pytest was there

pytest_plugins = ["pytest_gpupool.worker.fixtures"]

_why_off: pytest.StashKey[list[str]] = pytest.StashKey()
_role_key: pytest.StashKey[Role] = pytest.StashKey()
_is_settled_key: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that other plugins may implement."""
    from .exports import hookspecs  # not before pytest has been told to leave our modules as they are

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Before any conftest.py, which may import torch: find the pool, and without workers lease from it.

    A wrapper, because these go before what other plugins do at this moment, and before pytest captures the output.
    """
    modules.forget_unloaded()
    mend_resume(early_config, parser, args)
    before = declared(parser)
    _take_role(early_config, Known.EARLY)
    if not _is_off(early_config):
        garbage.spare_what_is_there(early_config.add_cleanup)
    result = yield
    _refuse_loaded(early_config)
    early_config.stash[declared_key] = declared(parser) - before
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """All options are known now, those of conftest.py files too: see whether the role is still the right one."""
    if _role_key in config.stash:
        _take_role(config, Known.PARSED)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """See what xdist has made of its options: no workers of -n where nobody has called its pytest_cmdline_main."""
    if _role_key in config.stash:
        _take_role(config, Known.SETTLED)
        config.stash[_is_settled_key] = True
    if used := companions.other_reporters(config):
        from .exports import other_reporters

        other_reporters.join(config.pluginmanager, used)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the first worker starts: no run has workers without the pool, or a pool without workers."""
    config = session.config
    if config.stash.get(_is_settled_key, False) and (told := changed_too_late(config, config.stash[_role_key])):
        raise pytest.UsageError(f"gpupool: {told}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say where the pool is off, and where options are given that have no effect."""
    return config.stash.get(_why_off, [])


def _take_role(config: pytest.Config, known: Known) -> None:
    """Be what the options say by now, and end what this process was until then, where that is something else."""
    try:
        side, is_within = _as_worker(config)
        if side is None and known is Known.EARLY:
            refuse_unknown(config)
        role, why_off = role_of(config, is_worker=side is not None, within_worker=is_within, known=known)
        before = config.stash.get(_role_key, None)
        if role is before:
            return
        if before is not None:
            _leave(config, before)
        config.stash[_role_key] = role
        _be(config, role, side, why_off)
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None
    except GpupoolError as error:
        # Too early for pytest.exit: pytest has no session yet that would catch it.
        print(f"gpupool: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        print("gpupool: interrupted before there was a lease", file=sys.stderr)
        raise SystemExit(pytest.ExitCode.INTERRUPTED) from None


def _is_off(config: pytest.Config) -> bool:
    return config.stash[_role_key] in (Role.OFF, Role.ELSEWHERE)


def _as_worker(config: pytest.Config) -> tuple[WorkerSide | None, bool]:
    """Return what our worker program has left for this session, and whether it has started this process at all."""
    if f"{__package__}.worker.program" not in sys.modules:
        return None, False
    from .worker import plugins

    return plugins.worker_side(config), plugins.is_within_worker()


def _refuse_loaded(config: pytest.Config) -> None:
    """Say what plugins and conftest.py files have done to the devices as they were loaded, where that is watched."""
    if _is_off(config):
        return
    from .worker.trespass import hooks as trespass

    try:
        trespass.refuse_loaded(config)
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None


def _leave(config: pytest.Config, role: Role) -> None:
    if role is Role.SINGLE_PROCESS:
        from .run.single_process import hooks

        hooks.refuse_to_change(config)
    role_end.end(config)
    config.stash[_why_off] = []


def _be(config: pytest.Config, role: Role, side: WorkerSide | None, why_off: str | None) -> None:
    if side is not None:
        from .worker import plugins

        plugins.be_worker(config, side)
        _isolate(config, side.orders)
    elif role is Role.CONTROLLER:
        _be_controller(config)
    elif role is Role.SINGLE_PROCESS:
        _be_single_process(config)
    elif role is Role.PLANNED:
        from .run.planned import hooks

        hooks.begin(config)
    else:
        be_off(config, fail_on(config))
        if "PYTEST_XDIST_WORKER" not in os.environ:  # the controller has said it
            given = given_in_vain(config)
            is_elsewhere = role is Role.ELSEWHERE
            config.stash[_why_off] = _elsewhere_lines(given) if is_elsewhere else off_lines(given, why_off)


def _isolate(config: pytest.Config, orders: Orders) -> None:
    from .isolation import hooks as isolation

    isolation.register(config, orders)


def _elsewhere_lines(given: list[str]) -> list[str]:
    first = f"gpupool: off, because devices are leased on Linux only and this is {sys.platform}; its fixtures work"
    return [first, *(f"gpupool: off here (not on Linux), --{name} has no effect" for name in given)]


def _be_controller(config: pytest.Config) -> None:
    from .devices import vendors
    from .distribution.hooks import Distribution
    from .foreign import xdist_session
    from .run import environment
    from .run.start import start
    from .worker.trespass import hooks as trespass

    controller = start(config, distributed=True)
    config.pluginmanager.register(Distribution(controller), xdist_session.OURS)
    _show(config, controller, workers=True)
    # The controller loads conftest.py as well; it must not open a context on anybody's GPU.
    vendor = vendors.of(controller.devices.pool.devices)
    hidden = vendor.export((), "index")
    environment.set_until_end(config, hidden)
    trespass.hide_again(config, hidden, vendor)


def _be_single_process(config: pytest.Config) -> None:
    from .run.single_process import hooks
    from .run.start import start

    controller = start(config, distributed=False)
    _show(config, controller, workers=False)
    hooks.begin(config, controller)


def _show(config: pytest.Config, controller: Controller, *, workers: bool) -> None:
    if controller.options.live:
        from .live.plugin import Live

        config.pluginmanager.register(Live(controller, workers=workers), "gpupool-live")
