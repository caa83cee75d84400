"""For the tests that run pytest."""

from __future__ import annotations

import bytecode
import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_for_pytest(compiled: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No run of pytest compiles the package."""
    bytecode.compile_for_pytest(tmp_path_factory.mktemp("bytecode"))
