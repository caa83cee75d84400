"""Dispatch: which worker is given which test: next, queued ahead, stolen from another, again, or alone."""

__all__ = ["dispatcher", "pace", "reruns", "serial", "stealing"]
