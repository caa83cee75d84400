"""Devices: which accelerators there are, how their vendor names them, how they fare."""

__all__ = ["cuda", "faults", "health", "pool", "probe", "visible"]
