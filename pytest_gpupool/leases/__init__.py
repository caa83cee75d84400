"""Leases: who may use which device now; no pytest, no vendor."""

__all__ = ["acquisition", "admission", "lease", "lock_directory", "occupancy"]
