"""Pressure: how long programs that could run have waited for a processor. Linux only."""

from __future__ import annotations

import re

from ..own.system import os

_LARGEST = 1 << 16
_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


class Pressure:
    """How long some program could run and had no processor, by the kernel's pressure stall information.

    Of this process's own control group where the kernel tells that (version 2), since what other groups wait for on
    other processors is nothing to us; else of the whole machine.
    Source: Documentation/accounting/psi.rst of Linux.
    """

    def __init__(self, root: str = "/") -> None:
        self._path = _pressure_file(root)

    def seconds(self) -> float | None:
        """Return the seconds, of which only the growth tells; None where the kernel does not say."""
        found = re.search(rb"^some .*\btotal=(\d+)", content(self._path))
        return None if found is None else int(found[1]) / 1e6


def _pressure_file(root: str) -> str:
    group = re.search(rb"^0::/(.*)$", content(root + "proc/self/cgroup"), re.MULTILINE)
    if group is not None:
        folder = group[1].decode(errors="replace")
        paths = [f"{root}{mount}/{folder}/cpu.pressure" for mount in _MOUNTS]
        for path in paths:
            if content(path).startswith(b"some "):
                return path
    return f"{root}proc/pressure/cpu"


def content(path: str) -> bytes:
    """Return what a file of the kernel's has, nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return b""
    try:
        return os.read(descriptor, _LARGEST)
    except OSError:  # the kernel may be told to keep no account
        return b""
    finally:
        os.close(descriptor)
