"""Chunks: much data in little room, part by part."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from made_pages import details, page
from made_reports import a_metric, a_test

from pytest_gpupool.reports.html.data import chunks

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_packed_comes_out_again(content: Any) -> None:
    """From one line of characters that can stand in any page."""
    line = chunks.packed(content)
    assert not set("<>&\n\"'") & set(line)
    assert chunks.unpacked(line) == content


def test_things_are_packed_by_so_many() -> None:
    """The last chunk has what is left; nothing is no chunk."""
    text = chunks.joined(chunks.lines(range(7), 3))
    assert [chunks.unpacked(line) for line in chunks.split(text)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert chunks.split(chunks.joined(chunks.lines([], 3))) == []


def test_what_can_be_unfolded_is_packed_in_the_order_of_the_table() -> None:
    """All that the table without a script has of a test, and of tests that it has no room for."""
    tests = [a_test(f"t{n}", metrics=[a_metric("m", n)]) for n in range(250)]
    root = page(*tests, a_test("bad", "failed", message="why", output={"stdout": "so"}))
    found = details(root)
    assert len(found) == 251
    assert (found[0]["message"], found[0]["output"]) == ("why", [["stdout", "so"]])
    assert [test["judged"][0][:2] for test in found[1:]] == [["m", str(n)] for n in range(250)]
    assert len(root.findall(".//table[@class='tests no-memory']/tbody")) == 200
