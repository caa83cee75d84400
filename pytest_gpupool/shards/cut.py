"""The cut: which pieces of a suite each of several shards has, so that all are done at about the same time.

Pure: a function of the pieces and the number of shards. The order in which the pieces come makes no difference, so that
machines which collect in other orders cut alike.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAIN = 0.01
"""What needs the same set-up is divided further only where that shortens the longest shard by this part of it."""

_FINENESS = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of a shard's even part, how much of what needs the same set-up is kept together at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Tests that stay together, mostly one.

    ``name`` tells it from others, ``work`` is what its tests take, ``shares`` are the set-ups that it needs, by name,
    with what each takes once in every shard that has one: all in seconds times the devices that are held meanwhile.
    """

    name: str
    work: float
    shares: tuple[tuple[str, float], ...] = ()

    @property
    def alone(self) -> float:
        """What a shard takes that has nothing else."""
        return self.work + sum(cost for _, cost in self.shares) if self.shares else self.work


@dataclass(slots=True)
class _Shard:
    pieces: list[Piece]
    load: float
    has: set[str]

    def with_these(self, pieces: Sequence[Piece], work: float) -> float:
        """Return what its load would be."""
        return self.load + work + sum(cost for name, cost in pieces[0].shares if name not in self.has)

    def add(self, pieces: Sequence[Piece], work: float) -> None:
        self.load = self.with_these(pieces, work)
        self.pieces += pieces
        self.has |= {name for name, _ in pieces[0].shares}


def cut(pieces: Sequence[Piece], count: int) -> list[list[Piece]]:
    """Return the pieces of each of ``count`` shards, in the order of their names; some have none where there are few.

    Longest processing time first (Graham 1969), with what needs the same set-up as one, then divided more and more
    finely as long as that shortens the longest shard. So that one is at most ``GAIN`` longer than an even part and the
    longest piece, where there are no set-ups.
    """
    ordered = sorted(pieces, key=lambda piece: piece.name)
    bound = max(load_of(ordered) / count, max((piece.alone for piece in ordered), default=0.0))
    best: list[_Shard] = []
    for chunks in _divided(ordered, count):
        shards = _placed(chunks, count)
        if not best or _longest(shards) < _longest(best) * (1 - GAIN):
            best = shards
        if _longest(best) * (1 - GAIN) <= bound:
            break  # nothing finer is so much shorter
    return [sorted(shard.pieces, key=lambda piece: piece.name) for shard in best]


def load_of(pieces: Sequence[Piece]) -> float:
    """Return what a shard of these pieces takes, each set-up counted once."""
    return sum(piece.work for piece in pieces) + sum({pair: pair[1] for one in pieces for pair in one.shares}.values())


def _longest(shards: Sequence[_Shard]) -> float:
    return max(shard.load for shard in shards)


def _divided(ordered: Sequence[Piece], count: int) -> Iterator[list[list[Piece]]]:
    """Yield the pieces in chunks that need the same set-up: all that do, then finer and finer, at last each alone."""
    families: dict[tuple[tuple[str, float], ...], list[Piece]] = {}
    alone: list[list[Piece]] = []
    for piece in ordered:
        if piece.shares:
            families.setdefault(piece.shares, []).append(piece)
        else:
            alone.append([piece])  # nothing is saved by keeping it with others
    if families:
        yield [*families.values(), *alone]
        even = load_of(ordered) / count
        for part in _FINENESS:
            chunks = (chunk for family in families.values() for chunk in _chunks(family, part * even))
            yield [*chunks, *alone]
    yield [[piece] for piece in ordered]


def _chunks(family: Sequence[Piece], most: float) -> Iterator[list[Piece]]:
    """Yield a family's pieces in chunks of that much work at most, or of one piece."""
    chunk: list[Piece] = []
    work = 0.0
    for piece in family:
        if chunk and work + piece.work > most:
            yield chunk
            chunk, work = [], 0.0
        chunk.append(piece)
        work += piece.work
    yield chunk


def _placed(chunks: Sequence[list[Piece]], count: int) -> list[_Shard]:
    """Give each chunk, the longest first, to the shard that is done soonest with it."""
    shards = [_Shard([], 0.0, set()) for _ in range(count)]
    loads = [(0.0, number) for number in range(count)]  # a heap, in which a shard is where it was, too
    having: defaultdict[str, set[int]] = defaultdict(set)
    sized = [(sum(piece.work for piece in chunk), chunk) for chunk in chunks]
    sized.sort(key=lambda one: (-one[0] - sum(cost for _, cost in one[1][0].shares), one[1][0].name))
    for work, chunk in sized:
        while loads[0][0] != shards[loads[0][1]].load:
            heapq.heappop(loads)
        names = [name for name, _ in chunk[0].shares]
        # Of all that have nothing of its set-up the one with the least to do is soonest done.
        able = {loads[0][1]}.union(*(having[name] for name in names))
        number = min(able, key=lambda number: (shards[number].with_these(chunk, work), number)) if names else able.pop()
        shards[number].add(chunk, work)
        heapq.heappush(loads, (shards[number].load, number))
        for name in names:
            having[name].add(number)
    return shards
