"""Messages: plain values on the way, the same on the other side."""

from __future__ import annotations

import json
from typing import get_args

import execnet
import pytest

from pytest_gpupool.records import wire
from pytest_gpupool.values import messages
from pytest_gpupool.values.messages import (
    Ask,
    Attempts,
    Broken,
    Captures,
    Collected,
    Command,
    Delayed,
    Describe,
    Ends,
    Expired,
    Failed,
    Finishing,
    HeldUp,
    Items,
    Leased,
    LeftRunning,
    LetIn,
    Message,
    Notice,
    Params,
    Poisoned,
    Records,
    Refused,
    Rest,
    Stolen,
    TearingDown,
    Tell,
    Waiting,
    WrongUsage,
)

BLOCKERS = ["GPU 0  NVIDIA H200  held by pid 4711"]

MESSAGES: list[Message] = [
    Leased(
        {"record": "worker", "devices": ["GPU-1"], "lease_wait_s": 0.5}, 7, [4711, 815, 4026531836], [{"id": "GPU-1"}]
    ),
    Delayed(),
    Waiting(BLOCKERS, [[4711, 815, 4026531836]]),
    Expired(BLOCKERS, []),
    Refused("ERROR: conftest.py sets CUDA_VISIBLE_DEVICES", 4),
    Failed("no lease for this one", 5),
    Collected("0fa9", "77c1", 12),
    Items.of(
        ["test_a.py::test_b"],
        None,
        requirements={3: {"gpus": 2, "lock": ["port"]}},
        groups={},
        warm={0: "test_a.py|model0"},
    ),
    Items.of([], '[["test_a.py::test_b"], {}]', requirements={}, groups={1: "g"}, warm={}),
    Params.of([("test_a.py::test_b[1]", {"number": 1})]),
    Ask(2),
    Stolen([4, 5]),
    Poisoned("test_a.py::test_b", "an illegal memory access", [6]),
    HeldUp("test_a.py::test_b", BLOCKERS),
    LeftRunning("test_a.py::test_b", [[4711, 815, 4026531836]]),
    LetIn("test_a.py::test_b"),
    Captures({"stdout": 5}),
    TearingDown("test_a.py::test_b"),
    Finishing(),
    WrongUsage("Wrong expression passed to '-k'"),
    Records(['{"record": "start"}']),
    Broken("pytest_sessionfinish raised ValueError: no"),
]

COMMANDS: list[Command] = [
    Rest(),
    Tell(),
    Describe(),
    Attempts({3: 2, 10: 1}, {3: ["machine"]}),
    Ends("2026-01-01T00:00:00Z"),
]


def name(value: object) -> str:
    return type(value).__name__


class TestMessages:
    """What a worker says to the controller."""

    def test_each_kind_is_tried_here(self) -> None:
        """None may be forgotten."""
        assert {type(message) for message in MESSAGES} == set(get_args(Message))

    @pytest.mark.parametrize("message", MESSAGES, ids=name)
    def test_it_arrives_as_it_was_sent(self, message: Message) -> None:
        """By execnet's way, by ours, and by JSON."""
        data = messages.to_wire(message)
        for arrived in (execnet.loads(execnet.dumps(data)), wire.loads(wire.dumps(data)), json.loads(json.dumps(data))):
            heard = messages.from_wire(arrived)
            assert type(heard) is type(message)
            assert heard == message

    def test_a_question_is_short(self) -> None:
        """One is asked for each test."""
        assert messages.to_wire(Ask(2)) == ["Ask", 2]

    def test_what_is_told_of_tests_is_known_by_their_numbers(self) -> None:
        """Though JSON makes texts of them."""
        asks = {0: {"gpus": 2}, 12: {"timeout": 1.5, "lock": ["port"]}}
        items = Items.of(["test_a.py::test_b"], None, requirements=asks, groups={12: "big"}, warm={})
        assert items.told() == {"requirements": asks, "groups": {12: "big"}, "warm": {}}

    def test_parameters_are_told_test_by_test(self) -> None:
        """In the order of collection."""
        params = Params.of((test, {"model": test}) for test in ("b", "a"))
        assert params.tests() == [["b", {"model": "b"}], ["a", {"model": "a"}]]


class TestCommands:
    """What the controller says to a worker."""

    def test_each_kind_is_tried_here(self) -> None:
        """None may be forgotten."""
        assert {type(command) for command in COMMANDS} == set(get_args(Command))

    @pytest.mark.parametrize("command", COMMANDS, ids=name)
    def test_it_arrives_as_it_was_sent(self, command: Command) -> None:
        """With a name that none of xdist's commands has."""
        sent, values = execnet.loads(execnet.dumps(messages.to_command(command)))
        assert sent.startswith("gpupool_")
        heard = messages.from_command(sent, values)
        assert type(heard) is type(command)
        assert heard == command

    @pytest.mark.parametrize("command", ["runtests", "runtests_all", "steal", "shutdown"])
    def test_xdists_own_are_none_of_them(self, command: str) -> None:
        """They are left to xdist."""
        assert messages.from_command(command, {"indices": [1]}) is None


def test_what_travels_and_what_does_not_have_no_kind_in_common() -> None:
    """Nor the same names."""
    kinds = [*get_args(Message), *get_args(Command), *get_args(Notice)]
    assert len({kind.__name__ for kind in kinds}) == len(kinds)
