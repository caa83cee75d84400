"""Trends: what many runs tell together."""
