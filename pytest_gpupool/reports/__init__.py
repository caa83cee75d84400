"""Reports: one dictionary in, one document out."""

__all__ = ["columns", "comparison", "json", "junit", "markdown", "publish", "scaling", "schema", "terminal", "words"]
