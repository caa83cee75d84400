"""Records: what a run did: appended once, folded into results, readable after any kill; nothing is judged here."""

__all__ = [
    "archive",
    "datatypes",
    "durations",
    "estimates",
    "journal",
    "record",
    "store",
    "wire",
]
