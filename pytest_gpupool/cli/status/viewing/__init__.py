"""Viewing: the call ``gpupool view``: runs on record as pages at localhost, for the one who has the address."""

__all__ = ["command"]
