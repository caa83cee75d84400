"""Values: frozen data that every wing shares; nothing here acts: no clock, no files, no pytest."""

__all__ = ["device", "errors", "messages", "orders", "outcomes", "requirement", "texts", "verdicts"]
