"""The document: what ``gpupool status --json`` prints.

Keys that are here stay; others may come. Sizes are bytes, utilisation is per cent, times are seconds, moments are UTC
in ISO 8601. What is not known is null.

- ``time``, ``host``, ``driver``; ``problem``: why there is no device; ``notes``: what else is wrong, a line each
- ``devices[]``, all of this host: ``id, index, kind`` (gpu or mig), ``name, state`` (free, leased, busy, quarantined,
  or failed: it does not answer), ``memory_total_bytes, memory_used_bytes, utilization, temperature_c, leases[],
  foreign[], quarantine`` (an object or null), ``unexplained_bytes`` (in use by no process that is named), ``problem``:
  why it does not answer, or may not be used
- ``leases[]``: ``pid, user, uid, host, run, command, worker, test, since, held_s, until, number`` (of those who share a
  device, else null). ``pid`` and ``user`` are null where it is not told who holds it. A pid of a container is the one
  that the process has there.
- ``foreign[]``, processes that no holder started: ``pid, user, command, memory_bytes, type`` (compute, graphics, or
  service: the vendor's own)
- ``quarantine``: ``reason, user, uid, run, since``; ``quarantined_elsewhere``: those of devices that are not here, by
  id
- ``waiters[]``, first come first: ``pid, user, uid, host, run, command, worker, gpus, devices`` (ids that it can use),
  ``since, waited_s, responds`` (false for one that is stopped or hangs; it delays nobody)
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...devices.probe import Survey
from ...devices.readings import Levels
from ...leases.host_view import DeviceView, ForeignProcess, HostView, waited
from ...leases.occupancy import Hold
from ...leases.quarantines import Quarantine
from ...leases.queueing.tickets import Waiter
from ...values.texts import epoch, iso

_WHO = ("pid", "user", "uid", "host", "run", "command", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One look at the host: ``levels`` is what devices say of themselves, by id, ``now`` when that was."""

    survey: Survey
    view: HostView
    levels: Mapping[str, Levels]
    notes: Sequence[str]
    now: float

    def used(self, view: DeviceView) -> int | None:
        """Return how many bytes of a device are in use, None where it does not tell."""
        return self.levels.get(view.device.id, Levels()).memory


def build(status: Status) -> dict[str, Any]:
    """Return the document."""
    return {
        "time": iso(status.now),
        "host": socket.gethostname(),
        "driver": status.survey.driver,
        "problem": status.survey.problem,
        "notes": [*status.survey.broken, *status.notes],
        "devices": [_device(view, status) for view in status.view.devices],
        "waiters": [_waiter(waiter) for waiter in status.view.waiters],
        "quarantined_elsewhere": {id_: _quarantine(one) for id_, one in status.view.gone.items()},
    }


def _device(view: DeviceView, status: Status) -> dict[str, Any]:
    levels, device = status.levels.get(view.device.id, Levels()), view.device
    return {
        "id": device.id,
        "index": device.index,
        "kind": device.kind,
        "name": device.name,
        "state": view.state,
        "memory_total_bytes": device.memory_total,
        "memory_used_bytes": levels.memory,
        "utilization": levels.utilization,
        "temperature_c": levels.temperature,
        "leases": [_lease(hold, status.now) for hold in view.holds],
        "foreign": [_foreign(process) for process in view.foreign],
        "quarantine": None if view.quarantine is None else _quarantine(view.quarantine),
        "unexplained_bytes": view.unexplained,
        "problem": view.problem,
    }


def _lease(hold: Hold, now: float) -> dict[str, Any]:
    keys = (*_WHO, "test", "since", "until")
    said = dict.fromkeys(keys) if hold.holder is None else {key: asdict(hold.holder)[key] for key in keys}
    held = None if said["since"] is None else round(max(0.0, now - epoch(said["since"])), 3)
    return {**said, "held_s": held, "number": hold.number}


def _foreign(process: ForeignProcess) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "user": process.user,
        "command": process.command,
        "memory_bytes": process.memory,
        "type": process.use,
    }


def _quarantine(quarantine: Quarantine) -> dict[str, Any]:
    return asdict(quarantine)


def _waiter(waiter: Waiter) -> dict[str, Any]:
    who = asdict(waiter.who)
    return {
        **{key: who[key] for key in _WHO},
        "gpus": waiter.wish.gpus,
        "devices": list(waiter.wish.devices),
        "since": who["since"],
        "waited_s": round(waited(waiter), 3),
        "responds": waiter.responds,
    }
