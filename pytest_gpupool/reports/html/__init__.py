"""HTML: the report as one page that needs nothing else."""

__all__ = ["document"]
