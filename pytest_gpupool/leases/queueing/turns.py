"""Turns: which of the free devices one that wants some may take, before whom others came. Pure.

First come, first served: what one that came before could take now is kept for it, and nothing else. It has a moment for
that; whoever does not use it is passed over, as one that is stopped is. Who needs several devices and finds too few has
these kept for a while, counted anew whenever one more comes free; then others may take them. Nobody holds a device
while it waits, so that no two can wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .tickets import Waiter, Wish

MOMENT = 1_000_000_000
"""Nanoseconds that a waiter has to take what it could, and so how late another one may be for one that hangs."""

KEPT = 60_000_000_000
"""Nanoseconds for which too few devices are kept for who needs several."""


class Turns:
    """The turns as one waiter sees them: since when those before it could have taken what."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, frozenset[str]], int] = {}

    def kept(self, before: Sequence[Waiter], free: Mapping[str, bool] | None, now: int) -> dict[str, Waiter]:
        """Return which free devices are kept, and for whom.

        ``before`` are those that came before, the first of them first. ``free`` has the devices that somebody could
        take now, None where nobody came before; each with whether nobody at all is on it: one that is shared has room
        for those only who share as well.
        """
        kept: dict[str, Waiter] = {}
        seen: dict[tuple[str, frozenset[str]], int] = {}
        for waiter in before if free else ():
            assert free is not None
            could = frozenset(device for device in could_take(waiter.wish, free) if device not in kept)
            if not could or not waiter.responds:
                continue
            key = (waiter.ticket, could)
            seen[key] = self._since.get(key, now)
            is_gathering = len(could) < waiter.wish.gpus
            # It cannot take them before it has settled, which is soon.
            begins = max(seen[key], min(waiter.wish.settles, seen[key] + MOMENT))
            if now - begins < MOMENT or (is_gathering and _has_kept(waiter.wish, seen[key], now)):
                kept |= dict.fromkeys(could, waiter)
        self._since = seen
        return kept


def _has_kept(wish: Wish, since: int, now: int) -> bool:
    """Return whether too few devices are still kept for one that needs several, seen since so long."""
    if not wish.keeps:  # its ticket is about to say until when
        return now < since + KEPT
    return now < wish.keeps <= now + KEPT


def could_take(wish: Wish, free: Mapping[str, bool]) -> list[str]:
    """Return which of the free devices one with that wish could use, in its order."""
    return [
        device
        for device in wish.devices
        if device in free and device not in wish.unusable and (free[device] or wish.slots > 1)
    ]


class Gathering:
    """How long one that needs several devices has those kept that are free."""

    def __init__(self) -> None:
        self._most = 0
        self._until = 0

    def until(self, found: int, wanted: int, now: int) -> int:
        """Return until when, where it finds so many and wants so many; 0 where it has found none, or enough."""
        if found > self._most and found < wanted:
            self._until = now + KEPT
        self._most = found
        return self._until if 0 < found < wanted else 0
