"""Who has a device alone, and who shares it, is the kernel's to say; of any two that come at once one goes back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.holders import Holder
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.occupancy import Occupancy
from pytest_gpupool.leases.slots import Refusal, Slot, claim
from pytest_gpupool.values.device import Device

GPU = Device(id=f"GPU-8a5c0000-{os.getpid()}", kind="gpu", index=0, name="NVIDIA H200")


def me(slots: int, worker: str = "gw0") -> Holder:
    """A holder that lets so many share."""
    return holders.myself(worker=worker, run="run-1", since="2026-11-21T11:46:52.000000Z", slots=slots)


def taken(answer: Slot | Refusal) -> Slot:
    """The slot that must be there."""
    assert isinstance(answer, Slot), answer
    return answer


def refused(answer: Slot | Refusal | None) -> Refusal:
    """The refusal that must be there."""
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestClaim:
    """How many share a device is what the one lets in that lets in the fewest."""

    @pytest.mark.parametrize(
        "wishes", [(1, 1), (1, 2), (2, 1), (2, 2, 2), (2, 3, 3), (3, 3, 2), (8, 1), (1, 8)], ids=str
    )
    def test_the_last_one_is_too_many(self, directory: LockDirectory, wishes: tuple[int, ...]) -> None:
        """Whoever comes first; nothing of it stays behind, and when one goes it may come."""
        *before, last = wishes
        held = [taken(claim(directory, GPU, me(number))) for number in before]
        refusal = refused(claim(directory, GPU, me(last)))
        assert refusal == Refusal(min((slot.holder for slot in held if slot.holder), key=lambda h: h.slots), False)
        assert len(Occupancy(directory).holds(GPU.id)) == len(held)
        for slot in held:
            slot.unlock()
        taken(claim(directory, GPU, me(last))).unlock()

    @pytest.mark.parametrize("wishes", [(1,), (2, 2), (2, 3), (3, 2), (4, 4, 4, 4), (5, 3, 4)], ids=str)
    def test_these_share(self, directory: LockDirectory, wishes: tuple[int, ...]) -> None:
        """Each with a number and a note of its own."""
        held = [taken(claim(directory, GPU, me(number, f"gw{number}"))) for number in wishes]
        assert [slot.number for slot in held] == list(range(len(wishes)))
        assert [hold.holder for hold in Occupancy(directory).holds(GPU.id)] == [slot.holder for slot in held]
        for slot in held:
            slot.unlock()

    def test_it_begins_at_the_number_that_is_given(self, directory: LockDirectory) -> None:
        """And goes on around."""
        held = [taken(claim(directory, GPU, me(3), first=5)) for _ in range(3)]
        assert [slot.number for slot in held] == [2, 0, 1]
        for slot in held:
            slot.unlock()

    def test_a_note_that_lets_others_in_lets_nobody_in(self, directory: LockDirectory) -> None:
        """Anybody may write it; the lock says who has the device alone."""
        slot = taken(claim(directory, GPU, me(1)))
        note = directory.path / f"{GPU.id}.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"slots": 8}))
        (directory.path / f"{GPU.id}.of-8.lock").touch()
        refused(claim(directory, GPU, me(8)))
        slot.unlock()

    @pytest.mark.parametrize(("mine", "note"), [(1, "json"), (2, "0.json")])
    def test_a_killed_holders_note_keeps_nobody_out(self, directory: LockDirectory, mine: int, note: str) -> None:
        """Only the lock does."""
        holders.write(directory, f"{GPU.id}.{note}", me(1))
        taken(claim(directory, GPU, me(mine))).unlock()

    @pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 3), (3, 1)])
    def test_where_the_files_are_gone_the_anchors_exclude(
        self, directory: LockDirectory, first: int, second: int
    ) -> None:
        """Until the holder puts them back, and after that."""
        slot = taken(claim(directory, GPU, me(first), first=2))
        shutil.rmtree(directory.path)
        refused(claim(directory, GPU, me(second)))
        assert slot.restore() is None
        refused(claim(directory, GPU, me(second)))
        slot.unlock()
        taken(claim(directory, GPU, me(second))).unlock()

    def test_those_who_share_do_so_where_the_files_are_gone(self, directory: LockDirectory) -> None:
        """Nobody gets a number that somebody has."""
        slot = taken(claim(directory, GPU, me(2)))
        shutil.rmtree(directory.path)
        second = taken(claim(directory, GPU, me(2)))
        assert {slot.number, second.number} == {0, 1}
        assert slot.restore() is None
        refused(claim(directory, GPU, me(2)))
        slot.unlock()
        second.unlock()


class TestNeighbours:
    """Who shares a device, by what they note."""

    def test_those_who_hold_other_numbers_now(self, directory: LockDirectory) -> None:
        """Not what one has left that was killed."""
        held = [taken(claim(directory, GPU, me(3, f"gw{number}"))) for number in range(3)]
        held.pop(1).unlock()
        holders.write(directory, f"{GPU.id}.1.json", me(3))
        assert held[0].neighbours() == {2: held[1].holder}
        for slot in held:
            slot.unlock()

    def test_only_files_of_the_device_count(self, directory: LockDirectory) -> None:
        """Whatever else lies there."""
        for name in ("02.lock", "-1.lock", "x.lock", "99999999999.lock", "3.lock.1", "of-0.lock", "of-x.lock"):
            (directory.path / f"{GPU.id}.{name}").touch()
        (directory.path / f"{GPU.id}1.1.lock").touch()
        slot = taken(claim(directory, GPU, me(3)))
        assert slot.neighbours() == {}
        slot.unlock()
