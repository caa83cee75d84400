"""What a test says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.items.identity import tell_apart


class Named(pytest.Item):
    """A test of any id."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def runtest(self) -> None:
        """Nothing."""


def items(request: pytest.FixtureRequest, *names: str) -> list[pytest.Item]:
    """Tests of these names."""
    return [Named.from_parent(request.session, name=name) for name in names]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "b", "a", "a"], ["a", "b", "a #2", "a #3"]),
        (["a", "a #2", "a"], ["a", "a #2", "a #3"]),
        (["a", "a", "a #2"], ["a", "a #3", "a #2"]),
        ([], []),
    ],
)
def test_no_two_tests_have_one_id(request: pytest.FixtureRequest, names: list[str], ids: list[str]) -> None:
    """The second is numbered, unless another one has that name; a second time nothing changes."""
    found = items(request, *names)
    tell_apart(found)
    assert [item.nodeid.removeprefix("::") for item in found] == ids
    tell_apart(found)
    assert [item.nodeid.removeprefix("::") for item in found] == ids
