"""Items: what tests say of single items, joined from all that says it, and which of them have flipped."""

__all__ = ["accepted", "flips", "page", "source"]
