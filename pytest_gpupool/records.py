"""Records: what a line of a journal may be, and the order in which a run's journals are folded.

Pure: standard library only, no clock, no files. What the kinds of record mean is in :mod:`results`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from .outcomes import OUTCOMES

Record = Mapping[str, Any]
Check = Callable[[object], bool]

VERSION = 1
"""Of the records. A reader takes what it knows of a newer one, and says so."""


def is_sound(record: object) -> bool:
    """Say whether a line's value is a record that can be folded; one of a kind unknown here is, and changes nothing."""
    if not isinstance(record, dict) or not isinstance(record.get("record"), str):
        return False
    return _fits(record, _SHAPES.get(record["record"], {}))


def in_order(journals: Iterable[Iterable[Record]]) -> Iterable[Record]:
    """Yield the records of a run's journals as they are to be folded.

    Each journal is in the order of its own writer alone. What was collected comes first, then the attempts by the time
    at which they began, since a test may have run again on another worker, then what the controller said of them.
    """
    first: list[Record] = []
    last: list[Record] = []
    attempts: list[tuple[str, list[Record]]] = []
    for journal in journals:
        open_attempts: dict[str, list[Record]] = {}  # of this journal, by test
        for record in journal:
            kind = record["record"]
            if kind == "start":
                begun = open_attempts[record["test"]] = [record]
                attempts.append((record["started"], begun))
            elif kind in ("metric", "end"):
                open_attempts.get(record["test"], last).append(record)
            else:
                (first if kind in _FIRST else last).append(record)
    yield from first
    attempts.sort(key=lambda attempt: attempt[0], reverse=True)
    while attempts:  # which frees each as it goes
        yield from attempts.pop()[1]
    yield from last


_FIRST = frozenset({"journal", "collected", "kept", "worker", "replaces"})


def _fits(value: Mapping[str, Any], shape: Mapping[str, Check]) -> bool:
    return all(check(value.get(key)) for key, check in shape.items())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not value.endswith("Z"):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_outcome(value: object) -> bool:
    return value in OUTCOMES if isinstance(value, str) else False


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_seconds(value: object) -> bool:
    return isinstance(value, dict) and all(item is None or _is_number(item) for item in value.values())


def _are_tests(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], dict)
        for item in value
    )


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_metric(value: object) -> bool:
    return isinstance(value, dict) and _fits(value, _METRIC)


def _are_metrics(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_metric, value))


def _is_result(value: object) -> bool:
    return isinstance(value, dict) and _fits(value, _RESULT)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_METRIC: Mapping[str, Check] = {
    "name": _is_text,
    "value": _or_none(_is_number),
    "non_finite": _or_none(_is_text),
    "unit": _is_text,
    "higher_is_better": _or_none(_is_flag),
    "n": _or_none(_is_whole),
    "atol": _or_none(_is_number),
    "rtol": _or_none(_is_number),
    "verdict": _or_none(_is_text),
}

_RESULT: Mapping[str, Check] = {
    "params": _is_map,
    "outcome": _is_outcome,
    "attempt": _is_whole,
    "worker": _or_none(_is_text),
    "devices": _are_texts,
    "started": _or_none(_is_time),
    "ended": _or_none(_is_time),
    "duration_s": _or_none(_is_number),
    "phases": _are_seconds,
    "metrics": _are_metrics,
    "message": _or_none(_is_text),
    "torch_peak": _or_none(_is_whole),
    "recipe": _or_none(_is_text),
}

_OF_TEST: Mapping[str, Check] = {"worker": _is_text, "test": _is_text}
_CUT_OFF: Mapping[str, Check] = {**_OF_TEST, "ended": _is_time, "message": _is_text, "started": _or_none(_is_time)}

_SHAPES: Mapping[str, Mapping[str, Check]] = {
    "journal": {"version": _is_whole},
    "collected": {"worker": _is_text, "tests": _are_tests},
    "collect-error": {"where": _is_text},
    "kept": {"test": _is_text, "run": _is_text, "result": _is_result},
    "worker": {
        "worker": _is_text,
        "host": _is_text,
        "pid": _is_whole,
        "devices": _are_texts,
        "lease_wait_s": _is_number,
        "started": _is_time,
    },
    "start": {**_OF_TEST, "devices": _are_texts, "started": _is_time, "recipe": _or_none(_is_text)},
    "metric": {**_OF_TEST, "metric": _is_metric},
    "end": {
        **_OF_TEST,
        "outcome": _is_outcome,
        "phases": _are_seconds,
        "duration_s": _is_number,
        "ended": _is_time,
        "message": _or_none(_is_text),
        "torch_peak": _or_none(_is_whole),
    },
    "crash": _CUT_OFF,
    "timeout": _CUT_OFF,
    "quarantined": {"device": _is_text, "reason": _is_text},
    "worker-end": {"worker": _is_text, "ended": _is_time, "exit": _is_text},
    "replaces": {"worker": _is_text, "dead": _is_text},
    "run-end": {"ended": _is_time, "exit_status": _is_whole},
    "journal-problem": {"worker": _is_text, "text": _is_text},
}
