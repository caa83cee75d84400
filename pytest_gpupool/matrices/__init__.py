"""Matrices: products of parameters in, tables of means out."""
