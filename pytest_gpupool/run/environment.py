"""The environment of the process that the user started, as long as the run goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from ..options import role_end


def set_until_end(config: pytest.Config, values: Mapping[str, str]) -> None:
    """Set variables; at pytest's end each is again what it was, for a program that has called ``pytest.main``."""
    before = {name: os.environ.get(name) for name in values}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(values)
    role_end.at_end(config, restore)
