"""Cli: the program ``gpupool``: arguments in, text and an exit status out."""

__all__ = ["main"]
