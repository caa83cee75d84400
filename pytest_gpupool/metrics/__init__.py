"""Metrics: from what a test says to a typed measurement, and how one is written for people."""

__all__ = ["kinds", "measurement", "median", "metric", "repeated", "units", "wording"]
