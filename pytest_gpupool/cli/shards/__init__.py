"""Shards: the calls that make one run of those of several machines."""

__all__ = ["merge", "pack"]
