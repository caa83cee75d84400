"""Items: what a test says of itself: by its markers, its parameters, its id, and the fixtures that it shares."""

__all__ = ["identity", "markers", "params", "repeats", "wide_fixtures"]
