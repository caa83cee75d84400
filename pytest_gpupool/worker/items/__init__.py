"""Items: what a test says of itself: by its markers, parameters and id, the fixtures that it shares, its scripts."""

__all__ = ["identity", "markers", "params", "scripts", "seeds", "selection", "sweeps", "wide_fixtures"]
