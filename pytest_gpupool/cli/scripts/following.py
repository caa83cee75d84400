"""Following: what tests write, as they write it, until their run is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ...logs.reading import Follower, Wanted
from ...records import archive

_SECONDS = 0.2


def follow(run: Path, wanted: Wanted, rank: int | None) -> bool:
    """Write what is there, and what comes, until the run is over; return whether there was anything."""
    follower, was_any = Follower(run, wanted, rank), False
    while True:
        goes_on = archive.goes_on(run)  # before the look, so that the last words are not missed
        was_any = write(follower.new()) or was_any
        if not goes_on:
            return was_any
        time.sleep(_SECONDS)


def write(data: Iterable[bytes]) -> bool:
    """Write bytes as they are; return whether there were any."""
    was_any = False
    for piece in data:
        was_any = True
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return was_any
