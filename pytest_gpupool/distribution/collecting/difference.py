"""The difference: what is said where two workers have collected different tests, with the likely cause and its cure.

Pure: ids in, a text of few lines out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ...values.nodeids import function_of
from ...values.texts import visible

_SHOWN = 2  # of each worker's own tests
_LONGEST = 160  # of an id

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}", re.IGNORECASE)
_TIME = re.compile(r"(?<!\d)(?:1[6-9]\d{8}(?:\d{3})?(?:\.\d+)?|20\d\d-?[01]\d-?[0-3]\d|[0-2]\d:[0-5]\d:[0-5]\d)(?!\d)")
_DEVICE = re.compile(r"(?<![a-z])(?:devices?|gpus?|ranks?|world_size|nproc)(?![a-z])|[\[-][a-z]+:\d", re.IGNORECASE)
_WORKER = re.compile(r"\bgw\d+\b")

_CAUSES = {
    "address": "an id has the address of an object, which differs in every process: give parametrize ids=[...]",
    "worker": "an id has the name of the worker: what differs by worker belongs into a fixture",
    "time": "an id has the time: take that from a fixture, or from a file that all workers read",
    "set": "parametrize goes by the order of a set, which differs in every process: use sorted(...)",
    "random": "an id has a random value, or one that each process makes: seed it, or read it from a file",
    "device": (
        "parametrize goes by the devices that a worker sees, and it sees no others than its own: "
        "use the same values in all workers, and take the device from the fixture gpu"
    ),
    "": (
        "parametrize goes by what each process finds (its number of devices, their memory, files, the environment): "
        "use the same values in all workers, and skip inside the test"
    ),
}


def text(first: str, other: str, only_first: Sequence[str], only_other: Sequence[str]) -> str:
    """Return what to say where worker ``other`` has collected other tests than ``first``, at most ten lines."""
    lines = [f"{other} collected other tests than {first}; each runs on the workers that have it"]
    for name, ids in ((first, only_first), (other, only_other)):
        lines += [f"  only {name}: {_short(nodeid)}" for nodeid in ids[:_SHOWN]]
        if len(ids) > _SHOWN:
            lines.append(f"  only {name}: {len(ids) - _SHOWN} more")
    return "\n".join([*lines, f"  probably {_CAUSES[cause(only_first, only_other)]}"])


def edited(worker: str, ids: Sequence[str]) -> str:
    """Return what to say of tests in files that were changed after the run's tests had been collected."""
    return (
        f"test files have changed since this run has collected: {worker} found {_some(ids)}, "
        "which this run leaves out; run pytest again for them"
    )


def come_late(worker: str, ids: Sequence[str]) -> str:
    """Return what to say of a worker that came for others, without some of their tests, and with new ones."""
    return f"{worker} came later and found {_some(ids)}, which no worker had before: they were not run"


def cause(only_first: Sequence[str], only_other: Sequence[str]) -> str:
    """Return why two workers have collected different tests, as far as their ids show: a key of the table above."""
    ids = [*only_first, *only_other]
    for name, pattern in (("address", _ADDRESS), ("worker", _WORKER), ("time", _TIME)):
        if any(pattern.search(nodeid) for nodeid in ids):
            return name
    return "device" if any(map(_DEVICE.search, ids)) else _by_parameters(only_first, only_other)


def _by_parameters(only_first: Sequence[str], only_other: Sequence[str]) -> str:
    """Tell apart what has as many tests of each function in both, of other parameters, from what has more or fewer."""
    if Counter(map(function_of, only_first)) != Counter(map(function_of, only_other)):
        return ""
    return "set" if _words(only_first) == _words(only_other) else "random"


def _words(ids: Sequence[str]) -> Counter[str]:
    """Return the words of tests' parameters, in whatever order."""
    return Counter(word for nodeid in ids for word in re.findall(r"[^\W_]+", nodeid.partition("[")[2]))


def _some(ids: Sequence[str]) -> str:
    more = f", and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(_short, ids[:_SHOWN])) + more


def _short(nodeid: str) -> str:
    text = visible(nodeid)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 40]} … {text[-37:]}"
