"""AMD: amdsmi, and how ROCm names devices and fails."""

__all__ = ["vendor"]
