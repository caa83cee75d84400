"""Comparing: two runs side by side, as one page that needs nothing else."""

__all__ = ["page", "runs"]
