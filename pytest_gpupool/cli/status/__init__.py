"""Status: who has, uses and waits for the devices of this host, as people and programs read it."""

__all__ = ["document", "screen", "table"]
