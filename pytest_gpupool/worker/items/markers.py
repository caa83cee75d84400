"""Markers: what a test asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ...values.requirement import Requirement

_NOTHING_ASKED = Requirement()


def requirement_of(item: pytest.Item) -> Requirement:
    """Return what the test asks for by its markers. Raises MarkerProblem."""
    if "gpupool" not in item.keywords:  # far quicker than to walk the markers, and true of most tests
        return _NOTHING_ASKED
    asked = Requirement.from_markers((mark.args, mark.kwargs) for mark in item.iter_markers("gpupool"))
    if any(True for _ in item.iter_markers("skip")):  # it is not worth a worker of its size
        return replace(asked, gpus=_NOTHING_ASKED.gpus, memory=_NOTHING_ASKED.memory)
    return asked
