"""Entries: what may stand in the text of a baseline file, and what is wrong with one.

People edit this file and merge it, so nothing in it is trusted; and as a misspelt tolerance would be a wrong verdict,
what is not known is refused. Everything that is wrong is said at once.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...records.datatypes import AMOUNT, FLAG, NAME, NUMBER, SAMPLE, TEXT, DataType
from ...records.shapes.metrics import METRIC

FORMAT = "gpupool-baseline"
VERSION = 1

_MOST_PROBLEMS = 5  # more than these are counted, not shown
_LONGEST = 60  # characters of a wrong value that are shown
_MARKER = re.compile(r"^(<{7}|>{7})( |\r?$)", re.MULTILINE)
# Lone surrogates, which no file can carry, and what editors take for the end of a line.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class BaselineProblem(ValueError):
    """The text of a baseline file is not what it must be; a line for each of the first few reasons."""


def read(text: str) -> list[dict[str, Any]]:
    """Return the entries of a baseline file as they stand there, each of which has what it must.

    Raises:
        BaselineProblem: it is damaged, of a newer version, half merged, or has entries that are not what they must be.
    """
    text = text.removeprefix("\ufeff")  # which some editors put there
    found = _entries(_decoded(text))
    places = _places(text, len(found))
    problems = [
        f"{place}{_about(data)}: {problem}"
        for place, data in zip(places, found, strict=True)
        for problem in _problems(data)
    ]
    problems += _doubles(places, found)
    if problems:
        more = [f"… and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise BaselineProblem("\n".join(problems[:_MOST_PROBLEMS] + more))
    return found


def encoded(value: Any) -> str:
    """Return a value as one line of JSON that people can read.

    Raises:
        ValueError: a number in it is not finite.
    """
    return _escaped(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_REQUIRED = ("test", "metric", "device", "value")


def _as_in_a_metric(name: str) -> DataType:
    return METRIC.keys[name].type


KEYS: Mapping[str, DataType] = {
    "test": NAME,
    "metric": NAME,
    "device": NAME,
    "value": NUMBER,
    "n": _as_in_a_metric("n"),
    "spread": AMOUNT,
    "unit": _as_in_a_metric("unit"),
    "higher_is_better": _as_in_a_metric("higher_is_better"),
    "atol": _as_in_a_metric("atol"),
    "rtol": _as_in_a_metric("rtol"),
    "commit": TEXT,
    "dirty": FLAG,
    "date": TEXT,
    "run": TEXT,
    "reason": TEXT,
    "samples": _as_in_a_metric("samples"),
}
"""What an entry may have, in the order of the file, and what each must be; null is as good as left out."""


def _decoded(text: str) -> Any:
    if not text.strip():
        raise BaselineProblem("it is empty: delete it, and a new one can be made")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except BaselineProblem:
        raise
    except json.JSONDecodeError as error:
        if marker := _MARKER.search(text):
            line = text.count("\n", 0, marker.start()) + 1
            raise BaselineProblem(f"line {line} is a conflict marker of git: finish the merge") from None
        raise BaselineProblem(f"line {error.lineno} is not JSON: {error.msg}") from None
    except ValueError:  # Python's limit for ints
        raise BaselineProblem("a number in it has too many digits") from None
    except RecursionError:
        raise BaselineProblem("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise BaselineProblem(f"an object in it has the key {_quoted(twice)} more than once: keep one of them")
    return data


def _entries(data: Any) -> list[Any]:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BaselineProblem(f'it is not a gpupool baseline, which begins with {{"format": "{FORMAT}"')
    version, entries = data.get("version"), data.get("entries")
    if type(version) is not int or version < 1:
        raise BaselineProblem(f'its "version" must be a whole number from 1, not {_quoted(version)}')
    if version > VERSION:
        raise BaselineProblem(f"it is of version {_quoted(version)}, written by a newer pytest-gpupool: update that")
    if not isinstance(entries, list):
        raise BaselineProblem('its "entries" must be a list')
    if unknown := sorted(data.keys() - {"format", "version", "entries"}):
        raise BaselineProblem(f"it has the key {_quoted(unknown[0])}, which a baseline does not have")
    return entries


def _places(text: str, count: int) -> list[str]:
    # Lines where it has one per entry, as we write it, else numbers.
    lines = text.rstrip().split("\n")[1:-1]
    if len(lines) == count and all(line.startswith("{") for line in lines):
        return [f"line {number + 2}" for number in range(count)]
    return [f"entry {number + 1}" for number in range(count)]


def _about(data: Any) -> str:
    names = [data.get(key) for key in ("test", "metric")] if isinstance(data, dict) else []
    known = [_quoted(name)[1:-1] for name in names if isinstance(name, str)]
    return f" ({', '.join(known)})" if known else ""


def _problems(data: Any) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"it must be an object, not {_quoted(data)}"
        return
    for key in _REQUIRED:
        if key not in data:
            yield f'it has no "{key}", which must be {KEYS[key].words}'
    for key, value in data.items():
        if key not in KEYS:
            yield f"it has the key {_quoted(key)}, which is none of {', '.join(KEYS)}"
        elif not KEYS[key].check(value) and (value is not None or key in _REQUIRED):
            yield f'"{key}" must be {KEYS[key].words}, not {_wrong(value)}'
    n, samples = data.get("n"), data.get("samples")
    if type(n) is int and isinstance(samples, list) and len(samples) != n >= 1:
        yield f'"n" is {_quoted(n)}, but it has {len(samples)} samples: correct "n", or leave out "samples"'


def _wrong(value: Any) -> str:
    # Of a long list of samples, the one that is wrong.
    wrong = [item for item in value if not SAMPLE.check(item)] if isinstance(value, list) else []
    return f"one with {_quoted(wrong[0])}" if wrong else _quoted(value)


def _quoted(value: Any) -> str:
    text = _escaped(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]}…{text[-1]}"


def _doubles(places: Sequence[str], found: Sequence[Any]) -> Iterator[str]:
    # Two branches that both add an entry leave both of them after a merge.
    first: dict[tuple[Any, ...], str] = {}
    for place, data in zip(places, found, strict=True):
        key = tuple(data.get(part) for part in _REQUIRED[:3]) if isinstance(data, dict) else ()
        if key and all(map(NAME.check, key)) and first.setdefault(key, place) is not place:
            yield f"{place}{_about(data)}: {first[key]} is for the same test, metric and device: keep one of them"
