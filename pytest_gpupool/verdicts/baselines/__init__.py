"""Baselines: what runs were accepted, in memory and in files.

``baseline`` has the entries; ``entries`` reads and writes them as text; ``cohort_files`` has the runs accepted since, a
file each; ``baseline_file`` loads, keeps and updates all of it.
"""

__all__ = [
    "baseline",
    "baseline_file",
    "cohort_files",
    "entries",
]
