"""What a run held and measured, made for tests of the advice on it; times are seconds since the run began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_gpupool.advice import advise
from pytest_gpupool.advice.items import Advice
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.values.device import Device, cpu_device
from pytest_gpupool.values.texts import iso

GIB = 2**30
BEGUN = 1795261610.0

CARDS = tuple(Device(id=f"GPU-{n}", kind="gpu", index=n, name="NVIDIA H200", memory_total=80 * GIB) for n in range(4))
MIGS = tuple(Device(id=f"MIG-{n}", kind="mig", index=0, name="MIG 1g", memory_total=20 * GIB) for n in range(4))
SLOTS = tuple(map(cpu_device, range(4)))

Record = dict[str, Any]


def holder(
    name: str,
    *devices: str,
    began: float = 0.0,
    ready: float | None = None,
    ended: float | None = 100.0,
    idle: Mapping[str, float] | None = None,
    exit: str = "finished",
) -> list[Record]:
    """A worker with its lease; without ``ended`` the run was killed."""
    told = {"host": "here", "pid": 1, "devices": [*devices], "lease_wait_s": 0.0, "started": iso(BEGUN + began)}
    about = {"ready": iso(BEGUN + (began + 1 if ready is None else ready)), **({} if idle is None else {"idle": idle})}
    end = {"record": "worker-end", "worker": name, "exit": exit, **about}
    return [
        {"record": "worker", "worker": name, **told},
        *([] if ended is None else [{**end, "ended": iso(BEGUN + ended)}]),
    ]


def ran(
    test: str,
    worker: str = "gw0",
    *devices: str,
    at: float = 1.0,
    seconds: float = 90.0,
    outcome: str = "passed",
    asked: Mapping[str, float | None] | None = None,
    **resources: float | None,
) -> list[Record]:
    """A test that ran to its end, of device 0 where nothing is said; ``resources`` are what was sampled."""
    of = {"worker": worker, "test": f"test_it.py::{test}"}
    start = {"devices": list(devices or [CARDS[0].id]), "started": iso(BEGUN + at)}
    end = {"outcome": outcome, "phases": {}, "duration_s": seconds, "ended": iso(BEGUN + at + seconds), "message": None}
    return [
        {"record": "start", **of, **start, **({} if asked is None else {"asked": asked})},
        {"record": "end", **of, **end, "resources": resources},
    ]


def built(fixture: str, number: int, seconds: float, worker: str = "gw0", **more: Any) -> Record:
    """A wide fixture was set up, for a test that ran."""
    of = {"worker": worker, "test": "test_it.py::test_a"}
    return {"record": "set-up", **of, "number": number, "fixture": fixture, "seconds": seconds, **more}


def setting(name: str, value: float) -> Record:
    """What the run goes by."""
    return {"record": "setting", "name": name, "value": value}


def given(
    *records: Record | Iterable[Record], devices: Sequence[Device] = CARDS, each: bool = False
) -> dict[str, Advice]:
    """The advice on a run of these records, by what it is about; no two are about the same."""
    results = Results(each=each)
    for one in records:
        results.add_all([one] if isinstance(one, dict) else one)
    found = advise.advice(results, devices)
    by_kind: dict[str, Advice] = {item.kind: item for item in found}
    assert len(by_kind) == len(found), found
    return by_kind
