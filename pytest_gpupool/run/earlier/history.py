"""History: what earlier runs measured of tests, for the plan of this run, and what this one adds for later ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ...options.options import Options
from ...records import durations
from ...records.durations import Observed
from ...records.estimates import Known, Learned
from ..console import Console
from ..devices.run_devices import RunDevices
from ..records import RunRecords


class History:
    """Durations and memory of tests, as ``--gpupool-durations`` keeps them over runs. A sharded run changes nothing."""

    def __init__(self, options: Options, devices: RunDevices, records: RunRecords, console: Console) -> None:
        self._options = options
        self._devices = devices
        self._records = records
        self._console = console
        self._learned: Learned | None = None
        self._reading = threading.Lock()

    def known(self) -> Mapping[str, Known]:
        """Return what earlier runs say of tests, by nodeid."""
        return self.learned().tests

    def learned(self) -> Learned:
        """Return what earlier runs say; they are read once."""
        with self._reading:  # the live table asks from a thread of its own
            if self._learned is None:
                self._learned = self._read()
            return self._learned

    def add_this_run(self) -> None:
        """Keep what this run has measured, at its end, where it is on record at all."""
        if not self._records.are_kept or self._options.shard is not None:
            return
        names = {device.id: device.name for device in self._devices.seen()}
        observed = durations.from_results(self._records.results, names)
        if observed and (problem := durations.save(self._options.durations, observed)):
            self._console.warn(problem)

    def _read(self) -> Learned:
        names = {device.id: device.name for device in self._devices.pool.devices}
        killed: list[Observed] = []
        if self._options.shard is None:  # else other machines do not have them
            killed, unreadable = durations.of_killed_runs(self._options.directory, names, skip=self._records.run_id)
            for text in unreadable:
                self._console.warn(f"{text}; its durations are not used")
        learned, problem = durations.load(self._options.durations, self._devices.kinds(), killed)
        if problem:
            self._console.warn(problem)
        return learned
