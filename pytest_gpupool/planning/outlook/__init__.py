"""Outlook: a run before it begins: by which rule it ends first, what it will be like, how many devices are enough."""

__all__ = ["choice", "expectation", "places"]
