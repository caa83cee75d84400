"""Items: the call ``gpupool items``: which items, as a table or in a format of machines."""

__all__ = ["command"]
