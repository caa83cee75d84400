"""Collecting: what workers have collected, which of it the run is to run, and what is said where they differ."""

__all__ = ["collected_tests", "plans", "run_tests"]
