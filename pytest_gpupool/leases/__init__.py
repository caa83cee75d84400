"""Leases: who may use which device now. No pytest, no vendor."""
