"""The environment of the process that the user started."""

from __future__ import annotations

import os

import pytest

from pytest_gpupool.run import environment


class Config:
    """A pytest.Config, as far as its end goes."""

    def __init__(self) -> None:
        self.cleanups: list[object] = []
        self.stash = pytest.Stash()

    def add_cleanup(self, func: object) -> None:
        """Be told what to do at the end."""
        self.cleanups.append(func)


def test_it_is_at_the_end_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("GPUPOOL_RUN", raising=False)
    config = Config()
    environment.set_until_end(config, {"CUDA_VISIBLE_DEVICES": "-1", "GPUPOOL_RUN": "a"})  # type: ignore[arg-type]
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["GPUPOOL_RUN"]) == ("-1", "a")
    (restore,) = config.cleanups
    assert callable(restore)
    restore()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert "GPUPOOL_RUN" not in os.environ
