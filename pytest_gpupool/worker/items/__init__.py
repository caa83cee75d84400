"""Items: what a test says of itself: by markers, parameters, id, shared fixtures and scripts, with others and alone."""

__all__ = [
    "aggregates",
    "confirming",
    "identity",
    "markers",
    "params",
    "repeats",
    "scripts",
    "seeds",
    "sweeps",
    "wide_fixtures",
]
