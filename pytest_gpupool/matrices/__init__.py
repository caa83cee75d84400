"""Matrices: products of parameters in, tables of means out."""

__all__ = ["axes", "chart", "common", "labels", "parametrize", "pivot", "table"]
