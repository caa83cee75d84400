"""Torch: what the framework has of devices in this process, asked without loading it."""

__all__ = ["clock", "compilation", "memory", "presence"]
