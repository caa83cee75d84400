"""Devices: which accelerators there are, how their vendor names them, how they fare."""

__all__ = ["failures", "health", "pool", "probe", "readings", "vendor", "vendors"]
