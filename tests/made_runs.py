"""Runs on record made for tests, without pytest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_gpupool.records import archive
from pytest_gpupool.records.archive import Plan
from pytest_gpupool.records.journal import Journal, dump
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.texts import iso

Record = dict[str, Any]


BEGUN = 1795261610.0


COMMIT = "c0ffee" + "0" * 34


CARDS = tuple(
    Device(id=f"GPU-{number}a5c", kind="gpu", index=number, name="NVIDIA T4" if number == 3 else "NVIDIA H200")
    for number in range(4)
)


def metric(name: str, value: float | str | None, **more: Any) -> Record:
    """A metric as records have it; a text is what is not finite."""
    told = {"name": name, "value": value, "unit": "s", "higher_is_better": False, "n": None, "atol": None, "rtol": None}
    if isinstance(value, str):
        told |= {"value": None, "non_finite": value, "verdict": "invalid"}
    return {"verdict": None, **told, **more}


def attempt(
    test: str,
    *metrics: Record,
    devices: Sequence[str] = (CARDS[0].id,),
    worker: str = "gw0",
    at: float = 0.0,
    seconds: float = 1.0,
    **more: Any,
) -> list[Record]:
    """What a worker writes of a test; ``at`` is in seconds since the run began."""
    of = {"worker": worker, "test": test}
    end = {
        "outcome": "passed",
        "phases": {},
        "duration_s": seconds,
        "ended": iso(BEGUN + at + seconds),
        "message": None,
    }
    return [
        {"record": "start", **of, "devices": list(devices), "started": iso(BEGUN + at)},
        *({"record": "metric", **of, "metric": each} for each in metrics),
        {"record": "end", **of, **end, **more},
    ]


def write_run(
    base: Path, run: str, records: Sequence[Record], *, each: bool = False, devices: tuple[Device, ...] = CARDS
) -> Path:
    """The directory of a run that has ended; every worker's records in a journal of its own."""
    directory = base / "runs" / run
    directory.mkdir(parents=True)
    git = {"commit": COMMIT, "branch": "main", "dirty": False}
    archive.write_plan(directory, Plan(facts={"started": iso(BEGUN), "git": git}, devices=devices, each=each))
    for worker in dict.fromkeys(record["worker"] for record in records):
        book = Journal(directory / f"{worker}.jsonl")
        book.open()
        for record in records:
            if record["worker"] == worker:
                book.append(dump(record))
        book.close()
    return directory
