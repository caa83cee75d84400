"""Engines: what places workers on other hosts, and the bytes there and back; knows neither pytest nor xdist."""

__all__ = ["engine", "engines", "node", "process"]
