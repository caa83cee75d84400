"""What the user is told, as far as no terminal is needed for it; tests/runs sees the rest."""

from __future__ import annotations

import pytest

from pytest_gpupool.run.console import first_few


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
        (list("abcdefg"), "a, b, c and 4 more"),
    ],
)
def test_a_warning_names_three_and_counts_the_rest(names: list[str], text: str) -> None:
    assert first_few(names) == text
