"""Live: what people see while a run goes on."""

__all__ = ["plugin"]
