"""Metrics: from what a test says to a typed measurement, and how one is written for people."""

__all__ = [
    "aggregate",
    "costs",
    "groups",
    "kinds",
    "measurement",
    "median",
    "metric",
    "repeated",
    "sample",
    "units",
    "wording",
]
