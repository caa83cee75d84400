"""Worker: the process that holds a lease and runs one test after the other."""

__all__ = ["equipment", "fixtures", "items", "plugins", "program", "remote", "resume"]
