"""Foreground: a command as a person's shell runs it: its terminal, its signals, what it leaves behind."""

__all__ = ["job", "lease_wait", "leasing", "signals", "wishes"]
