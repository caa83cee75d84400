"""Matrices: products of parameters in, tables of means out."""

__all__ = ["axes", "common", "labels", "parametrize", "pivot", "table"]
