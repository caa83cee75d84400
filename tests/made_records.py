"""Records of a run that goes on, made for tests."""

from __future__ import annotations

from pytest_gpupool.records.record import Record
from pytest_gpupool.values.texts import epoch, iso

START = epoch("2026-11-21T10:00:00.000000Z")


def collected(*tests: str, worker: str = "gw0") -> Record:
    return {"record": "collected", "worker": worker, "tests": [[test, {}] for test in tests]}


def leased(worker: str, *devices: str, pid: int = 1) -> Record:
    began = {"host": "here", "pid": pid, "devices": [*devices], "lease_wait_s": 0.0, "started": iso(START)}
    return {"record": "worker", "worker": worker, **began}


def start(worker: str, test: str, after: float = 0.0) -> Record:
    return {"record": "start", "worker": worker, "test": test, "devices": [], "started": iso(START + after)}


def end(worker: str, test: str, outcome: str = "passed", seconds: float = 1.0, message: str | None = None) -> Record:
    about = {"duration_s": seconds, "ended": iso(START + seconds), "phases": {}, "message": message}
    return {"record": "end", "worker": worker, "test": test, "outcome": outcome, **about}
