"""The engine: what a cluster is to a run: how much it has, and one link for each worker that it places somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Room(NamedTuple):
    """What a cluster, or an allocation, has: GPUs in all, on the host that has the most, and how many hosts there are.

    Busy ones count: who wants one of those waits.
    """

    gpus: int
    largest: int
    hosts: int


def size_text(gpus: Sequence[int]) -> str:
    """Return for people how large a cluster is whose hosts have so many GPUs each: ``2 hosts, 4 GPUs``.

    A host without any, such as Ray's head, counts only where no host has one.
    """
    hosts = sum(count > 0 for count in gpus) or len(gpus)
    return ", ".join(
        f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in ((hosts, "host"), (sum(gpus), "GPU"))
    )


class Link(Protocol):
    """The bytes to and from the program that an engine runs for one worker. Its methods are for any thread."""

    def write(self, data: bytes) -> None:
        """Send all of it, in order; waits where it is not taken, as long as the program is not placed too.

        Raises:
            OSError: nobody takes it any more.
        """

    def read(self) -> bytes:
        """Wait for something that the program has written and return it; nothing, ``b""``, at its end."""

    def waits_for(self) -> str:
        """Return why it is not placed yet, in the engine's words, as a clause: ``job 12 is pending (Resources)``.

        Empty where the engine says nothing. Called now and then as long as nothing was read.
        """

    def end(self) -> None:
        """End the program wherever it is, without asking it, or see to it that it is never placed. Once is enough.

        Where it has ended already nothing happens. Afterwards :meth:`read` comes to its end.
        """

    def end_words(self) -> str:
        """Return what is known of how it ended that is not the program's doing, as a clause; empty where nothing is.

        ``node n2 failed``, ``job 12 was cancelled``, ``srun: error: …``. Waits a moment at most.
        """


class Refused:
    """The link of a program that an engine does not even try to place, for a reason."""

    def __init__(self, why: str) -> None:
        self._why = why

    def write(self, data: bytes) -> None:
        """Nobody takes it."""
        raise BrokenPipeError(self._why)

    def read(self) -> bytes:
        """It is at its end."""
        return b""

    def waits_for(self) -> str:
        """It does not wait."""
        return ""

    def end(self) -> None:
        """It has ended."""

    def end_words(self) -> str:
        """Return the reason."""
        return self._why


class Engine(Protocol):
    """One cluster for one run."""

    name: str
    """As ``--gpupool-engine`` has it."""
    sends_code: bool
    """Whether it brings the code to each host, into the program's working directory: it need not be there before."""

    def room(self) -> Room:
        """Return what there is now.

        Raises:
            UsageProblem: nobody answers that can tell.
        """

    def describe(self) -> str:
        """Return for pytest's header what it is: ``SLURM allocation 12 (3 hosts, 8 GPUs)``."""

    def launch(self, worker: str, gpus: int, command: Sequence[str]) -> Link:
        """Have a program run with so many GPUs on one host, 0 for none. Returns at once; the engine places it later.

        ``worker`` is the worker's name, for those who look at the cluster. The program reads and writes bytes, and what
        it writes to stderr is for people.

        Raises:
            UsageProblem: it can never be placed, or the engine refuses its arguments.
        """

    def close(self) -> None:
        """The run is over: end all that is left of it, and let go of the cluster."""
