"""Matrices: products of parameters in, tables of means out."""

__all__ = ["axes", "labels", "parametrize", "pivot", "table"]
