"""Dispatch: carries out what the planner decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from xdist.workermanage import WorkerController

from ..planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from ..values import messages
from ..values.messages import Attempts, Command
from .parts import Parts
from .workers.member import Member, Shape


class Dispatch:
    """Tells workers what to do. Remembers of tests that crashed how often they were tried, and on which devices."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attempts: dict[int, int] = {}
        self._crashed_on: dict[int, tuple[str, ...]] = {}

    def has_crashed(self, index: int, member: Member) -> None:
        """A worker that ended took a test with it."""
        self._crashed_on[index] = member.devices

    def runs_again(self, index: int, nodeid: str) -> tuple[str, ...]:
        """A test that crashed runs once more; return the devices to avoid."""
        result = self._parts.controller.records.results.get(nodeid, "")
        self._attempts[index] = 0 if result is None else result.attempt
        return self._crashed_on.get(index, ())

    def carry_out(self, decisions: Iterable[Decision]) -> list[str]:
        """Do it; return the workers to which something was said."""
        told = []
        for decision in decisions:
            if isinstance(decision, Start):
                self._start(decision)
            elif (member := self._present(decision.worker)) is not None:  # else it has died, which is heard next
                # A worker that has just died cannot be told anything; xdist reports its death next.
                with contextlib.suppress(OSError):
                    self._tell(member, decision)
                told.append(member.name)
        return told

    def _start(self, decision: Start) -> None:
        avoid = {device for devices in self._crashed_on.values() for device in devices}
        self._parts.starts.start(Shape(gpus=decision.gpus, memory=decision.memory, avoid=tuple(sorted(avoid))))

    def _present(self, name: str) -> Member | None:
        member = self._parts.roster.named(name)
        return None if member.gone else member

    def _tell(self, member: Member, decision: Decision) -> None:
        match decision:
            case Retire():
                member.retire()
            case Rest():
                _send(member.node, messages.Rest())
            case Assign(tests=tests):
                if tried := {index: self._attempts[index] for index in tests if index in self._attempts}:
                    _send(member.node, Attempts(tried))
                member.node.send_runtest_some(list(tests))
            case Steal(tests=tests):
                member.node.send_steal(list(tests))


def _send(node: WorkerController, command: Command) -> None:
    name, values = messages.to_command(command)
    node.sendcommand(name, **values)
