"""Matrices: products of parameters in, tables of means out."""

__all__ = ["labels", "parametrize", "pivot", "table"]
