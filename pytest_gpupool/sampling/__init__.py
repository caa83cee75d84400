"""Sampling: what tests take of their devices and of this process, seen by a thread of its own."""
