"""Outlook: a run before it begins: what it will be like, and how many devices would be enough."""

__all__ = ["expectation", "places"]
