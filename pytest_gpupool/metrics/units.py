"""Units: which of them are of a time or of a rate, so that what else a device does changes what is measured in them.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import functools
import re
import unicodedata

_SYMBOLS = frozenset({"s", "ms", "us", "μs", "ns", "ps", "min", "h", "d"})
"""Of times, exactly so: ``S``, ``MS``, ``H`` and ``D`` are other things."""

_PLAIN = frozenset({"ms", "us", "μs", "ns"})
"""Those that mean nothing else, whatever follows: ms p99."""

_LONG = ("second", "millisecond", "microsecond", "nanosecond", "minute", "hour", "day", "week")
_SHORT = ("sec", "msec", "usec", "nsec", "hr")
_WORDS = frozenset({*_LONG, *_SHORT, "mins"} | {f"{word}s" for word in (*_LONG, *_SHORT)})
"""Of times, in any case."""

_RATES = frozenset({"fps", "qps", "rps", "tps", "ips", "cps", "wps", "sps", "rpm", "bpm", "wpm", "mph", "kph"})
"""In any case, as are those with a prefix."""

_RATE = re.compile(r"[kmgtpez]?(hz|flops|bps|iops)|[kmgt]i?b(it)?ps")
_COUNT = re.compile(r"[A-Z]*FLOPs")  # operations, where FLOPS are operations per second
_OPERATIONS = re.compile(r"[KMGTPE]?OPS|MIPS")

_HOLDERS = frozenset({"gpu", "cpu", "core", "node", "device"})  # GPU-h, node h

_PLURAL = re.compile(r"(?<=\w)\(s\)")  # step(s)
_BETWEEN = re.compile(r"[/·⋅×*()\[\],;]|\bper\b", re.IGNORECASE)
_POWER = re.compile(r"(\^-?|[-−])\d+$")


@functools.lru_cache(maxsize=1024)
def is_timed(unit: str) -> bool:
    """Say whether a unit is one of time (``ms``, ``GPU hours``), or has one (``tokens/s``, ``s/it``, ``TFLOPS``)."""
    text = unit if unit.isascii() else unicodedata.normalize("NFKC", unit)  # of μ and of ¹ there are two
    first, *others = _BETWEEN.split(_PLURAL.sub("", text).replace("_", " "))
    return _is_time(first) or any(_is_time(part) or _begins(part) for part in others)


def is_time(unit: str) -> bool:
    """Say whether a unit is a known one of time itself: ``ms``, ``seconds``; not ``ms p99``, nor ``tokens/s``."""
    text = unit if unit.isascii() else unicodedata.normalize("NFKC", unit)
    return _is_symbol_or_word(text)


def _is_time(part: str) -> bool:
    if any(_is_symbol_or_word(_POWER.sub("", word)) for word in part.split() if _POWER.search(word)):
        return True
    words = _words(part)
    if len(words) < 2:
        return any(_is_symbol_or_word(word) or _is_rate(word) for word in words)
    held = words[-1] in _SYMBOLS and words[-2].lower() in _HOLDERS
    return held or words[0] in _PLAIN or words[0].lower() in _WORDS or words[-1].lower() in _WORDS


def _begins(part: str) -> bool:
    # tokens/s decoding: what follows is a remark, where in a unit's first part it may be an h index.
    return _words(part)[:1] in (["s"], ["h"])


def _words(part: str) -> list[str]:
    # Without numbers: 100 ms.
    return [word for word in re.split(r"[\s^-]+", part) if word.strip("0123456789.,")]


def _is_symbol_or_word(word: str) -> bool:
    return word in _SYMBOLS or word.lower() in _WORDS


def _is_rate(word: str) -> bool:
    if _COUNT.fullmatch(word):
        return False
    known = word.lower() in _RATES or _RATE.fullmatch(word.lower())
    return bool(known or _OPERATIONS.fullmatch(word))
