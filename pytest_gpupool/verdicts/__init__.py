"""Verdicts: from metrics and a baseline to decisions; the only wing that speaks of chance."""

__all__ = ["acceptance", "baseline", "baseline_file", "compare", "comparison", "judge", "verdict"]
