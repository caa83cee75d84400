"""Devices: which accelerators there are, how their vendor names them, how they fare."""
