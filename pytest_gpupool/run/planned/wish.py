"""The wish: what the program ``gpupool plan`` asks of pytest beyond what options can say, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

NAME = "gpupool-plan-wish"
"""As what it is among pytest's plugins."""

# Who asks has loaded part of the package before pytest has.
_QUIET = "ignore:Module already imported so cannot be rewritten. pytest_gpupool:pytest.PytestAssertRewriteWarning"


class Wish:
    """A time within which the run is to end, in seconds; and where the plan comes to, a dictionary, once it is made."""

    def __init__(self, target: float | None = None) -> None:
        self.target = target
        self.plan: Mapping[str, Any] | None = None


def ask_pytest(args: list[str], wish: Wish) -> int:
    """Run pytest with these arguments in this process, have it plan, and return its exit status."""

    class Registrar:
        """Brings the wish under its name."""

        def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
            if plugin is self:
                manager.register(wish, NAME)

    return int(pytest.main(["--gpupool-plan", f"-W{_QUIET}", *args], plugins=[Registrar()]))
