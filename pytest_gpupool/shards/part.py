"""The part: which of all tests one shard has, and what tells whether other machines have cut alike.

Pure: no clock, no files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..planning.demands import Told
from ..records.estimates import Learned
from ..values.repeats import count_of_tests
from ..values.texts import duration_text
from .cut import Piece, cut, load_of
from .pieces import pieces_of
from .place import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part of a run's tests that shard ``index`` of ``count`` has.

    ``tests`` are the ids of all, each repeat of a test by itself, in the order of collection; ``others`` is how many of
    them are other shards', ``own`` how many tests are this one's.
    ``fingerprint`` is of all that the cut was made from; ``seconds`` are what the shard takes, times the devices that
    are held meanwhile, and ``of_seconds`` what all shards do, None where nothing is known of any test.
    """

    index: int
    count: int
    tests: Sequence[str]
    own: int
    others: int
    fingerprint: str
    seconds: float | None
    of_seconds: float | None

    def to_wire(self) -> str:
        """Return it as a text, for the controller."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_wire(cls, text: str) -> Part:
        """Make it again from :meth:`to_wire`."""
        return cls(**json.loads(text))

    def to_record(self) -> dict[str, Any]:
        """Return what the run's record has of it."""
        return {"index": self.index, "count": self.count, "tests": self.tests, "fingerprint": self.fingerprint}

    def text(self) -> str:
        """Return what the user is told: ``shard 2/4: 31 of 120 tests, 12 min of 47 min``."""
        count = count_of_tests(self.tests)
        tests = f"{self.own} of {count} test{'' if count == 1 else 's'}"
        time = "nothing is known of how long they take"
        if self.seconds is not None and self.of_seconds is not None:
            time = f"{_text(self.seconds)} of {_text(self.of_seconds)}"
        return f"shard {self.index}/{self.count}: {tests}, {time}"


def _text(seconds: float) -> str:
    return duration_text(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def part_of(
    nodeids: Sequence[str], told: Told, learned: Learned, shard: Shard, *, mode: str
) -> tuple[Part, frozenset[str]]:
    """Return a shard's part of these tests, and the ids of its own ones. ``told`` and ``mode``: see :mod:`pieces`."""
    pieces = pieces_of(nodeids, told, learned, mode)
    shards = cut(list(pieces), shard.count)
    loads = [load_of(pieces_of_shard) for pieces_of_shard in shards]
    own = frozenset(nodeid for piece in shards[shard.index - 1] for nodeid in pieces[piece])
    is_known = any(nodeid in learned.tests for nodeid in nodeids)
    part = Part(
        index=shard.index,
        count=shard.count,
        tests=list(nodeids),
        own=count_of_tests(sorted(own)),
        others=len(nodeids) - len(own),
        fingerprint=_fingerprint(pieces, shard.count),
        seconds=loads[shard.index - 1] if is_known else None,
        of_seconds=sum(loads) if is_known else None,
    )
    return part, own


def _fingerprint(pieces: Mapping[Piece, Sequence[str]], count: int) -> str:
    told = sorted((piece.name, piece.work, piece.shares, list(tests)) for piece, tests in pieces.items())
    return hashlib.sha256(json.dumps([count, told]).encode()).hexdigest()[:16]
