"""Shards: the calls that bring together what several machines have."""

__all__ = ["ingest", "merge", "pack"]
