"""Logs: what each test writes, in files of the run's directory that can be followed while it runs."""

__all__ = ["captured", "captured_files", "last_words", "log_file", "place", "reading", "worker_logs"]
