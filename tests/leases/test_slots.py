"""A slot's note tells how many it lets in, and of any two that come at once at most one is one too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpupool.leases import holders
from pytest_gpupool.leases.holders import Holder
from pytest_gpupool.leases.lock_directory import lock_directory
from pytest_gpupool.leases.occupancy import holders_now, noted_workers, room_beside
from pytest_gpupool.leases.slots import Refusal, Slot, claim, refusal_of, slots_of
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.errors import UsageProblem

GPU = Device(id="GPU-8a5c0000-0000", kind="gpu", index=0, name="NVIDIA H200")
LONG_GONE = 2**22 + 1  # above the kernel's largest


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
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestClaim:
    """How many share a device is what the one lets in that lets in the fewest."""

    @pytest.mark.parametrize(
        "wishes", [(1, 1), (1, 2), (2, 1), (2, 2, 2), (2, 3, 3), (3, 3, 2), (8, 1), (1, 8)], ids=str
    )
    def test_the_last_one_is_too_many(self, lock_dir: Path, wishes: tuple[int, ...]) -> None:
        """Whoever comes first; nothing of it stays behind, and when one goes it may come."""
        *before, last = wishes
        held = [taken(claim(lock_dir, GPU, me(number))) for number in before]
        refusal = refused(claim(lock_dir, GPU, me(last)))
        assert refusal == Refusal(min((slot.holder for slot in held if slot.holder), key=lambda h: h.slots), False)
        assert len(holders_now(lock_dir, GPU)) == len(held)
        for slot in held:
            slot.unlock()
        taken(claim(lock_dir, GPU, me(last))).unlock()

    @pytest.mark.parametrize("wishes", [(1,), (2, 2), (2, 3), (3, 2), (4, 4, 4, 4), (5, 3, 4)], ids=str)
    def test_these_share(self, lock_dir: Path, wishes: tuple[int, ...]) -> None:
        """Each in a slot of its own, with a note of its own."""
        held = [taken(claim(lock_dir, GPU, me(number, f"gw{number}"))) for number in wishes]
        assert [slot.number for slot in held] == list(range(len(wishes)))
        assert holders_now(lock_dir, GPU) == {slot.number: slot.holder for slot in held}

    def test_it_begins_at_the_number_that_is_given(self, lock_dir: Path) -> None:
        """And goes on around."""
        held = [taken(claim(lock_dir, GPU, me(3), first=5)) for _ in range(3)]
        assert [slot.number for slot in held] == [2, 0, 1]

    def test_a_neighbour_that_does_not_say_who_it_is_has_it_alone(self, lock_dir: Path) -> None:
        """It may go in a moment: its note may be half written."""
        slot = taken(claim(lock_dir, GPU, me(2)))
        (lock_dir / f"{GPU.id}.0.json").write_text("garbage")
        assert refused(claim(lock_dir, GPU, me(2))) == Refusal(None, momentary=True)
        slot.note(me(2))
        assert taken(claim(lock_dir, GPU, me(2))).number == 1

    def test_who_has_locked_and_not_yet_noted_is_not_overlooked(self, lock_dir: Path) -> None:
        """By an exclusive one, in any slot; that goes back and leaves no note."""
        silent = Slot(lock_dir, GPU, 4)
        assert silent.lock()
        assert refusal_of(lock_dir, GPU, me(1)) is None
        assert refused(claim(lock_dir, GPU, me(1))) == Refusal(None, momentary=True)
        assert (lock_dir / f"{GPU.id}.0.json").read_bytes() == b""
        assert set(holders_now(lock_dir, GPU)) == {4}

    def test_a_killed_holders_note_keeps_nobody_out(self, lock_dir: Path) -> None:
        """Only the lock does."""
        assert not Slot(lock_dir, GPU, 1).is_taken()
        holders.write(lock_dir / f"{GPU.id}.1.json", me(1))
        assert taken(claim(lock_dir, GPU, me(2))).number == 0

    def test_who_only_looks_may_pass(self, lock_dir: Path) -> None:
        """A lock beside the note of a process that is gone is somebody's who looks whether it is free."""
        looking = Slot(lock_dir, GPU)
        assert looking.lock()
        holders.write(lock_dir / f"{GPU.id}.0.json", _gone())
        assert refused(claim(lock_dir, GPU, me(1))) == Refusal(_gone(), momentary=True)

    def test_an_error_gives_the_lock_back(self, lock_dir: Path) -> None:
        """That of another slot's bad file."""
        (lock_dir / f"{GPU.id}.1.lock").mkdir()
        with pytest.raises(UsageProblem, match="Is a directory"):
            claim(lock_dir, GPU, me(1))
        (lock_dir / f"{GPU.id}.1.lock").rmdir()
        taken(claim(lock_dir, GPU, me(1)))


class TestLooking:
    """What is to be seen without taking a slot."""

    def test_only_slots_of_the_device_count(self, lock_dir: Path) -> None:
        """Whatever else lies there."""
        names = ("0.lock", "2.lock", "02.lock", "-1.lock", "x.lock", "1.json", "99999999999.lock", "3.lock.1")
        for name in names:
            (lock_dir / f"{GPU.id}.{name}").touch()
        (lock_dir / "GPU-8a5c0000-00001.1.lock").touch()
        (lock_dir / "queue.lock").touch()
        assert [slot.number for slot in slots_of(lock_dir, GPU)] == [0, 2]

    def test_neighbours(self, lock_dir: Path) -> None:
        """Those who hold other slots now, by number."""
        held = [taken(claim(lock_dir, GPU, me(3, f"gw{number}"))) for number in range(3)]
        held.pop(1).unlock()
        holders.write(lock_dir / f"{GPU.id}.1.json", me(3))
        assert held[0].neighbours() == {2: held[1].holder}

    def test_workers_are_counted_by_their_notes(self, lock_dir: Path) -> None:
        """Of processes that live."""
        assert noted_workers(lock_dir, GPU) == 0
        slot = taken(claim(lock_dir, GPU, me(3)))
        assert noted_workers(lock_dir, GPU) == 1
        slot.note(_gone())
        assert noted_workers(lock_dir, GPU) == 0
        slot.unlock()
        assert noted_workers(lock_dir, GPU) == 0

    @pytest.mark.parametrize(
        ("held", "wanted", "left"),
        [
            ({}, 1, 1),
            ({}, 3, 3),
            ({0: 1}, 1, 0),
            ({0: 1}, 3, 0),
            ({0: 2}, 1, 0),
            ({0: 2}, 3, 1),
            ({0: 3}, 3, 2),
            ({0: 3, 1: 3}, 3, 1),
            ({0: 3, 2: 3}, 2, 0),
            ({2: 3}, 2, 1),
            ({0: 3, 1: 3, 2: 3}, 3, 0),
            ({0: None}, 3, 0),
        ],
        ids=str,
    )
    def test_room_beside_holders(self, held: dict[int, int | None], wanted: int, left: int) -> None:
        """As many as both they and the others let in; who does not say has it alone."""
        assert (
            room_beside({number: None if lets is None else me(lets) for number, lets in held.items()}, wanted) == left
        )


def _gone() -> Holder:
    data = me(2).to_json() | {"pid": LONG_GONE}
    return Holder(**data)  # type: ignore[arg-type]
