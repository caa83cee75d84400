"""Trends: what many runs tell together."""

__all__ = ["additions", "facts", "placement", "scaling_chart", "speedup", "store", "trend"]
