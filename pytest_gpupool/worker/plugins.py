"""Plugins: what a process that runs tests registers with pytest, a worker or the single process."""

from __future__ import annotations

import pytest

from ..options import companions
from ..values.orders import Orders
from . import program
from .fixtures import lease_key, record
from .items.aggregates import Aggregates
from .recording.recorder import Recorder
from .recording.started_processes import StartedProcesses
from .trespass import hooks as trespass


def worker_side(config: pytest.Config) -> program.WorkerSide | None:
    """Return what our worker program left for the plugin, None in a process that it has not started."""
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, program.WorkerSide)), None)


_WORKERS: list[program.WorkerSide] = []  # what this process is, whatever else calls pytest in it


def is_within_worker() -> bool:
    """Return whether this process has been a worker of ours before: a test in it calls pytest."""
    return bool(_WORKERS)


def be_worker(config: pytest.Config, side: program.WorkerSide) -> None:
    """Register what a worker of xdist has, which came with its lease."""
    _WORKERS.append(side)
    recorder = Recorder.of(side.worker, side.lease, side.orders, side.loads.own)
    record(config, recorder)
    see_processes(config, recorder)
    aggregates(config, recorder)
    trespass.watch(config, recorder, side.loads)
    choose(config, side.orders)
    seed(config, side.orders)
    config.stash[lease_key] = side.lease
    # A worker's command line is the controller's, so pytest-cov begins in it as if it were one and erases earlier data.
    # Under xdist alone no worker has any by then; here one may be done before another begins.
    companions.keep_coverage(config)


def see_processes(config: pytest.Config, recorder: Recorder) -> None:
    """Register what sees which processes the tests leave running."""
    config.pluginmanager.register(StartedProcesses(recorder), "gpupool-started-processes")


def aggregates(config: pytest.Config, recorder: Recorder) -> None:
    """Register what tells of metrics that are judged over many tests."""
    if recorder.writer is not None:
        config.pluginmanager.register(Aggregates(recorder.writer), "gpupool-aggregates")


def seed(config: pytest.Config, orders: Orders) -> None:
    """Register what seeds the tests, where they are to be."""
    if orders.seed is not None:
        from .items.seeds import Seeds

        config.pluginmanager.register(Seeds(config, orders.seed), "gpupool-seeds")


def choose(config: pytest.Config, orders: Orders) -> None:
    """Register what deselects the tests of other shards, then those that an earlier run finished."""
    if orders.shard is not None:
        from .choosing.shard import ShardSelector

        config.pluginmanager.register(ShardSelector.of_file(orders.shard, orders.repeats), "gpupool-shard")
    if orders.earlier is not None:
        from .choosing.resume import Deselector

        config.pluginmanager.register(Deselector.of_file(orders.earlier, orders.repeats), "gpupool-resume")
