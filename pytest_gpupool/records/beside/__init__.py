"""Beside: what lies in files beside a run's records, in its directory: values, items, attachments."""

__all__ = ["attachments", "items", "names", "samples"]
