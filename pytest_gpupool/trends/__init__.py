"""Trends: what many runs tell together."""

__all__ = ["additions", "placement", "scaling_chart", "speedup", "store", "trend"]
