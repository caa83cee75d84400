"""Choosing: which of the tests that were collected run: as the user selects, this shard's, and what is left of them."""

__all__ = ["resume", "selection", "shard"]
