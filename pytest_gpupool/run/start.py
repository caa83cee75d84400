"""Start: a run begins. Its options are read, its pool is found, its directory and its parts are made."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..devices.pool import cpu_count
from ..leases.locking.lock_directory import LockDirectory
from ..leases.occupancy import bad_files
from ..options import companions, role_end
from ..options.options import Options
from ..processes.own import clock
from ..records import store
from ..shards.frozen import Frozen
from ..values.device import Device
from ..values.errors import UsageProblem
from .baseline import RunBaseline
from .console import Console
from .controller import Controller
from .devices import find
from .earlier import resume
from .earlier.history import History
from .earlier.resume import EarlierRun
from .ending.confirmation import Confirmation
from .ending.facts import Facts
from .ending.hooks import Ending
from .ending.interrupts import Interrupts
from .ending.repeats import Repeats
from .ending.verdicts import Verdicts
from .orders import WorkerOrders
from .records import RunRecords


def start(config: pytest.Config, *, distributed: bool) -> Controller:
    """Begin a run in this process, and register what every run has. ``distributed``: others collect and run the tests.

    Raises:
        UsageProblem, RequirementNotMet: see :class:`Options`, :func:`pool.discover`, :mod:`leases`,
            :class:`EarlierRun`, :class:`RunBaseline`.
    """
    each = distributed and companions.runs_each(config)
    controller = _make(config, each=each, distributed=distributed)
    if distributed:
        controller.facts.keep(controller.records.directory, each=each, aside=True)
    config.pluginmanager.register(controller, "gpupool-controller")
    repeats, verdicts, confirmation = Repeats(controller), Verdicts(controller), Confirmation(controller)
    confirmation.register()
    config.pluginmanager.register(repeats, "gpupool-repeats")
    config.pluginmanager.register(verdicts, "gpupool-verdicts")
    config.pluginmanager.register(Ending(controller, verdicts, repeats, confirmation), "gpupool-ending")
    config.pluginmanager.register(Interrupts(), "gpupool-interrupts")
    return controller


def _make(config: pytest.Config, *, each: bool, distributed: bool) -> Controller:
    options = Options.read(config)
    if each and options.resume is not None:
        raise UsageProblem("--gpupool-resume and --dist each do not go together: resume without --dist each")
    if each and options.budget is not None:
        raise UsageProblem("--gpupool-budget and --dist each do not go together: every worker runs every test there")
    if each and options.shard is not None:
        raise UsageProblem("--gpupool-shard and --dist each do not go together: every worker runs every test there")
    deadline = None if options.budget is None else clock.monotonic() + options.budget
    there = find.find(options, distributed=distributed)
    if there.placed is not None:
        role_end.at_end(config, there.placed[0].close)
    console, run_id = Console(config), store.new_run_id()
    directory, header = _run_directory(options.directory, run_id)
    records = RunRecords(run_id, directory, console, each=each, of_all=there.placed is not None)
    records.open()
    records.write("setting", name="cores", value=cpu_count())
    if options.timeout is not None and math.isfinite(options.timeout):
        records.write("setting", name="timeout", value=options.timeout)
    role_end.at_end(config, records.leave_no_trace)
    earlier, finished, why_new = resume.begin(config, options, directory)
    header += _about_resume(earlier, why_new, console)
    header += find.outer_lines(there.outer, console)
    if there.lock_dir is not None:
        header += _about_locks(there.pool.devices, there.lock_dir)
    resumed_from = None if earlier is None else earlier.run
    facts = Facts(
        config,
        run_id,
        there.pool,
        resumed_from=resumed_from,
        engine=options.engine,
        seed=options.seed,
        baseline=options.baseline,
        source_url=options.source_url,
    )
    baseline = RunBaseline(options, records)
    devices = there.of_run(options, records, console)
    history = History(options, devices, records, console)
    shard = None
    if options.shard is not None:
        shard = Frozen(options.shard, history.learned()).write(directory)
        header.append(f"gpupool: shard {options.shard}, by {os.path.relpath(options.durations)}")
    return Controller(
        config=config,
        options=options,
        console=console,
        records=records,
        devices=devices,
        history=history,
        baseline=baseline,
        orders=WorkerOrders(options, devices, records, finished=finished, shard=shard),
        facts=facts,
        earlier=earlier,
        deadline=deadline,
        header=header,
    )


def _about_locks(devices: Sequence[Device], lock_dir: LockDirectory) -> list[str]:
    """Return what the header says of the locks: where they are, and which devices cannot be locked."""
    bad = bad_files(devices, lock_dir)
    lines = [f"{device.label} cannot be leased: {bad[device.id]}" for device in devices if device.id in bad]
    if len(lines) == len(devices):
        raise UsageProblem("\n  ".join(["no device can be leased:", *lines]))
    return [f"gpupool: {line}" for line in (*lock_dir.notes(), *lines)]


def _about_resume(earlier: EarlierRun | None, why_new: str | None, console: Console) -> list[str]:
    """Return what the header says of a run that was to be gone on with; warn of what could not be read of it."""
    if earlier is not None:
        for problem in earlier.problems:
            console.warn(f"run {earlier.run}: {problem}")
    if why_new is None:
        return []
    line = f"a new run, --gpupool-resume goes on with none: {why_new}"
    if console.is_quiet:  # which hides pytest's header
        console.warn(line)
    return [f"gpupool: {line}"]


def _run_directory(base: Path, run_id: str) -> tuple[Path | None, list[str]]:
    """Make the run's directory; return it, None where it cannot be made, and what the header says then."""
    try:
        return store.create_run(base, run_id), []
    except UsageProblem as problem:
        # A read-only checkout is no reason not to run: reports do not need the directory.
        return None, [f"gpupool: {problem}; this run keeps no records"]
