"""Options: what the user typed, and what this process is to be; the only reader of pytest's options."""

__all__ = [
    "collection",
    "companions",
    "declarations",
    "files",
    "options",
    "parsing",
    "role",
    "role_end",
    "scope",
    "worker_count",
]
