"""The part of a shard: the tests that stay together, by what earlier runs say, and what tells that others cut alike."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.records.estimates import Known, Learned
from pytest_gpupool.shards.frozen import Frozen
from pytest_gpupool.shards.part import Part, part_of
from pytest_gpupool.shards.place import Shard
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.values.wide_fixture import WideFixture

NOTHING = Learned({}, {})


def learned(seconds: dict[str, float], fixtures: dict[str, float] | None = None) -> Learned:
    """What earlier runs say."""
    return Learned({name: Known(time, None) for name, time in seconds.items()}, fixtures or {})


def told(gpus: dict[int, int] | None = None, models: dict[int, str] | None = None) -> dict[str, dict[int, Any]]:
    """What a worker tells of tests by number: devices, and the model that each shares."""
    names = sorted(set((models or {}).values()))
    return {
        "requirements": {index: {"gpus": count} for index, count in (gpus or {}).items()},
        "fixtures": {number: list(WideFixture("model", "", name, "")) for number, name in enumerate(names)},
        "families": {number: [number] for number in range(len(names))},
        "set_ups": {index: names.index(name) for index, name in (models or {}).items()},
    }


def shares(ids: list[str], about: Any, known: Learned, count: int, mode: str = "no") -> list[frozenset[str]]:
    """The tests of each shard."""
    return [part_of(ids, about, known, Shard(index, count), mode=mode)[1] for index in range(1, count + 1)]


@given(
    st.lists(st.tuples(st.floats(0, 500), st.integers(0, 4), st.sampled_from(["", "a", "b"])), max_size=25),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_every_test_is_in_one_shard_whatever_the_order(
    tests: list[tuple[float, int, str]], count: int, chance: random.Random
) -> None:
    """Two machines that collect in other orders have the same shards, and the same fingerprint."""
    ids = [f"test_a.py::test[{number}]" for number in range(len(tests))]
    about = dict(zip(ids, tests, strict=True))
    known = learned({name: about[name][0] for name in ids}, {"model[a]": 20.0, "model[b]": 90.0})

    def cut(ordered: list[str]) -> tuple[list[frozenset[str]], str]:
        gpus = {index: about[name][1] for index, name in enumerate(ordered)}
        models = {index: about[name][2] for index, name in enumerate(ordered) if about[name][2]}
        found = told(gpus, models)
        part, _ = part_of(ordered, found, known, Shard(1, count), mode="no")
        return shares(ordered, found, known, count), part.fingerprint

    mixed = list(ids)
    chance.shuffle(mixed)
    shards, fingerprint = cut(ids)
    assert (shards, fingerprint) == cut(mixed)
    assert sorted(name for shard in shards for name in shard) == sorted(ids)


def test_other_durations_are_noticed() -> None:
    """Where they change what is cut, and where not; so is another number of shards."""
    ids = ["a.py::test_a", "a.py::test_b"]
    shard = Shard(1, 2)
    prints = {
        part_of(ids, {}, known, one, mode="no")[0].fingerprint
        for known, one in [
            (NOTHING, shard),
            (learned({ids[0]: 1.0}), shard),
            (learned({ids[0]: 2.0, ids[1]: 1.0}), shard),
            (NOTHING, Shard(1, 3)),
        ]
    }
    assert len(prints) == 4 - 1  # that one takes a second is what is taken where nothing is known
    assert part_of(ids, {}, learned({"b.py::other": 7.0}), shard, mode="no")[0].fingerprint in prints


def test_a_test_counts_by_its_devices() -> None:
    """Four devices for a minute are as much as four tests of a minute."""
    ids = ["a.py::test_large", *(f"a.py::test_{number}" for number in range(4))]
    found = shares(ids, told({0: 4}), learned(dict.fromkeys(ids, 60.0)), 2)
    assert sorted(map(len, found)) == [1, 4]


def test_repeats_and_groups_stay_together() -> None:
    """Each of several is in the shard of the others."""
    ids = [f"a.py::test_a #r{number}" for number in range(3)] + ["a.py::test_b", "b.py::test_c", "b.py::test_d"]
    assert {frozenset(ids[:3])} <= {one & frozenset(ids[:3]) for one in shares(ids, {}, NOTHING, 3)}
    by_file = shares(ids, {}, NOTHING, 2, mode="loadfile")
    assert {frozenset(ids[:4]), frozenset(ids[4:])} == set(by_file)


def test_what_is_told() -> None:
    """Of tests, not of their repeats; and how long they take, as far as that is known."""
    ids = [*(f"a.py::test_a #r{number}" for number in range(3)), "a.py::test_b"]
    part, own = part_of(ids, {}, learned(dict.fromkeys(ids, 100.0)), Shard(1, 2), mode="no")
    assert own == frozenset(ids[:3])
    assert part.text() == "shard 1/2: 1 of 2 tests, 5 min of 6 min"
    assert (part.own, part.others) == (1, 1)
    assert Part.from_wire(part.to_wire()) == part
    unknown, _ = part_of(ids[3:], {}, NOTHING, Shard(1, 1), mode="no")
    assert unknown.text() == "shard 1/1: 1 of 1 test, nothing is known of how long they take"


def test_what_is_frozen_is_read_again(tmp_path: Any) -> None:
    """By each process of the run, from one file; without a place for it there is no sharded run."""
    frozen = Frozen(Shard(2, 3), learned({"a.py::test_a": 0.1}, {"model[m]": 1 / 3}))
    assert Frozen.read(frozen.write(tmp_path)) == frozen
    with pytest.raises(UsageProblem, match="'gpupool merge' needs them; give a directory that you may write"):
        frozen.write(None)
