"""Plugins: what a process that runs tests registers with pytest, a worker or the single process."""

from __future__ import annotations

import pytest

from ..options import companions
from ..values.orders import Orders
from ..verdicts.judge import Judge
from . import program
from .fixtures import lease_key
from .recording.recorder import Recorder, recorder_key


def worker_side(config: pytest.Config) -> program.WorkerSide | None:
    """Return what our worker program left for the plugin, None in a process that it has not started."""
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, program.WorkerSide)), None)


def be_worker(config: pytest.Config, side: program.WorkerSide) -> None:
    """Register what a worker of xdist has, which came with its lease."""
    record(config, Recorder.of(side.worker, side.lease, side.orders))
    resume(config, side.orders)
    config.stash[lease_key] = side.lease
    # A worker's command line is the controller's, so pytest-cov begins in it as if it were one and erases earlier data.
    # Under xdist alone no worker has any by then; here one may be done before another begins.
    companions.keep_coverage(config)


def be_off(config: pytest.Config, judge: Judge) -> None:
    """Register what stays where the pool is off: metrics are judged, and go to JUnit."""
    record(config, Recorder(judge=judge))


def record(config: pytest.Config, recorder: Recorder) -> None:
    """Register the recorder, for the fixtures too, until pytest ends."""
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "gpupool-recorder")
    config.add_cleanup(recorder.close)


def resume(config: pytest.Config, orders: Orders) -> None:
    """Register what deselects the tests that an earlier run finished, where this one resumes it."""
    if orders.earlier is not None:
        from .resume import Deselector

        config.pluginmanager.register(Deselector(orders.earlier), "gpupool-resume")
