"""Chance: one metric beside the accepted runs of it: tests of a difference, intervals, and the error over many."""

__all__ = ["cohort", "contrast", "intervals", "pooling", "shared_noise", "significance", "statistics"]
