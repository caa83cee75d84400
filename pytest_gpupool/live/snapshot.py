"""Snapshots: what is to be seen of a run at a moment, from its journals, its devices and earlier runs."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..devices import vendors
from ..processes.own.clock import monotonic, now
from ..records.estimates import durations
from ..run.controller import Controller
from ..values.texts import duration_text
from .run_state import Counts, Row, RunState, records_of
from .tail import Tail

if TYPE_CHECKING:
    import psutil

_FAR_SECONDS = 20 * 3600.0  # a time of day alone would be taken for today's


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a worker's devices have in use: bytes, all together, and percent, their mean. None: it is not known."""

    memory: int | None = None
    utilization: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is to be seen of a run at one moment. ``labels`` and ``readings`` are by worker.

    ``remaining`` is how many seconds the run will take, ``end`` when that will be, None where nothing tells.
    """

    rows: Sequence[Row]
    counts: Counts
    labels: Mapping[str, str]
    readings: Mapping[str, Reading]
    remaining: float | None
    end: str | None
    failure: tuple[str, str] | None
    suspects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Metrics that seem to be worse, and are measured again, by test."""


class Observer:
    """Takes snapshots of a run. It belongs to the thread that opens it."""

    def __init__(self, controller: Controller, *, clock: Callable[[], float] = now) -> None:
        self._controller = controller
        self._clock = clock
        self._tail = None if controller.records.directory is None else Tail(controller.records.directory)
        self._state = RunState(each=controller.records.results.each)
        self._expected: Mapping[str, float | None] = {}
        # Those of other hosts nobody here can read.
        devices = controller.devices.pool.devices if controller.devices.engine is None else ()
        self._meter = vendors.of(devices).meter(devices, clock=monotonic)
        self._labels = {device.id: device.label for device in controller.devices.pool.devices}
        self._order = {device.id: number for number, device in enumerate(controller.devices.pool.devices)}
        self._processes: dict[int, psutil.Process] = {}

    def open(self) -> None:
        """Be ready to read devices."""
        self._meter.open()

    def close(self) -> None:
        """Let go of the devices."""
        self._meter.close()

    def look(self) -> Snapshot:
        """Return what is to be seen now."""
        now = self._clock()
        state = self._state_now()
        counts = state.counts()
        if len(self._expected) < counts.total and not self._controller.records.results.each:
            self._expected = self._expectations(state.tests)
        state.expect(self._expected)
        rows = sorted(state.rows(now), key=self._place)
        remaining = state.remaining(now) if counts.total else None
        return Snapshot(
            rows=rows,
            counts=counts,
            labels={row.worker: self._label(row) for row in rows},
            readings=self._read(rows),
            remaining=remaining,
            end=None if remaining is None else _end_text(now + remaining, remaining),
            failure=state.failure,
            suspects=dict(state.suspects),
        )

    def _state_now(self) -> RunState:
        if self._tail is not None and not self._controller.records.unjournaled:
            self._state.fold_all(self._tail.read())
        else:  # what is on no disk comes with pytest's reports
            self._state = RunState(each=self._controller.records.results.each)
            self._state.fold_all(records_of(self._controller.records.results))
        return self._state

    def _expectations(self, tests: list[str]) -> dict[str, float | None]:
        return dict(zip(tests, durations(tests, self._controller.history.known()), strict=True))

    def _place(self, row: Row) -> tuple[int, int, str]:
        first = row.devices[0] if row.devices else ""
        slot = first.removeprefix("cpu:")
        return self._order.get(first, len(self._order)), int(slot) if slot.isdecimal() else 0, row.worker

    def _label(self, row: Row) -> str:
        labels = [self._labels.get(device, device) for device in row.devices]
        if len(labels) > 1 and all(label.startswith("GPU ") for label in labels):
            return "GPU " + ",".join(label.removeprefix("GPU ") for label in labels)
        return ", ".join(labels) or row.worker

    def _read(self, rows: Iterable[Row]) -> dict[str, Reading]:
        levels = self._meter.levels()
        readings = {}
        for row in rows:
            found = [levels[device] for device in row.devices if device in levels]
            memory = [level.memory for level in found if level.memory is not None]
            busy = [level.utilization for level in found if level.utilization is not None]
            if any(device.startswith("cpu:") for device in row.devices):
                readings[row.worker] = self._read_process(row.pid)
            else:
                readings[row.worker] = Reading(
                    memory=sum(memory) if memory else None, utilization=statistics.fmean(busy) if busy else None
                )
        return readings

    def _read_process(self, pid: int) -> Reading:
        """Read a worker that holds a CPU slot: the memory of its process, and what share of a core that uses."""
        import psutil

        with contextlib.suppress(psutil.Error):
            if pid not in self._processes:
                self._processes[pid] = psutil.Process(pid)
                self._processes[pid].cpu_percent()  # the first answer counts from the process's start
                return Reading(memory=self._processes[pid].memory_info().rss)
            process = self._processes[pid]
            return Reading(memory=process.memory_info().rss, utilization=process.cpu_percent())
        return Reading()


def _end_text(end: float, remaining: float) -> str:
    shape = "%a %H:%M" if remaining > _FAR_SECONDS else "%H:%M"
    return f"about {time.strftime(shape, time.localtime(end))} (in {duration_text(remaining)})"
