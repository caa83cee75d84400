"""Verdicts: from metrics and a baseline to decisions; the only wing that speaks of chance.

``of_run`` and ``compare`` take evidence from the results of a run, or a report; ``baselines`` has what was accepted.
``decide`` judges all of it together, each metric as a ``case`` by what ``chance`` finds of it beside its accepted runs;
``verdict`` says it in a line.
"""

__all__ = [
    "acceptance",
    "compare",
    "comparison",
    "decide",
    "narrowing",
    "of_run",
    "verdict",
]
