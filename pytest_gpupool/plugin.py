"""The plugin: pytest's hooks, kept thin. What a process does depends on its role (see ``options.Role``).

Every worker imports this module, so what only the controller needs is imported where it is needed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from . import leases, worker
from .errors import GpupoolError, NoLease, UsageProblem
from .fixtures import gpu, lease_key, record_metric
from .journal import Journal, dump
from .options import Role, add_options, given_in_vain, role_of
from .recorder import Recorder, recorder_key
from .visible import HIDDEN
from .worker import ALONE

if TYPE_CHECKING:
    from .controller import Controller

__all__ = ["gpu", "record_metric"]

_in_vain = pytest.StashKey[list[str]]()

_KEPT: list[leases.Lease] = []  # a lease that nobody refers to would be released


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Before any conftest.py, which may import torch: find the pool, and without workers lease from it.

    A wrapper, because these go before what other plugins do at this moment, and before pytest captures the output.
    """
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
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker: pytest's strict mode refuses unknown ones."""
    config.addinivalue_line(
        "markers",
        "gpupool(gpus=1, priority=0): what the test needs of pytest-gpupool's pool; a higher priority starts earlier.",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say so where options are given that have no effect."""
    given = config.stash.get(_in_vain, [])
    return [f"gpupool: off here (by the ini file, or inside another run), --{name} has no effect" for name in given]


def _take_role(config: pytest.Config) -> None:
    side = _worker_side(config)
    role = role_of(config, is_worker=side is not None)
    if side is not None:
        _record(config, Recorder(worker=side.worker, lease=side.lease, journal=side.journal))
        config.stash[lease_key] = side.lease
        _keep_coverage(config)
    elif role is Role.CONTROLLER:
        _control(config)
    elif role is Role.ALONE:
        _lease_here(config)
    else:
        _record(config, Recorder(worker=ALONE, lease=None, journal=Journal(None)))
        if "PYTEST_XDIST_WORKER" not in os.environ:  # the controller has said it
            config.stash[_in_vain] = given_in_vain(config)


def _keep_coverage(config: pytest.Config) -> None:
    # A worker's command line is the controller's, so pytest-cov begins in it as if it were one and erases earlier data.
    # Under xdist alone no worker has any by then; here one may be done before another begins.
    if hasattr(config.known_args_namespace, "cov_append"):
        config.known_args_namespace.cov_append = True


def _worker_side(config: pytest.Config) -> worker.WorkerSide | None:
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, worker.WorkerSide)), None)


def _record(config: pytest.Config, recorder: Recorder) -> None:
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "gpupool-recorder")
    config.add_cleanup(recorder.journal.close)


def _control(config: pytest.Config) -> None:
    from .controller import Controller
    from .distribution import Distribution

    controller = Controller(config, each=config.known_args_namespace.dist == "each")
    config.pluginmanager.register(controller, "gpupool-controller")
    config.pluginmanager.register(Distribution(controller), "gpupool-distribution")
    # The controller loads conftest.py as well; it must not open a context on anybody's GPU.
    _set_environment(config, {"CUDA_VISIBLE_DEVICES": HIDDEN})


def _lease_here(config: pytest.Config) -> None:
    from .controller import Controller

    controller = Controller(config)
    config.pluginmanager.register(controller, "gpupool-controller")
    orders = controller.orders(0)
    waiting = _Waiting(config, controller)
    held, waited = worker.lease(orders, ALONE, refused=waiting.refused, pause=waiting.pause)
    assert held is not None
    config.add_cleanup(lambda: _let_go(held))
    _set_environment(config, worker.environ(held, orders, os.environ))
    journal = orders.journal(ALONE)
    record = worker.began(held, ALONE, waited)
    journal.append(dump(record))
    controller.results.add(record)
    config.stash[lease_key] = held
    _record(config, Recorder(worker=ALONE, lease=held, journal=journal))


def _let_go(held: leases.Lease) -> None:
    # Where CUDA was used this process has its context, and so the device, until it ends; a program that called
    # pytest.main goes on.
    if held.devices[0].is_gpu:
        from . import cuda

        if cuda.is_initialised():
            _KEPT.append(held)
            return
    held.release()


def _set_environment(config: pytest.Config, values: dict[str, str]) -> None:
    before = {name: os.environ.get(name) for name in values}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(values)
    config.add_cleanup(restore)


class _Waiting:
    """Waiting for a lease without workers: tell the user, give up in time."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config = config
        self._controller = controller
        self._told: set[int | None] | None = None

    def refused(self, blockers: tuple[leases.Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes. Raises NoLease at the end of ``--gpupool-wait``."""
        lines = [str(blocker) for blocker in blockers]
        if waited >= self._controller.options.wait or all(blocker.for_good for blocker in blockers):
            raise NoLease(self._controller.no_lease_text(lines))
        now = {blocker.pid for blocker in blockers}
        if waited >= 1.0 and now != self._told:
            self._told = now
            if self._config.known_args_namespace.verbose >= 0:
                print("\n  ".join(["gpupool: waiting for a device", *lines]), file=sys.stderr, flush=True)

    def pause(self, seconds: float) -> bool:
        """Wait; nobody cancels but Ctrl-C."""
        time.sleep(seconds)
        return True
