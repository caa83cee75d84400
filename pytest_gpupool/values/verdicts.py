"""Verdicts: what may become of a metric beside its baseline."""

from __future__ import annotations

VERDICTS = ("ok", "improved", "regressed", "no-baseline", "contended", "invalid")
"""Every verdict that a metric may have in a report."""
