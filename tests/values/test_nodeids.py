"""The parts of a test's id."""

from __future__ import annotations

import pytest

from pytest_gpupool.values.nodeids import file_of, function_of, group_id, is_within, name_of, place_of


@pytest.mark.parametrize(
    ("nodeid", "file", "name", "function"),
    [
        ("a/test_b.py::test_c", "a/test_b.py", "test_c", "a/test_b.py::test_c"),
        ("test_b.py::TestD::test_c[x-1]", "test_b.py", "TestD::test_c[x-1]", "test_b.py::TestD::test_c"),
        ("test_b.py::test_c[a[0]::b]", "test_b.py", "test_c[a[0]::b]", "test_b.py::test_c"),
        ("v[2]/test_b.py::test_c[1]", "v[2]/test_b.py", "test_c[1]", "v[2]/test_b.py::test_c"),
        ("notes[1].txt", "notes[1].txt", "notes[1].txt", "notes[1].txt"),
        ("a/test_b.py (lr=1)", "a/test_b.py", "a/test_b.py (lr=1)", "a/test_b.py (lr=1)"),
        ("test_b.py::test_c (lr=1)", "test_b.py", "test_c (lr=1)", "test_b.py::test_c (lr=1)"),
    ],
)
def test_an_id_has_a_file_a_name_and_a_function(nodeid: str, file: str, name: str, function: str) -> None:
    """Brackets belong to a file's name before the first ``::``, and to the parameters from the first one after it."""
    assert (file_of(nodeid), name_of(nodeid), function_of(nodeid)) == (file, name, function)


@pytest.mark.parametrize("place", ["a", "a/test_b.py", "a/test_b.py::TestD", "a/test_b.py::TestD::test_c"])
def test_a_test_lies_within_its_function_class_file_and_folder(place: str) -> None:
    """Not within what only begins alike; what is called a group of one lies within nothing."""
    assert is_within("a/test_b.py::TestD::test_c[x]", place)
    assert not is_within("a2/test_b.py2::TestD2::test_c2[x]", place)
    assert not is_within(group_id(place, "x=1"), place)
    assert [place_of(one) for one in (group_id(place, "x=1 (y)"), place, "t.py::t[a (b)]")] == [
        place,
        place,
        "t.py::t[a (b)]",
    ]
