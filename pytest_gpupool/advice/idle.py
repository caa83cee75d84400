"""Idle: devices were held, or kept free, and no test ran.

What each item saves at most is a share of the device-seconds that the run held, which is the sum over the leases of
their seconds times their devices:

- ``collection``: from the lease until a worker was ready for its first test, beyond the two seconds that any start
  takes;
- ``set-up``: what wide fixtures took that a worker had set up before, with the same parameters, and set up again. What
  each of several workers sets up once is the price of running side by side, and is not counted. Those that failed are
  set up again for every test, which is no waste. One item for each fixture;
- ``stage``, ``serial``, ``lock``, and ``set-up`` once more: how long workers had no test since they waited for the end
  of a lower stage, for a serial test, for a lock, or since what was left shared what others had set up;
- ``gpus``: of the devices of a worker that has several, how long each stood free after its last lease until the last
  of them was free as well. Nobody held them meanwhile: they are added to what the run held.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..records.folding.results import Results
from ..values.texts import cut_middle, one_line
from ..values.wide_fixture import split_key
from .items import Advice, Kind
from .leases import TOLERANCE, Hold, Holds
from .wording import devices_text, seconds_text, share_text

START_SECONDS = 2.0
"""What any worker takes to start and to collect a small suite."""

_WIDEST = 60

_WAITS: Mapping[str, tuple[Kind, str]] = {
    "stage": (
        "stage",
        "for tests of a lower stage to end: start the longest of those first (priority), or give fewer workers (-n)",
    ),
    "serial": ("serial", "for serial tests: run these by themselves with one worker, or with lock= instead of serial"),
    "lock": ("lock", "for tests with the same lock to end: fewer workers (-n) do as well, or locks for less"),
    "set-up": (
        "set-up",
        "while others ran what was left, for which they had the fixtures set up: fewer workers (-n) do as well",
    ),
}


def advice(results: Results, holds: Holds) -> Iterator[Advice]:
    """Yield it, whatever it saves."""
    held = holds.seconds
    yield from _collection(holds, held)
    yield from _set_up_again(results, holds, held)
    yield from _waits(holds, held)
    yield from _groups(holds, held)


def _collection(holds: Holds, held: float) -> Iterator[Advice]:
    taken = [(hold, hold.ready - hold.began) for hold in holds.all if hold.ready is not None]
    if not taken:
        return
    wasted = sum(max(0.0, seconds - START_SECONDS) * len(hold.devices) for hold, seconds in taken)
    longest = max(seconds for _, seconds in taken)
    text = (
        f"{devices_text(holds)} were held for up to {seconds_text(longest)} before the first test, while workers "
        f"started and collected ({share_text(wasted / held)} of the time for which they were held): import what is "
        "heavy in fixtures and tests instead of conftest.py and the heads of modules, or name fewer files"
    )
    yield Advice("collection", text, wasted / held, "held")


class _Again(NamedTuple):
    times: int
    seconds: float
    """Times the devices of the worker."""


def _set_up_again(results: Results, holds: Holds, held: float) -> Iterator[Advice]:
    devices = {hold.worker.id: len(hold.devices) for hold in holds.all}
    seen: set[tuple[str, str]] = set()
    again: defaultdict[str, _Again] = defaultdict(lambda: _Again(0, 0.0))
    for (worker, _), one in results.set_ups.items():
        if one.failed or worker not in devices:
            continue
        if (worker, one.fixture) in seen:
            name = split_key(one.fixture)[0]
            times, seconds = again[name]
            again[name] = _Again(times + 1, seconds + one.seconds * devices[worker])
        seen.add((worker, one.fixture))
    for name, (times, seconds) in again.items():
        text = (
            f"{cut_middle(one_line(name), _WIDEST)} was built {times} time{'' if times == 1 else 's'} by workers that "
            f"had built it before ({share_text(seconds / held)} of the time for which {devices_text(holds)} were "
            "held): a wider scope keeps it, or an order in which the tests that share it follow each other"
        )
        yield Advice("set-up", text, seconds / held, "held")


def _waits(holds: Holds, held: float) -> Iterator[Advice]:
    for reason, (kind, told) in _WAITS.items():
        seconds = sum(_within(hold, reason) * len(hold.devices) for hold in holds.all)
        text = (
            f"{devices_text(holds)} were held without a test for {seconds_text(seconds)} in all "
            f"({share_text(seconds / held)} of the time for which they were held) {told}"
        )
        yield Advice(kind, text, seconds / held, "held")


def _within(hold: Hold, reason: str) -> float:
    seconds: float = hold.worker.idle.get(reason, 0.0)
    return min(seconds, hold.ended - hold.began)


def _groups(holds: Holds, held: float) -> Iterator[Advice]:
    groups = [hold for hold in holds.all if len(hold.devices) > 1]
    seconds = sum(_stood_free(hold, holds) for hold in groups)
    if not seconds:
        return
    sizes = sorted({len(hold.devices) for hold in groups})
    share = seconds / (held + seconds)
    text = (
        f"{devices_text(holds)} stood free for {seconds_text(seconds)} in all until there were {_either(sizes)} for a "
        f"test ({share_text(share)} of the time for which they were held or kept): tests that need several go first "
        "with a higher priority (priority=1)"
    )
    yield Advice("gpus", text, share, "held")


def _stood_free(group: Hold, holds: Holds) -> float:
    """Return for how long devices of a group were free before the last of them was, those that nobody had not counted.

    A device that was never held stood free for want of workers, or was another run's.
    """
    freed = [_last_end(holds.of_device(device), group) for device in group.devices]
    known = [min(moment, group.began) for moment in freed if moment is not None]
    return sum(max(known) - moment for moment in known) if known else 0.0


def _last_end(earlier: Iterable[Hold], group: Hold) -> float | None:
    ends = (hold.ended for hold in earlier if hold is not group and hold.ended <= group.began + TOLERANCE)
    return max(ends, default=None)


def _either(sizes: list[int]) -> str:
    return " or ".join(map(str, sizes))
