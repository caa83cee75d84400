"""Which instances of fixtures tests share, as pytest itself collects them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.items.wide_fixtures import WideFixtures, param_text


@pytest.fixture(scope="module", params=["m0", "m1"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(model: str) -> str:
    return model


@pytest.fixture
def own(server: str) -> str:
    return server


class TestOfAnItem:
    """Each with what it depends on."""

    @pytest.mark.parametrize("shots", [1, 5])
    def test_wide_ones(self, request: pytest.FixtureRequest, own: str, shots: int, tmp_path: Any) -> None:
        """With the parameters of what they request; none of pytest's."""
        module = request.node.getparent(pytest.Module).nodeid
        found = [one for one in WideFixtures().of(request.node) if one.name != "compiled"]  # the conftest.py's
        assert {(one.name, one.params, one.node) for one in found} == {("model", own, module), ("server", own, module)}
        assert {one.key for one in found} == {f"{module}::model[{own}]", f"{module}::server[{own}]"}

    def test_the_same_for_all_that_share_it(self, request: pytest.FixtureRequest, own: str) -> None:
        """So that they can be compared."""
        finder = WideFixtures()
        assert finder.of(request.node) is finder.of(request.node)


@pytest.mark.parametrize(
    ("value", "text"),
    [("m0", "m0"), (3, "3"), (0.5, "0.5"), (True, "True"), ("a\nb", "a\\nb"), (None, "#2"), ([1], "#2"), ("", "#2")],
)
def test_a_parameter_is_told_by_its_value_or_its_number(value: object, text: str) -> None:
    assert param_text(value, 2) == text


def test_a_long_one_is_told_by_both() -> None:
    """Two that begin alike are two."""
    assert param_text("x" * 100, 7) == f"{'x' * 59}…#7"
