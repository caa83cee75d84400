"""Causes: what reports say of tests that ran out of memory or whose device failed, with what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..records.result import TestResult
from ..values.outcomes import BAD, MACHINE, OUT_OF_MEMORY
from ..values.texts import size_text

MOST = 10
"""How many tests are named where there are more."""

Attempt = Mapping[str, Any]


def sentences(tests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each test of a report that has a cause, those that need a look first."""
    yield from _some((test["nodeid"], _attempts(test), test.get("declared_memory_bytes")) for test in tests)


def sentences_of(tests: Iterable[TestResult]) -> Iterator[str]:
    """Yield the same for results."""
    told = (test for test in tests if test.cause is not None or test.before)
    yield from _some((test.nodeid, [*test.before, test.to_attempt()], test.declared) for test in told)


def sentence(test: Mapping[str, Any]) -> str:
    """Return that of one test of a report, without its name; nothing where it has no cause."""
    return _words(_attempts(test), test.get("declared_memory_bytes"))


def attempt_texts(test: Mapping[str, Any]) -> list[str]:
    """Return what became of each attempt at a test, where there was more than one."""
    return [
        f"{one['attempt']}: {one['outcome']}, {one['cause'] or ''} in {one['worker'] or '–'}".replace(",  in", " in")
        for one in test.get("attempts", ())
    ]


def _some(tests: Iterable[tuple[str, Sequence[Attempt], int | None]]) -> Iterator[str]:
    told = [
        (attempts[-1]["outcome"] not in BAD, f"{nodeid} {words}")
        for nodeid, attempts, declared in tests
        if (words := _words(attempts, declared))
    ]
    yield from (text for _, text in sorted(told, key=lambda one: one[0])[:MOST])
    if len(told) > MOST:
        yield f"… and {len(told) - MOST} more tests that ran out of memory or whose device failed"


def _attempts(test: Mapping[str, Any]) -> Sequence[Attempt]:
    resources = test.get("resources") or {}
    peak = resources.get("peak_memory_bytes")
    alone = {
        **test,
        "peak_memory_bytes": resources.get("torch_peak_memory_bytes") if peak is None else peak,
        "rss_peak_bytes": resources.get("rss_peak_bytes"),
    }
    return test.get("attempts") or [alone]


def _words(attempts: Sequence[Attempt], declared: int | None) -> str:
    """Return ``ran out of memory in gw0 (peak 61.20 GiB, 8.00 GiB declared); tried again in gw3: passed``."""
    failed = [attempt for attempt in attempts if attempt.get("cause")]
    if not failed:
        return ""
    cause = failed[0]["cause"]
    where = " and ".join(dict.fromkeys(attempt["worker"] or "–" for attempt in failed if attempt["cause"] == cause))
    text = _TEXTS[cause].format(where=where, what=_memory(failed, declared) if cause == OUT_OF_MEMORY else "")
    last = attempts[-1]
    if last in failed:
        return f"{text}: {last['outcome']}"
    return f"{text}; tried again in {last['worker'] or '–'}: {last['outcome']}"


_TEXTS = {OUT_OF_MEMORY: "ran out of memory in {where} ({what})", MACHINE: "lost its device in {where}"}


def _memory(attempts: Sequence[Attempt], declared: int | None) -> str:
    peak = "its peak is not known"
    # Who was ended by the kernel had too much of the host's memory.
    host = all(attempt["outcome"] == "crashed" for attempt in attempts)
    key, whose = ("rss_peak_bytes", " of the host's memory") if host else ("peak_memory_bytes", "")
    if peaks := [attempt[key] for attempt in attempts if attempt.get(key) is not None]:
        peak = f"peak {size_text(max(peaks))}{whose}"
    return f"{peak}, {'nothing' if declared is None else size_text(declared)} declared"
