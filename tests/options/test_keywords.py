"""What ``-k`` does not take is told as what ``--gpupool-select`` does."""

from __future__ import annotations

import pytest

from pytest_gpupool.options.collection import as_selection


@pytest.mark.parametrize(
    ("keyword", "told"),
    [
        ("lr=0.001", "--gpupool-select lr=0.001"),
        ("lr=0.001 and model == a", "--gpupool-select lr=0.001,model=a"),
        ("(lr=1e-3) or lr=0.1", "--gpupool-select lr=1e-3 --gpupool-select lr=0.1"),
        ("not lr=0.1", "--gpupool-select lr!=0.1"),
        ("test_train and lr=0.1", "--gpupool-select lr=0.1, beside a -k without it"),
        ("lr=", "--gpupool-select NAME=VALUE"),
    ],
)
def test_a_parameter_in_a_keyword(keyword: str, told: str) -> None:
    """Each can be given as it is told."""
    assert as_selection(keyword) == told
