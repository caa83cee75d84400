"""Worker: the process that holds a lease and runs one test after the other."""

__all__ = ["fixture_types", "fixtures", "plugins", "program", "remote"]
