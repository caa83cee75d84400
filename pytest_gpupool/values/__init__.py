"""Values: frozen data that every wing shares; nothing here acts: no clock, no files, no pytest."""

__all__ = [
    "device",
    "errors",
    "messages",
    "nodeids",
    "orders",
    "outcomes",
    "process_id",
    "repeats",
    "requirement",
    "texts",
    "verdicts",
    "wide_fixture",
]
