"""Kinds: what a metric may be, which says by what test it is compared.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["proportion", "mean", "time", "rate", "size", "score"]
"""A share of items; a mean over items; a duration; something per time; an amount; one number of unknown noise."""

KINDS: tuple[Kind, ...] = get_args(Kind)
