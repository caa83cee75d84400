"""CPU: which one this host has, how much of it this process may have, and whether programs have to wait for it."""

__all__ = ["limits", "model", "pressure"]
