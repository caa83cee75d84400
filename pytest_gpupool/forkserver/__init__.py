"""Forkserver: processes that start in milliseconds, forked from one that has imported what each of them needs."""

__all__ = ["client", "forked", "modules"]
