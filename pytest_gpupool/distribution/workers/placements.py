"""Placements: workers that an engine has not placed yet, and how much the cluster has by now."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress

from ...processes.own import clock
from ...run.controller import Controller
from ...run.devices.cluster import ClusterDevices
from ...values.messages import Room, Unplaced
from .engine_process import EngineWorkerProcess
from .member import Member
from .roster import Roster

_LOOK_SECONDS = 1.0
_ROOM_SECONDS = 10.0  # how often the cluster is asked what it has
_SILENT_SECONDS = 2.0  # what a placement may take before it is spoken of
_PLACE_SECONDS = 5.0  # and before it is one that waits, however little the user would wait


class Placements:
    """A thread that looks, where there is an engine; ``tell(notice)`` has the loop hear what it sees."""

    def __init__(self, controller: Controller, roster: Roster, tell: Callable[[Unplaced | Room], None]) -> None:
        self._controller = controller
        self._roster = roster
        self._tell = tell
        self._is_over = threading.Event()
        self._since: dict[str, float] = {}
        self._told: dict[str, tuple[str, bool]] = {}
        self._room: Room | None = None  # as it was told last
        self._looked = 0.0

    def begin(self) -> None:
        """Workers are being started."""
        devices = self._controller.devices
        if isinstance(devices, ClusterDevices):
            self._room = Room(devices.room.gpus, devices.room.largest)
            self._looked = clock.monotonic()
            threading.Thread(target=self._keep_looking, name="gpupool-placements", daemon=True).start()

    def close(self) -> None:
        """No more are waited for."""
        self._is_over.set()

    def _keep_looking(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            # Whatever an engine's client does not take well now, it may the next time, or of another worker.
            for member in self._roster.present():
                with suppress(Exception):
                    self._look_at(member)
            if clock.monotonic() - self._looked > _ROOM_SECONDS:
                self._looked = clock.monotonic()
                with suppress(Exception):
                    self._look_at_the_cluster()

    def _look_at(self, member: Member) -> None:
        process = member.process
        if not isinstance(process, EngineWorkerProcess) or process.host is not None or member.retired:
            return
        waited = clock.monotonic() - self._since.setdefault(member.name, clock.monotonic())
        if waited < _SILENT_SECONDS:
            return
        why = process.waits_for()
        if not why:
            return  # it is about to start
        has_expired = waited >= max(self._controller.options.wait, _PLACE_SECONDS)
        kind = re.sub(r"\d+", "", why)  # how many are free changes all the time
        if self._told.get(member.name) != (kind, has_expired):
            self._told[member.name] = kind, has_expired
            self._tell(Unplaced(member.name, why, has_expired))

    def _look_at_the_cluster(self) -> None:
        engine = self._controller.devices.engine
        assert engine is not None
        room = engine.room()
        now = Room(room.gpus, room.largest)
        if now != self._room:
            self._room = now
            self._tell(now)
