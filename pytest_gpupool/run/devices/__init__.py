"""Devices: what the workers of one run may hold, on this host or on those of a cluster."""

__all__ = ["cluster", "find", "run_devices"]
