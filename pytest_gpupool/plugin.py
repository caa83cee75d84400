"""The plugin: pytest's hooks, kept thin. What a process does depends on its role (see ``role.Role``).

Every worker imports this module, so what only the controller needs is imported where it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from .options.options import add_options, fail_on, given_in_vain, mend_resume
from .options.role import Role, role_of
from .values.errors import GpupoolError, UsageProblem
from .values.requirement import Requirement
from .verdicts.judge import Judge
from .worker import plugins
from .worker.fixtures import gpu, record_metric
from .worker.recording.recipes import declared, declared_key

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
        f"{Requirement.signature()}: what the test needs of pytest-gpupool's pool, and when it may run.",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say so where options are given that have no effect."""
    given = config.stash.get(_in_vain, [])
    return [f"gpupool: off here (by the ini file, or inside another run), --{name} has no effect" for name in given]


def _take_role(config: pytest.Config) -> None:
    side = plugins.worker_side(config)
    role = role_of(config, is_worker=side is not None)
    if side is not None:
        plugins.be_worker(config, side)
    elif role is Role.CONTROLLER:
        _be_controller(config)
    elif role is Role.SINGLE_PROCESS:
        _be_single_process(config)
    else:
        plugins.be_off(config, Judge(fail_on=fail_on(config)))
        if "PYTEST_XDIST_WORKER" not in os.environ:  # the controller has said it
            config.stash[_in_vain] = given_in_vain(config)


def _be_controller(config: pytest.Config) -> None:
    from .devices import visible
    from .distribution.hooks import Distribution
    from .run import environment
    from .run.start import start

    controller = start(config, distributed=True)
    config.pluginmanager.register(Distribution(controller), "gpupool-distribution")
    _show(config, controller, workers=True)
    # The controller loads conftest.py as well; it must not open a context on anybody's GPU.
    environment.set_until_end(config, {"CUDA_VISIBLE_DEVICES": visible.HIDDEN})


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
