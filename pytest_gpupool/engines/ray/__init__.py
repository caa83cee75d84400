"""Ray: one actor for each worker, which Ray places; this process is the one driver, and has no port of ours."""

__all__ = ["engine"]
