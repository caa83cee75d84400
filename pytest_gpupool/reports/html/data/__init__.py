"""Data: what the page's script draws from, in compressed chunks."""

__all__ = ["attachments", "chunks", "items", "page", "parameters"]
