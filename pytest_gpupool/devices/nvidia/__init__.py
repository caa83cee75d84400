"""NVIDIA: NVML, and how CUDA names devices and fails."""

__all__ = ["vendor"]
