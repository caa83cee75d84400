"""Ranks share the threads of their test."""

from __future__ import annotations

import pytest

from pytest_gpupool.script.ranks.job import shares
from pytest_gpupool.worker.items.scripts import own_threads


def test_each_rank_has_its_share() -> None:
    """And one at least."""
    assert shares({"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "1"}, 3) == {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "1",
    }


def test_what_the_user_has_set_is_not_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run, or in the test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    monkeypatch.delenv("TORCHINDUCTOR_COMPILE_THREADS", raising=False)
    given = {"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "8"}
    assert own_threads(given) == {"OMP_NUM_THREADS": "8"}
    assert own_threads({}) == {}
