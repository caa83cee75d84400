"""Names: what the files of a device are called in the lock directory.

``ID.lock`` is the device's lock, ``ID.json`` the note of who has it alone. Where it is shared, ``ID.N.lock`` and
``ID.N.json`` are those of number N, and ``ID.of-K.lock`` is held by all whose run lets K share it. ``ID.quarantine``
takes it out of the host's pool. Devices are given by their ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUARANTINE = ".quarantine"


def stem(device: str) -> str:
    """Return how the names of a device's files begin; MIG ids of old drivers have slashes."""
    return device.replace("/", "_")


def lock(device: str) -> str:
    """Return the name of a device's lock file."""
    return f"{stem(device)}.lock"


def number_lock(device: str, number: int) -> str:
    """Return the name of the lock file of a number."""
    return f"{stem(device)}.{number}.lock"


def limit_lock(device: str, limit: int) -> str:
    """Return the name of the lock file of those who let so many share."""
    return f"{stem(device)}.of-{limit}.lock"


def note(device: str, number: int | None) -> str:
    """Return the name of the note of a number, of who has the device alone without one."""
    return f"{stem(device)}.json" if number is None else f"{stem(device)}.{number}.json"


def quarantine(device: str) -> str:
    """Return the name of the file that takes a device out of the pool."""
    return f"{stem(device)}{_QUARANTINE}"


def quarantined(names: Iterable[str]) -> list[str]:
    """Return the stems of the devices that have such a file among these names."""
    return sorted(name.removesuffix(_QUARANTINE) for name in names if re.fullmatch(r"\w[^/]*\.quarantine", name))


def numbers(device: str, names: Iterable[str]) -> list[int]:
    """Return the numbers of which there are lock files among these names."""
    return _matching(rf"{re.escape(stem(device))}\.(0|[1-9]\d{{0,8}})\.lock", names)


def limits(device: str, names: Iterable[str]) -> list[int]:
    """Return the limits of which there are lock files among these names."""
    return _matching(rf"{re.escape(stem(device))}\.of-([1-9]\d{{0,8}})\.lock", names)


def _matching(pattern: str, names: Iterable[str]) -> list[int]:
    known = re.compile(pattern, re.ASCII)
    return sorted(int(match[1]) for name in names if (match := known.fullmatch(name)))
