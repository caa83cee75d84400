"""Leased: what goes with the lease that a worker holds: the cores near it, the gate before it, who finds it."""

__all__ = ["affinity", "equipment", "gate", "placed"]
