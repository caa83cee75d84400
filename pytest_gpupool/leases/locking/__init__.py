"""Locking: what keeps others from a device: a lock on a file, and beside it a name that no cleaner can remove."""

__all__ = ["anchors", "holders", "lock_directory", "locks", "names", "version_0_1"]
