"""Reports: one dictionary in, one document out."""

__all__ = [
    "columns",
    "comparison",
    "json",
    "junit",
    "junit_limits",
    "markdown",
    "publish",
    "scaling",
    "schema",
    "words",
]
