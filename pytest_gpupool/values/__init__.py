"""Values: frozen data that every wing shares; nothing here acts: no clock, no files, no pytest."""

__all__ = [
    "device",
    "errors",
    "kinds",
    "messages",
    "nodeids",
    "orders",
    "outcomes",
    "process_id",
    "requirement",
    "texts",
    "verdicts",
    "wide_fixture",
]
