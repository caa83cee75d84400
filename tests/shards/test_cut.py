"""The cut: every piece in one shard, the same whatever the order, even, and what shares a set-up together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.shards.cut import GAIN, Piece, cut, load_of

SHARES = [(), (("model[a]", 30.0),), (("model[b]", 200.0),), (("data", 5.0), ("model[b]", 200.0))]


@st.composite
def suites(draw: st.DrawFn, *, set_ups: bool = True) -> list[Piece]:
    """Pieces of different length, some of which need the same set-up."""
    works = draw(st.lists(st.floats(0.01, 1000.0), max_size=40))
    kinds = draw(st.lists(st.sampled_from(SHARES if set_ups else SHARES[:1]), min_size=40, max_size=40))
    return [
        Piece(name=f"test[{number}]", work=work, shares=kind)
        for number, (work, kind) in enumerate(zip(works, kinds, strict=False))
    ]


counts = st.integers(1, 12)


def names(shards: list[list[Piece]]) -> list[list[str]]:
    """The pieces of each shard."""
    return [[piece.name for piece in shard] for shard in shards]


def longest(shards: list[list[Piece]]) -> float:
    """What the longest shard takes."""
    return max(map(load_of, shards))


@given(suites(), counts)
def test_every_piece_is_in_exactly_one_shard(pieces: list[Piece], count: int) -> None:
    """There are as many shards as asked for, empty ones included."""
    shards = cut(pieces, count)
    assert len(shards) == count
    assert sorted(name for shard in names(shards) for name in shard) == sorted(piece.name for piece in pieces)


@given(suites(), counts, st.randoms(use_true_random=False))
def test_the_order_makes_no_difference(pieces: list[Piece], count: int, chance: random.Random) -> None:
    """Machines that collect in another order have the same shards."""
    mixed = list(pieces)
    chance.shuffle(mixed)
    assert names(cut(mixed, count)) == names(cut(pieces, count))


@given(suites(set_ups=False), counts)
def test_no_shard_is_much_longer_than_an_even_part(pieces: list[Piece], count: int) -> None:
    """By the longest piece at most, and what is not worth dividing."""
    most = max((piece.work for piece in pieces), default=0.0)
    assert longest(cut(pieces, count)) <= (load_of(pieces) / count + most) / (1 - GAIN) + 1e-6


@given(suites(), counts)
def test_what_shares_a_set_up_is_divided_only_where_that_pays(pieces: list[Piece], count: int) -> None:
    """Else the shards are those of families as a whole."""
    by_family: dict[object, list[Piece]] = {}
    for piece in pieces:
        by_family.setdefault(piece.shares or piece.name, []).append(piece)
    whole = [
        Piece(name=own[0].name, work=sum(one.work for one in own), shares=own[0].shares) for own in by_family.values()
    ]
    shards = cut(pieces, count)
    is_divided = any(
        len({number for number, shard in enumerate(shards) if {*own} & {*shard}}) > 1 for own in by_family.values()
    )
    if is_divided:
        assert longest(shards) < longest(cut(whole, count))
    else:
        assert longest(shards) <= longest(cut(whole, count)) + 1e-6


def test_models_stay_whole_on_shards() -> None:
    """Eight models of 60 tests each, and a load of three tests' time: two on each of four shards."""
    pieces = [
        Piece(name=f"test[{model}-{task}]", work=60.0, shares=((f"model[{model}]", 180.0),))
        for model in "abcdefgh"
        for task in range(60)
    ]
    shards = cut(pieces, 4)
    assert [len({piece.shares for piece in shard}) for shard in shards] == [2, 2, 2, 2]
    assert [load_of(shard) for shard in shards] == pytest.approx([7560.0] * 4)


def test_a_family_that_is_longer_than_a_shard_is_divided() -> None:
    """Three models on two shards: one is loaded twice, and neither shard is much longer than an even part."""
    pieces = [
        Piece(name=f"test[{model}-{task}]", work=60.0, shares=((f"model[{model}]", 180.0),))
        for model in "abc"
        for task in range(60)
    ]
    shards = cut(pieces, 2)
    assert longest(shards) <= 1.05 * (3 * 60 * 60.0 + 4 * 180.0) / 2
