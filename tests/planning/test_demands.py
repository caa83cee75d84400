"""What the plan takes over from markers and from earlier runs, as far as the pool can give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from made_plans import model

from pytest_gpupool.planning.demands import group_of, set_up_costs
from pytest_gpupool.planning.demands import planned_tests as planned
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.records.estimates import Known, Learned
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.wide_fixture import WideFixture

GIB = 2**30


def gpus(*sizes: int | None) -> tuple[Device, ...]:
    """GPUs of so many GiB; None where NVML does not tell."""
    return tuple(
        Device(
            id=f"GPU-{number}",
            kind="gpu",
            index=number,
            name="NVIDIA H200",
            memory_total=None if size is None else size * GIB,
        )
        for number, size in enumerate(sizes)
    )


def instances(*sizes: int) -> tuple[Device, ...]:
    """MIG instances of so many GiB."""
    return tuple(
        Device(id=f"MIG-{number}", kind="mig", index=9, name="MIG", memory_total=size * GIB)
        for number, size in enumerate(sizes)
    )


def ask(
    keys: Mapping[str, Any], devices: Sequence[Device] = gpus(80, 80, 80, 80), *, timeout: float | None = None
) -> Test:
    """What a test with such a mark asks for."""
    (asks,) = planned(["test_a.py::test_a"], {"requirements": {0: keys}}, {}, devices=devices, timeout=timeout)
    return asks


class TestKeys:
    """Each key of the marker."""

    def test_a_test_without_marks_asks_for_one_device(self) -> None:
        """And the limit that all tests have, where there is one."""
        assert planned(["a"], {}, {}, devices=gpus(80)) == [Test(index=0, function="a", gpus=1)]
        assert planned(["a"], {"requirements": {0: {}}}, {}, devices=gpus(80), timeout=9.0) == [
            Test(index=0, function="a", timeout=9.0)
        ]

    def test_every_key_is_taken_over(self) -> None:
        """As the worker sent it; names of locks are a set."""
        keys = {
            "gpus": 2, "memory": 8 * GIB, "timeout": 5.0, "priority": 3, "serial": True, "lock": ["a", "b", "a"],
            "stage": 1,
        }  # fmt: skip
        assert ask(keys) == Test(
            index=0,
            function="test_a.py::test_a",
            gpus=2,
            memory=0,
            priority=3,
            stage=1,
            serial=True,
            locks=frozenset({"a", "b"}),
            timeout=5.0,
        )

    @pytest.mark.parametrize(
        ("keys", "limit"), [({"priority": 1}, 9.0), ({"timeout": 5.0}, 5.0), ({"timeout": 60.0}, 60.0)]
    )
    def test_a_tests_own_limit_goes_before_that_of_all(self, keys: dict[str, Any], limit: float) -> None:
        """Whether it is shorter or longer."""
        assert ask(keys, timeout=9.0).timeout == limit

    def test_every_test_keeps_its_place(self) -> None:
        """Marks are given by the test's number, and most tests have none."""
        said = {3: {"priority": 7}, 1: {"gpus": 2}}
        asks = planned(["a", "b", "c", "d"], {"requirements": said}, {}, devices=gpus(80, 80))
        assert [(one.gpus, one.priority) for one in asks] == [(1, 0), (2, 0), (1, 0), (1, 7)]

    def test_groups_and_fixtures_are_taken_over(self) -> None:
        """The group by xdist's mode, the name of a mark where that is loadgroup."""
        told: Mapping[str, Any] = {
            "groups": {1: "disk"},
            "fixtures": {0: ["model", "", "m0", ""], 1: ["data", "m.py", "", "m.py"]},
            "families": {0: [0, 1]},
            "set_ups": {0: 0},
        }
        tests = planned(["m.py::a[1]", "m.py::b"], told, {}, devices=gpus(80), mode="loadgroup")
        shared = (model("m0"), WideFixture("data", "m.py", "", "m.py"))
        assert [(one.function, one.group, one.set_ups) for one in tests] == [
            ("m.py::a", None, shared),
            ("m.py::b", "disk", ()),
        ]

    def test_what_set_ups_take_is_what_earlier_runs_say(self) -> None:
        """Of their like where they are new; nothing where a test is on record that needs it, and it is not."""
        told: Mapping[str, Any] = {
            "fixtures": {0: ["model", "", "m0", ""], 1: ["model", "", "m1", ""], 2: ["data", "", "", ""]},
            "families": {0: [0, 2], 1: [1]},
            "set_ups": {0: 0, 1: 1},
        }
        nodeids = ["m.py::a[m0]", "m.py::a[m1]"]
        known = {"m.py::a[m0]": Known(1.0, None)}
        learned = Learned(known, {"model[m0]": 4.0})
        assert set_up_costs(nodeids, told, learned) == {"model[m0]": 4.0, "model[m1]": 4.0, "data": 0.0}
        assert set_up_costs(nodeids, told, Learned({}, {})) == dict.fromkeys(["model[m0]", "model[m1]", "data"])
        # Version 0.1 has measured the test with all that it needs.
        before = Learned(known, {}, has_fixtures=False)
        assert set_up_costs(nodeids, told, before)["data"] is None

    def test_no_tests_ask_for_nothing(self) -> None:
        """As where all were deselected."""
        assert planned([], {}, {}, devices=gpus(80)) == []


class TestDevices:
    """How many devices, and how large."""

    @pytest.mark.parametrize(("wanted", "planned"), [(0, 0), (1, 1), (3, 3), (4, 4), (5, 1), (10**9, 1)])
    def test_more_than_the_pool_has_is_not_planned_for(self, wanted: int, planned: int) -> None:
        """Such a test runs on any worker, where it fails and says why; none is formed for it."""
        assert ask({"gpus": wanted}).gpus == planned

    @pytest.mark.parametrize(("wanted", "planned"), [(0, 1), (1, 1), (3, 3)])
    def test_of_cpu_slots_there_are_enough(self, wanted: int, planned: int) -> None:
        """None is kept idle by a test that needs none, and memory means nothing to them."""
        asks = ask({"gpus": wanted, "memory": 8 * GIB, "priority": 1}, ())
        assert (asks.gpus, asks.memory, asks.priority) == (planned, 0, 1)

    @pytest.mark.parametrize(
        ("sizes", "wanted", "memory", "floor"),
        [
            ((80, 80), 1, 40, 0),  # all are large enough
            ((80, 80), 1, 80, 0),
            ((80, 40), 1, 60, 60),  # the first alone
            ((80, 40, 40), 1, 40, 0),
            ((80, 80, 40), 2, 60, 60),
            ((80, 40, 40), 2, 60, 0),  # too few: it will say so on any worker
            ((40, 40), 1, 60, 0),
            ((80, 40), 2, 60, 0),
            ((80, None), 1, 60, 0),  # what is not known may be enough
            ((80, 40, None), 1, 60, 60),
            ((None, None), 1, 60, 0),
            ((80, 40), 0, 60, 0),  # of no device
        ],
    )
    def test_small_devices_are_left_to_other_tests(
        self, sizes: tuple[int | None, ...], wanted: int, memory: int, floor: int
    ) -> None:
        """Only where some are too small, and the others are enough, does it matter which worker runs the test."""
        asks = ask({"gpus": wanted, "memory": memory * GIB}, gpus(*sizes))
        assert (asks.gpus, asks.memory) == (wanted, floor * GIB)

    def test_too_many_devices_have_no_floor(self) -> None:
        """A test that cannot run is not to wait for a particular worker."""
        asks = ask({"gpus": 3, "memory": 60 * GIB}, gpus(80, 40))
        assert (asks.gpus, asks.memory) == (1, 0)


class TestInstances:
    """One process sees one MIG instance, and no GPU beside it."""

    @pytest.mark.parametrize(
        ("whole", "parts", "wanted", "planned"),
        [
            ((), (10, 10), 1, (1, 0)),
            ((), (10, 10), 2, (1, 0)),
            ((80,), (10, 10), 2, (1, 0)),
            ((80, 80), (10, 10), 2, (2, 80)),
            ((80, 80), (10,), 3, (1, 0)),
            ((80, 40), (10,), 2, (2, 40)),
            ((80, 80), (10,), 1, (1, 0)),
            ((None, None), (10,), 2, (2, 0)),
        ],
    )
    def test_several_devices_are_whole_gpus(
        self, whole: tuple[int | None, ...], parts: tuple[int, ...], wanted: int, planned: tuple[int, int]
    ) -> None:
        """More than there are of those is more than the pool has. By their memory workers are told apart."""
        devices = (*gpus(*whole), *instances(*parts))
        asks = ask({"gpus": wanted}, devices)
        assert (asks.gpus, asks.memory) == (planned[0], planned[1] * GIB)

    @pytest.mark.parametrize(("memory", "floor"), [(20, 40), (60, 60), (100, 40)])
    def test_with_memory(self, memory: int, floor: int) -> None:
        """The larger of both counts; what no two have, the test asks for on any two."""
        devices = (*gpus(80, 80, 40), *instances(10))
        asks = ask({"gpus": 2, "memory": memory * GIB}, devices)
        assert (asks.gpus, asks.memory) == (2, floor * GIB)


class TestSeconds:
    """What earlier runs say of how long a test takes."""

    KNOWN: Mapping[str, Known] = {"a.py::f[1]": Known(10.0, 5), "a.py::f[2]": Known(20.0, None)}

    def test_its_own_duration_else_that_of_what_is_most_like_it(self) -> None:
        """With marks or without; None where nothing is known."""
        nodeids = ["a.py::f[1]", "a.py::f[3]", "b.py::g", "a.py::f[2]"]
        asks = planned(nodeids, {"requirements": {1: {"priority": 1}, 2: {"stage": 1}}}, self.KNOWN, devices=gpus(80))
        assert [one.seconds for one in asks] == [10.0, 15.0, None, 20.0]


@pytest.mark.parametrize(
    ("nodeid", "mode", "group"),
    [
        ("t/test_a.py::TestA::test_b[1]", "load", None),
        ("t/test_a.py::TestA::test_b[1]", "worksteal", None),
        ("t/test_a.py::TestA::test_b[1]", "loadfile", "t/test_a.py"),
        ("t/test_a.py::TestA::test_b[1]", "loadscope", "t/test_a.py::TestA"),
        ("t/test_a.py::test_b", "loadscope", "t/test_a.py"),
        ("t/test_a.py::test_b", "loadgroup", None),
        ("t/test_a.py::test_m", "loadgroup", "marked"),
        ("t/test_a.py::test_m", "load", None),
        ("t/test_a.py::test_m", "loadfile", "t/test_a.py"),
    ],
)
def test_the_group_of_a_test(nodeid: str, mode: str, group: str | None) -> None:
    """By xdist's ``--dist``; an ``xdist_group`` mark counts for ``loadgroup`` only."""
    assert group_of(nodeid, mode, {"t/test_a.py::test_m": "marked"}) == group
