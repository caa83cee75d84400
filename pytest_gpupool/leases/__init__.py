"""Leases: who may use which device now; no pytest, no vendor."""

__all__ = ["lease"]
