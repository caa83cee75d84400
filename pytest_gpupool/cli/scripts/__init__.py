"""Scripts: the calls for scripts, and for what tests write."""

__all__ = ["logs", "sweep"]
