"""Lease waits: what is told of them, and when they are in vain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NoReturn

import pytest
from made_members import member

from pytest_gpupool.distribution.workers.lease_waits import LeaseWaits
from pytest_gpupool.distribution.workers.member import Member
from pytest_gpupool.distribution.workers.roster import Roster
from pytest_gpupool.values.errors import EXIT_NO_LEASE
from pytest_gpupool.values.messages import Expired
from pytest_gpupool.values.process_id import ProcessId

HOLDER = "GPU 0  NVIDIA H200  held by pid 4711 (alice)"


class Stopped(Exception):
    """The run was ended, with this status."""


class Controller:
    """Remembers what the user is told."""

    def __init__(self, *, each: bool) -> None:
        self.records = SimpleNamespace(results=SimpleNamespace(each=each))
        self.console = self.devices = self
        self.options = SimpleNamespace(wait=60.0)
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def tell(self, text: str, *, label: bool = True) -> None:
        """As the real one."""
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """As the real one."""
        self.warnings.append(text)

    def no_lease_text(self, blockers: list[str], *, in_vain: bool) -> str:
        """As the real one."""
        return f"{in_vain=}: {blockers}"

    def stop(self, text: str, status: int) -> NoReturn:
        """As the real one."""
        raise Stopped(int(status), text)


class Hall:
    """Workers that wait."""

    def __init__(self, *members: Member, each: bool = False) -> None:
        self.controller = Controller(each=each)
        roster = Roster()
        for one in members:
            roster.add(one)
        self.waits = LeaseWaits(self.controller, roster)  # type: ignore[arg-type]


def known(pid: int) -> ProcessId:
    return ProcessId(pid, started=815, pid_namespace=4026531836)


def leased(name: str, pid: int = 100) -> Member:
    one = member(name, 0)
    one.leased, one.identity = True, known(pid)
    return one


def test_each_holder_is_named_once() -> None:
    """For how long it holds its device is no news."""
    hall = Hall()
    hall.waits.tell("gw0 waits for a device", [f"{HOLDER} for 12 min"])
    hall.waits.tell("gw1 waits for a device", [f"{HOLDER} for 13 min"])
    assert hall.controller.lines == ["gw0 waits for a device", f"  {HOLDER} for 12 min", "gw1 waits for a device"]


def test_while_somebody_works_nobody_waits_in_vain() -> None:
    """The one that works runs all tests."""
    waiting = member("gw1", 1)
    assert Hall(leased("gw0"), waiting).waits.has_expired(waiting, Expired([HOLDER], [known(4711)])) is None


def test_while_somebody_hopes_the_run_goes_on() -> None:
    """It ends with the last one's hope."""
    first, second = member("gw0", 0), member("gw1", 1)
    hall = Hall(first, second)
    assert hall.waits.has_expired(first, Expired([HOLDER], [])) is None
    with pytest.raises(Stopped, match=str(EXIT_NO_LEASE)):
        hall.waits.has_expired(second, Expired([HOLDER], []))


def test_what_our_own_workers_hold_comes_free() -> None:
    """As soon as the process of one that was let go has ended."""
    gone, waiting = leased("gw0", pid=4711), member("gw1", 1)
    gone.gone = True
    hall = Hall(gone, waiting)
    assert hall.waits.has_expired(waiting, Expired([HOLDER], [known(4711)])) is None


def test_without_devices_together_the_run_goes_on() -> None:
    """Once it has begun: the tests that need so many fail, the others run."""
    gone, waiting = leased("gw0"), member("gw1", 1, 2, gpus=2)
    gone.gone = True
    hall = Hall(gone, waiting)
    assert hall.waits.has_expired(waiting, Expired([HOLDER], [])) == 2
    assert hall.controller.warnings == [f"no 2 devices came free together in 60 s:\n  {HOLDER}"]


@pytest.mark.parametrize(("barred", "in_vain"), [((True, True), True), ((True, False), False)])
def test_what_each_of_them_met_is_said_once(barred: tuple[bool, bool], in_vain: bool) -> None:
    """And whether any of them has waited at all."""
    first, second = member("gw0", 0), member("gw1", 1)
    hall = Hall(first, second)
    hall.waits.has_expired(first, Expired(["n1 is dark", f"{HOLDER} for 1 min"], [], barred[0]))
    with pytest.raises(Stopped) as stopped:
        hall.waits.has_expired(second, Expired([f"{HOLDER} for 2 min", "n2 is dark"], [], barred[1]))
    assert stopped.value.args[1] == f"{in_vain=}: {['n1 is dark', f'{HOLDER} for 2 min', 'n2 is dark']}"


def test_where_devices_together_can_never_be_had_nobody_has_waited() -> None:
    """So no time is said."""
    gone, waiting = leased("gw0"), member("gw1", 1, 2, gpus=2)
    gone.gone = True
    hall = Hall(gone, waiting)
    assert hall.waits.has_expired(waiting, Expired([HOLDER], [], is_barred=True)) == 2
    said = f"no 2 devices can be leased together, however long one waits:\n  {HOLDER}"
    assert hall.controller.warnings == [said]


def test_a_run_that_has_begun_ends_as_one_with_tests_not_run() -> None:
    """For want of a device, no longer of a first lease."""
    gone, waiting = leased("gw0"), member("gw1", 1)
    gone.gone = True
    hall = Hall(gone, waiting)
    with pytest.raises(Stopped, match=str(int(pytest.ExitCode.TESTS_FAILED))):
        hall.waits.has_expired(waiting, Expired([HOLDER], []))


def test_with_each_one_that_gets_nothing_ends_the_run() -> None:
    """Every worker has tests of its own, which nobody else runs."""
    waiting = member("gw1", 1)
    hall = Hall(leased("gw0"), waiting, each=True)
    with pytest.raises(Stopped, match=str(EXIT_NO_LEASE)):
        hall.waits.has_expired(waiting, Expired([HOLDER], []))
