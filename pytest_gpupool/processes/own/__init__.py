"""Own: what is this process's alone, whatever its tests fork, or put in the place of the standard library."""

__all__ = ["clock", "events", "forks", "garbage", "handlers", "modules", "outbox", "parent", "programs", "system"]
