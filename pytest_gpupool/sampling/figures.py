"""Figures: what readings of devices and of a process say of one attempt at a test.

There are two sorts of readings. What is so at a moment (memory, temperature, …) counts for the attempt in which it was
read. What only grows (energy, processor time) counts by its growth between two readings, in proportion to the time that
belongs to the attempt; the end of it, which no reading has, is taken to be like the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ..devices.readings import Count, Levels

Number = TypeVar("Number", int, float)

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_LEAST_COVER = 1 / 3  # of an attempt's time; what is known of less says too little about the rest


class Growth(NamedTuple):
    """How much a counter grew in so many ``seconds`` of an attempt."""

    amount: float = 0.0
    seconds: float = 0.0

    def plus(self, earlier: Count | None, later: Count | None, began: float) -> Growth:
        """Add what grew between two readings since the attempt began; a counter that fell began anew, and adds none."""
        grown = None if earlier is None or later is None else _growth(earlier, later)
        if earlier is None or later is None or grown is None or grown < 0:
            return self
        seconds = later.moment - max(began, earlier.moment)
        if seconds <= 0:
            return self
        part = seconds / (later.moment - earlier.moment)
        return Growth(self.amount + grown * part, self.seconds + seconds)

    def rate(self, seconds: float) -> float | None:
        """Return the growth per second of an attempt of ``seconds``, None where less than a third of that is known."""
        return self.amount / self.seconds if self.seconds and self.seconds >= _LEAST_COVER * seconds else None


class Counters(NamedTuple):
    """The counters at one moment: seconds of processor time, joules by device, seconds of waiting for a processor."""

    cpu: Count | None = None
    energy: Mapping[str, Count] = _EMPTY
    cpu_pressure: Count | None = None


class Observation(NamedTuple):
    """What was so at one moment: each device's levels, and the resident bytes of the process with its children.

    ``foreign`` has the pids of processes on the devices that are not ours, None where that could not be told.
    """

    devices: Mapping[str, Levels] = _EMPTY
    rss: int | None = None
    foreign: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one attempt at a test took; None is what was not measured.

    Of several devices the memory, the highest utilisation and the temperature are those of the device that has most,
    ``utilization_mean`` is the mean over them, and ``energy_j`` their sum, None where one of them does not tell.
    ``cpu_percent`` is of one core, so that it may be above 100. ``rss_peak_bytes`` is the largest sum over the process
    and its children: pages that they share count for each of them. ``cpu_pressure_percent`` is the part of its time in
    which some program, here or elsewhere, could run and had no processor; it is measured where there is no device.
    ``lost`` says that a device fell off the bus.
    """

    peak_memory_bytes: int | None = None
    utilization_mean: float | None = None
    utilization_max: float | None = None
    energy_j: float | None = None
    temperature_max_c: float | None = None
    throttled: bool | None = None
    foreign_pids: tuple[int, ...] | None = None
    cpu_percent: float | None = None
    rss_peak_bytes: int | None = None
    cpu_pressure_percent: float | None = None
    lost: bool = False
    by_device: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """By device id: its mean utilisation, its energy."""

    def to_record(self) -> dict[str, Any]:
        """Return them by the names that a report's ``resources`` have.

        Where there are devices ``devices`` has their mean utilisation and energy by id.
        """
        devices = {
            device: {"utilization_mean": _rounded(utilization, 2), "energy_j": _rounded(energy, 3)}
            for device, (utilization, energy) in self.by_device.items()
        }
        return {
            "peak_memory_bytes": self.peak_memory_bytes,
            "utilization_mean": _rounded(self.utilization_mean, 2),
            "utilization_max": _rounded(self.utilization_max, 2),
            "energy_j": _rounded(self.energy_j, 3),
            "temperature_max_c": self.temperature_max_c,
            "throttled": self.throttled,
            "foreign_pids": None if self.foreign_pids is None else sorted(self.foreign_pids),
            "cpu_percent": _rounded(self.cpu_percent, 1),
            "rss_peak_bytes": self.rss_peak_bytes,
            "cpu_pressure_percent": _rounded(self.cpu_pressure_percent, 1),
            **({"devices": devices} if devices else {}),
        }


class _Device(NamedTuple):
    """What the readings of one device come to."""

    energy: Growth = Growth()
    memory: int | None = None
    utilizations: int = 0
    utilization_sum: float = 0.0
    utilization_max: float | None = None
    temperature: float | None = None
    throttled: bool | None = None

    def plus(self, levels: Levels) -> _Device:
        return self._replace(
            memory=_largest((self.memory, levels.memory)),
            utilizations=self.utilizations + (levels.utilization is not None),
            utilization_sum=self.utilization_sum + (levels.utilization or 0.0),
            utilization_max=_largest((self.utilization_max, levels.utilization)),
            temperature=_largest((self.temperature, levels.temperature)),
            throttled=_any((self.throttled, levels.throttled)),
        )

    @property
    def utilization(self) -> float | None:
        return self.utilization_sum / self.utilizations if self.utilizations else None

    def energy_of(self, seconds: float) -> float | None:
        watts = self.energy.rate(seconds)
        return None if watts is None else watts * seconds


class Totals(NamedTuple):
    """What the readings of an attempt come to so far; without an observation there are no figures."""

    observations: int = 0
    cpu: Growth = Growth()
    cpu_pressure: Growth = Growth()
    rss: int | None = None
    foreign: frozenset[int] | None = None
    devices: Mapping[str, _Device] = _EMPTY

    def plus(self, earlier: Counters | None, later: Counters, seen: Observation | None, *, began: float) -> Totals:
        """Add what one look found; ``earlier`` are the counters of the look before, ``began`` the attempt's begin."""
        before = earlier or Counters()
        devices = dict(self.devices)
        for id_, count in later.energy.items():
            device = devices.get(id_, _Device())
            devices[id_] = device._replace(energy=device.energy.plus(before.energy.get(id_), count, began))
        for id_, levels in (seen.devices if seen is not None else {}).items():
            devices[id_] = devices.get(id_, _Device()).plus(levels)
        cpu = self.cpu.plus(before.cpu, later.cpu, began)
        cpu_pressure = self.cpu_pressure.plus(before.cpu_pressure, later.cpu_pressure, began)
        counted = self._replace(cpu=cpu, cpu_pressure=cpu_pressure, devices=devices)
        return counted if seen is None else counted._observed(seen)

    def _observed(self, seen: Observation) -> Totals:
        foreign = self.foreign if seen.foreign is None else seen.foreign | (self.foreign or frozenset())
        return self._replace(observations=self.observations + 1, rss=_largest((self.rss, seen.rss)), foreign=foreign)

    def figures(self, seconds: float, *, lost: bool = False) -> Figures:
        """Return the figures of an attempt that has lasted so long."""
        if not self.observations:
            return Figures(lost=True) if lost else NO_FIGURES
        devices = self.devices.values()
        cpu, pressure = self.cpu.rate(seconds), self.cpu_pressure.rate(seconds)
        utilizations = [device.utilization for device in devices if device.utilization is not None]
        by_device = {id_: (device.utilization, device.energy_of(seconds)) for id_, device in self.devices.items()}
        energies = [energy for _, energy in by_device.values() if energy is not None]
        return Figures(
            peak_memory_bytes=_largest(device.memory for device in devices),
            utilization_mean=sum(utilizations) / len(utilizations) if utilizations else None,
            utilization_max=_largest(device.utilization_max for device in devices),
            energy_j=sum(energies) if energies and len(energies) == len(by_device) else None,
            temperature_max_c=_largest(device.temperature for device in devices),
            throttled=_any(device.throttled for device in devices),
            foreign_pids=None if self.foreign is None else tuple(sorted(self.foreign)),
            cpu_percent=None if cpu is None else 100 * cpu,
            rss_peak_bytes=self.rss,
            cpu_pressure_percent=None if pressure is None else min(100.0, 100 * pressure),
            lost=lost,
            by_device=by_device,
        )


NO_FIGURES = Figures()
"""Of an attempt during which nothing was seen, as most short ones are."""


def _growth(earlier: Count, later: Count) -> float | None:
    if earlier.total is not None and later.total is not None:
        return later.total - earlier.total
    if earlier.rate is not None and later.rate is not None:
        return (earlier.rate + later.rate) / 2 * (later.moment - earlier.moment)  # the trapezoidal rule
    return None


def _largest(values: Iterable[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)


def _any(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
