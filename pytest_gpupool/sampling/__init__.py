"""Sampling: what a test took of its devices and its process while it ran."""

__all__ = ["figures", "leftovers", "outside", "sampler"]
