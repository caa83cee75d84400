"""Worker: the process that holds a lease and runs one test after the other."""

__all__ = ["earlier", "equipment", "fixtures", "items", "program", "recipes", "recorder", "remote"]
