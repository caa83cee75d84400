"""Devices: which accelerators there are, how their vendor names them, how they fare."""

__all__ = ["cuda", "faults", "health", "nvml", "nvml_meter", "pool", "probe", "readings", "visible"]
