"""Start: a run begins. Its options are read, its pool is found, its directory and its parts are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..devices import pool
from ..leases.lock_directory import lock_directory
from ..leases.occupancy import locked_devices
from ..options import companions
from ..options.options import Options
from ..records import archive, store
from ..values.errors import UsageProblem
from .baseline import RunBaseline
from .console import Console
from .controller import Controller
from .devices import RunDevices
from .ending.facts import Facts
from .ending.hooks import Ending
from .ending.interrupts import Interrupts
from .history import History
from .orders import WorkerOrders
from .records import RunRecords
from .resume import EarlierRun


def start(config: pytest.Config, *, distributed: bool) -> Controller:
    """Begin a run in this process, and register what every run has. ``distributed``: others collect and run the tests.

    Raises:
        UsageProblem, RequirementNotMet: see :class:`Options`, :func:`pool.discover`, :mod:`leases`,
            :class:`EarlierRun`, :class:`RunBaseline`.
    """
    each = distributed and companions.runs_each(config)
    controller = _make(config, each=each)
    if distributed:
        controller.facts.keep(controller.records.directory, each=each, aside=True)
    config.pluginmanager.register(controller, "gpupool-controller")
    config.pluginmanager.register(Ending(controller), "gpupool-ending")
    config.pluginmanager.register(Interrupts(), "gpupool-interrupts")
    return controller


def _make(config: pytest.Config, *, each: bool) -> Controller:
    options = Options.read(config)
    if each and options.resume is not None:
        raise UsageProblem("--gpupool-resume and --dist each do not go together: resume without --dist each")
    found = pool.discover(options.devices, require=options.require)
    lock_dir = None if found.is_cpu else lock_directory(options.lock_dir)
    console, run_id = Console(config), store.new_run_id()
    earlier = _earlier_run(config, options, console)
    resumed_from = None if earlier is None else earlier.run
    facts = Facts(config, run_id, found, resumed_from=resumed_from, baseline=options.baseline)
    directory, header = _run_directory(options.directory, run_id)
    if lock_dir is not None:
        locked_devices(found.devices, lock_dir)  # a bad lock file is said now
    records = RunRecords(run_id, directory, console, each=each)
    records.open()
    baseline = RunBaseline(options, directory)
    finished = None if earlier is None else earlier.tell_workers(directory)
    if directory is not None:
        archive.prune(options.directory, options.keep_runs)
    devices = RunDevices(found, lock_dir, options, records, console)
    return Controller(
        config=config,
        options=options,
        console=console,
        records=records,
        devices=devices,
        history=History(options.directory, devices, records, console),
        baseline=baseline,
        orders=WorkerOrders(options, devices, records, baseline, finished=finished),
        facts=facts,
        earlier=earlier,
        header=header,
    )


def _earlier_run(config: pytest.Config, options: Options, console: Console) -> EarlierRun | None:
    if options.resume is None:
        return None
    earlier = EarlierRun(options.directory, options.resume)
    config.add_cleanup(earlier.close)
    for problem in earlier.problems:
        console.warn(f"run {earlier.run}: {problem}")
    return earlier


def _run_directory(base: Path, run_id: str) -> tuple[Path | None, list[str]]:
    """Make the run's directory; return it, None where it cannot be made, and what the header says then."""
    try:
        return store.create_run(base, run_id), []
    except UsageProblem as problem:
        # A read-only checkout is no reason not to run: reports do not need the directory.
        return None, [f"gpupool: {problem}; this run keeps no records"]
