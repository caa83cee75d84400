"""Verdicts: from metrics and a baseline to decisions; the only wing that speaks of chance.

``of_run`` and ``compare`` take evidence from the results of a run, or a report; ``baseline`` has entries, with the runs
that were accepted since. ``decide`` judges all of it together, each metric by what ``chance`` finds of it beside its
accepted runs; ``verdict`` says it in a line.
"""

__all__ = [
    "acceptance",
    "baseline",
    "baseline_entries",
    "baseline_file",
    "compare",
    "comparison",
    "decide",
    "narrowing",
    "of_run",
    "verdict",
]
