"""The plugin: pytest's hooks, kept thin. What a process does depends on its role (see ``role.Role``).

Every worker imports this module, so what only the controller needs is imported where it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import pytest

from .devices import visible
from .options.options import add_options, fail_on, given_in_vain, mend_resume
from .options.role import Role, role_of
from .records.journal import Journal
from .run.interrupts import Interrupts
from .values.errors import GpupoolError, UsageProblem
from .values.orders import Orders
from .verdicts.judge import Judge
from .worker import program
from .worker.fixtures import gpu, lease_key, record_metric
from .worker.recipes import declared, declared_key
from .worker.recorder import ALONE, Recorder, recorder_key

if TYPE_CHECKING:
    from .run.controller import Controller

__all__ = ["gpu", "record_metric"]

_in_vain = pytest.StashKey[list[str]]()


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
    mend_resume(early_config, parser, args)
    before = declared(parser)
    try:
        _take_role(early_config)
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None
    except GpupoolError as error:
        # Too early for pytest.exit: pytest has no session yet that would catch it.
        print(f"gpupool: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        print("gpupool: interrupted before there was a lease", file=sys.stderr)
        raise SystemExit(pytest.ExitCode.INTERRUPTED) from None
    result = yield
    early_config.stash[declared_key] = declared(parser) - before
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker: pytest's strict mode refuses unknown ones."""
    config.addinivalue_line(
        "markers",
        "gpupool(gpus=1, memory=None, timeout=None, priority=0, serial=False, lock=(), stage=0): what the test needs "
        "of pytest-gpupool's pool, and when it may run.",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say so where options are given that have no effect."""
    given = config.stash.get(_in_vain, [])
    return [f"gpupool: off here (by the ini file, or inside another run), --{name} has no effect" for name in given]


def _take_role(config: pytest.Config) -> None:
    side = _worker_side(config)
    role = role_of(config, is_worker=side is not None)
    if side is not None:
        _record(config, Recorder.of(side.worker, side.lease, side.orders))
        _resume(config, side.orders)
        config.stash[lease_key] = side.lease
        _keep_coverage(config)
    elif role is Role.CONTROLLER:
        _control(config)
    elif role is Role.ALONE:
        _lease_here(config)
    else:
        judge = Judge(fail_on=fail_on(config))
        _record(config, Recorder(worker=ALONE, lease=None, journal=Journal(None), judge=judge))
        if "PYTEST_XDIST_WORKER" not in os.environ:  # the controller has said it
            config.stash[_in_vain] = given_in_vain(config)


def _keep_coverage(config: pytest.Config) -> None:
    # A worker's command line is the controller's, so pytest-cov begins in it as if it were one and erases earlier data.
    # Under xdist alone no worker has any by then; here one may be done before another begins.
    if hasattr(config.known_args_namespace, "cov_append"):
        config.known_args_namespace.cov_append = True


def _worker_side(config: pytest.Config) -> program.WorkerSide | None:
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, program.WorkerSide)), None)


def _record(config: pytest.Config, recorder: Recorder) -> None:
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "gpupool-recorder")
    config.add_cleanup(recorder.close)


def _resume(config: pytest.Config, orders: Orders) -> None:
    if orders.earlier is not None:
        from .worker.earlier import Leaver

        config.pluginmanager.register(Leaver(orders.earlier), "gpupool-resume")


def _control(config: pytest.Config) -> None:
    from .distribution.hooks import Distribution
    from .run.closing import Closing
    from .run.controller import Controller

    controller = Controller(config, distributed=True, each=config.known_args_namespace.dist == "each")
    config.pluginmanager.register(controller, "gpupool-controller")
    config.pluginmanager.register(Closing(controller), "gpupool-closing")
    config.pluginmanager.register(Distribution(controller), "gpupool-distribution")
    config.pluginmanager.register(Interrupts(), "gpupool-interrupts")
    _show(config, controller, workers=True)
    # The controller loads conftest.py as well; it must not open a context on anybody's GPU.
    _set_environment(config, {"CUDA_VISIBLE_DEVICES": visible.HIDDEN})


def _lease_here(config: pytest.Config) -> None:
    from .run.alone import Alone
    from .run.closing import Closing
    from .run.controller import Controller

    controller = Controller(config, distributed=False)
    config.pluginmanager.register(controller, "gpupool-controller")
    config.pluginmanager.register(Closing(controller), "gpupool-closing")
    config.pluginmanager.register(Interrupts(), "gpupool-interrupts")
    _show(config, controller, workers=False)
    alone = Alone(config, controller)
    _set_environment(config, alone.environ)
    _record(config, alone.recorder)
    _resume(config, alone.orders)
    config.pluginmanager.register(alone, "gpupool-alone")


def _show(config: pytest.Config, controller: Controller, *, workers: bool) -> None:
    if controller.options.live:
        from .live.plugin import Live

        config.pluginmanager.register(Live(controller, workers=workers), "gpupool-live")


def _set_environment(config: pytest.Config, values: Mapping[str, str]) -> None:
    """Set variables until the end of the run."""
    before = {name: os.environ.get(name) for name in values}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(values)
    config.add_cleanup(restore)
