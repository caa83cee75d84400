"""The quick lane runs at every save: none of its tests starts pytest or a browser."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SLOW = ("runs", "browser", "neighbours", "gpu")
"""``gpu``: pytest on a real GPU, where there is one. It lies by itself since it is one command and one table."""

STARTS = re.compile(
    r"""host\.(pytest|start)\(|\bWatched\(|"-m", "pytest"[,\]]|pytest\.main\(|pytester|webdriver|Neighbour\("""
)


def test_what_starts_pytest_or_a_browser_is_in_the_slow_lane() -> None:
    """Below tests/runs, tests/browser, tests/neighbours or tests/gpu, which --quick leaves out."""
    found = {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("test_*.py")
        if STARTS.search(path.read_text(encoding="utf-8")) and path != Path(__file__)
    }
    assert {name for name in found if not name.startswith(SLOW)} == set()
    assert {name.split("/")[0] for name in found} == {*SLOW}
