"""Items: what a test says of itself: by its markers, parameters and id, the fixtures that it shares, its scripts."""

__all__ = [
    "confirming",
    "identity",
    "markers",
    "params",
    "repeats",
    "scripts",
    "seeds",
    "selection",
    "sweeps",
    "wide_fixtures",
]
