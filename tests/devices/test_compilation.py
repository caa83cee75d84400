"""Where what torch and Triton compile is kept: shared where that is safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gpupool.devices.torch.compilation import shared_folder, variables
from pytest_gpupool.processes.kernel import containers
from pytest_gpupool.processes.kernel.containers import Mount


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_it_is_in_the_users_cache(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rules of the XDG base directories; nothing is made there before something is compiled."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert shared_folder({}) == home / ".cache" / "pytest-gpupool"
    assert shared_folder({"XDG_CACHE_HOME": str(home / "x" / "y")}) == home / "x" / "y" / "pytest-gpupool"
    assert not list(home.iterdir())
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("how", ["writable", "network", "relative", "no-directory", "link"])
def test_else_among_temporary_files(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Where others could write to it, or it is on a network; for this user alone."""
    home = tmp_path / "home"
    home.mkdir()
    if how == "writable":
        home.chmod(0o777)
    if how == "no-directory":
        (home / "pytest-gpupool").touch()
    if how == "link":
        (tmp_path / "other").mkdir()
        (home / "pytest-gpupool").symlink_to(tmp_path / "other")
    if how == "network":
        kinds = iter(["nfs4", "ext4"])
        mount = lambda _: Mount((0, 1), "/", "/", next(kinds))  # noqa: E731
        monkeypatch.setattr(containers, "mount_of", mount)
    found = shared_folder({"XDG_CACHE_HOME": "cache" if how == "relative" else str(home)})
    assert found == temporary / f"pytest-gpupool-{os.geteuid()}"
    assert found.stat().st_mode & 0o777 == 0o700


def test_none_where_somebody_was_there_before(tmp_path: Path, temporary: Path) -> None:
    """What lies there would be loaded as code."""
    (temporary / f"pytest-gpupool-{os.geteuid()}").mkdir()
    (temporary / f"pytest-gpupool-{os.geteuid()}").chmod(0o777)
    assert shared_folder({"XDG_CACHE_HOME": "relative"}) is None
    (temporary / f"pytest-gpupool-{os.geteuid()}").rmdir()
    (temporary / f"pytest-gpupool-{os.geteuid()}").symlink_to(tmp_path)
    assert shared_folder({"XDG_CACHE_HOME": "relative"}) is None


def test_what_the_user_has_set_stays() -> None:
    """Torch puts Triton's folder into its own, where that is the user's."""
    folder = Path("/x")
    inductor, triton = {"TORCHINDUCTOR_CACHE_DIR": "/x/inductor"}, {"TRITON_CACHE_DIR": "/x/triton"}
    assert variables(folder, {}) == inductor | triton
    assert variables(folder, {"TRITON_CACHE_DIR": "/mine"}) == inductor
    assert variables(folder, {"TORCHINDUCTOR_CACHE_DIR": "/mine"}) == {}
