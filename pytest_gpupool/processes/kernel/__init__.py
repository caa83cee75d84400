"""What the kernel tells of the host: its locks, its memory, the container that this is in."""

__all__ = ["containers", "locks", "memory"]
