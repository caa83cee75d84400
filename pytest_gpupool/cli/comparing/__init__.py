"""Comparing: the calls that lay a run beside an older one, and what both of them read."""

__all__ = ["comment", "compare"]
