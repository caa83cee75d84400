"""Wording: what texts of advice say in the same way. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from ..values.texts import duration_text
from .leases import Holds


def devices_text(holds: Holds) -> str:
    """Return what people call what was held: GPUs, or MIG instances."""
    kinds = {device.kind for device in holds.used()}
    return {frozenset({"gpu"}): "GPUs", frozenset({"mig"}): "MIG instances"}.get(frozenset(kinds), "devices")


def share_text(share: float) -> str:
    """Return ``12 %``."""
    return f"{100 * share:.0f} %"


def seconds_text(seconds: float) -> str:
    """Return ``1.5 s``, ``12 s``, ``3 min``."""
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)
