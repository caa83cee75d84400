"""Logs: what each test writes, in files of the run's directory that can be followed while it runs."""

__all__ = ["worker_logs"]
