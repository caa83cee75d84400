"""Single process: where pytest-xdist starts no workers, the one process is both controller and worker."""

__all__ = ["hooks"]
