"""Wishes: what ``gpupool run`` was asked for, and whether the devices that are here can ever give it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...devices.pool import Pool
from ...values.device import Device, Size, usable_together
from ...values.errors import GpupoolError, RequirementNotMet, UsageProblem
from ...values.texts import cut, seconds, size_text

_LONGEST_COMMAND = 200  # of a note, which anybody may read


class NoCommand(GpupoolError):
    """There is no program of that name, or it cannot be run; the exit status is what a shell gives then."""

    def __init__(self, text: str, exit_status: int) -> None:
        super().__init__(text)
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How many devices of how many bytes each, the longest wait in seconds, and for which command."""

    gpus: int
    memory: int
    wait: float
    command: tuple[str, ...]

    @classmethod
    def parse(cls, *, gpus: str, memory: str | None, wait: str, command: Sequence[str]) -> Wishes:
        """Read what was typed. Raises UsageProblem, NoCommand."""
        words = tuple(command[1:] if command[:1] == ["--"] else command)
        if not words:
            raise UsageProblem("give a command: gpupool run [--gpus N] -- CMD…")
        wishes = cls(gpus=_count(gpus), memory=_bytes(memory), wait=_seconds(wait), command=words)
        check_command(words[0])
        return wishes

    @property
    def text(self) -> str:
        """The command as others may read it."""
        return cut(shlex.join(self.command), _LONGEST_COMMAND)

    def suited(self, pool: Pool) -> tuple[Device, ...]:
        """Return the devices to take from, which are enough once they are free.

        Raises RequirementNotMet where waiting would be for nothing.
        """
        if pool.is_cpu:
            raise RequirementNotMet(
                f"--gpus {self.gpus}, but there is no GPU here: {pool.no_gpu}{_lines(pool.notes)}\n"
                "'--gpus 0' runs the command without one."
            )
        together = tuple(pool.devices if self.gpus == 1 else usable_together(pool.devices))
        if len(together) < self.gpus:
            why = " (a process can use one MIG instance at a time)" if len(together) < len(pool.devices) else ""
            raise RequirementNotMet(
                f"--gpus {self.gpus}, but the pool holds {pool.describe()}{why}{_lines(pool.notes)}"
            )
        large = tuple(device for device in together if self.memory <= (device.memory_total or self.memory))
        if len(large) < self.gpus:
            sizes = [f"{device.label}  {device.name}  {size_text(device.memory_total or 0)}" for device in together]
            raise RequirementNotMet(
                f"--memory {size_text(self.memory)}, but {_so_many(len(large))} of the pool has that much:"
                + _lines(sizes)
            )
        return large


def check_command(name: str) -> None:
    """Find out before a device is waited for that a command cannot be run. Raises NoCommand."""
    if shutil.which(name) is not None:
        return
    path = Path(name)
    if "/" not in name or not path.exists():
        raise NoCommand(f"{name}: no such command", 127)
    reason = "it is a directory" if path.is_dir() else "it is not executable ('chmod +x' makes it so)"
    raise NoCommand(f"{name}: cannot be run: {reason}", 126)


def cannot_run(name: str, error: OSError) -> NoCommand:
    """Return what to say of a command that could not be started after all."""
    if isinstance(error, FileNotFoundError):
        # The file is there, see above; the interpreter that its first line names is not.
        return NoCommand(
            f"{name}: cannot be run: {os.strerror(error.errno or 0)} (see the '#!' of its first line)", 127
        )
    return NoCommand(f"{name}: cannot be run: {os.strerror(error.errno or 0)}", 126)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise UsageProblem(f"--gpus {text}: give a whole number from 0")
    return int(text)


def _bytes(text: str | None) -> int:
    try:
        size = Size(0) if text is None else Size.parse(text)
    except ValueError:
        raise UsageProblem(f"--memory {text}: give a size such as 20GiB or 500MB") from None
    # Every device has each fraction of its own memory.
    return 0 if size.relative else int(size.amount)


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        raise UsageProblem(f"--wait {text}: give seconds from 0, or a time such as 90s, 5m or 2h") from None


def _so_many(count: int) -> str:
    return {0: "no GPU", 1: "only 1 GPU"}.get(count, f"only {count} GPUs")


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"\n  {line}" for line in lines)
