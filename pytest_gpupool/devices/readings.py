"""Readings: what a device says again and again while it is used, in the same words for every vendor."""

from __future__ import annotations

from typing import NamedTuple


class Count(NamedTuple):
    """A counter as it stood at a moment, in seconds: its ``total``, or where there is none how fast it grows."""

    moment: float
    total: float | None = None
    rate: float | None = None


class Levels(NamedTuple):
    """What a device said at a moment: bytes, per cent, °C; None where it does not tell."""

    memory: int | None = None
    utilization: float | None = None
    temperature: float | None = None
    throttled: bool | None = None
