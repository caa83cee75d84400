"""Queueing: in which order those come that wait for devices, and how they learn that one is free."""

__all__ = ["fairness", "tickets", "turns", "wakeups"]
