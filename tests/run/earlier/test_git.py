"""What a report says of the sources: the commit, and whether they have been changed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpupool.run.earlier.git import GitProblem, tree


def is_dirty(folder: Path, *ignoring: Path) -> bool:
    """Whether the working tree has changes, all but to these files."""
    found = tree(folder)
    assert found is not None
    assert len(found.commit) == 40
    return found.is_dirty(ignoring)


def git(folder: Path, *args: str) -> None:
    """Call git as a user of no configuration."""
    whole = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *args]
    subprocess.run(whole, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a project in a folder of it, as it was committed."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / ".gitignore").write_text("ignored/\n")
    (tmp_path / "library.py").write_text("")
    (folder / "test_a.py").write_text("")
    (folder / "baseline.json").write_text("{}")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return folder


def write(name: str) -> Callable[[Path], object]:
    """A change: this file is written."""

    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")

    return change


def staged(*names: str) -> Callable[[Path], object]:
    """A change: these files are written, and git is told."""

    def change(folder: Path) -> None:
        for name in names:
            write(name)(folder)
        git(folder, "add", ".")

    return change


def moved(folder: Path) -> None:
    """The baseline has another name, and git is told."""
    git(folder, "mv", "baseline.json", "other.json")


def environment(folder: Path) -> None:
    """Packages are installed beside the project, as README's first command does it, where nobody ignores that."""
    write("../.venv/pyvenv.cfg")(folder)
    write("../.venv/lib/python3.11/site-packages/package/module.py")(folder)


CLEAN: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "the baseline": write("baseline.json"),
    "the baseline in the index": staged("baseline.json"),
    "the baseline is gone": lambda folder: (folder / "baseline.json").unlink(),
    "results": write("results/1.json"),
    "ignored": write("ignored/a.py"),
    "a virtual environment": environment,
}
DIRTY: dict[str, Callable[[Path], object]] = {
    "a test": write("test_a.py"),
    "beside the project": write("../library.py"),
    "with the baseline": staged("baseline.json", "test_a.py"),
    "the baseline was moved": moved,
    "a name of its own": staged("a b\né.txt"),
    "no text": staged(os.fsdecode(b"\xff.txt")),
    "gone": lambda folder: (folder / "test_a.py").unlink(),
    "a new test": write("test_b.py"),
    "a conftest in a new folder": write("new/deep/conftest.py"),
    "beside the project, new": write("../pyproject.toml"),
    "a configuration": write("pytest.ini"),
}


@pytest.mark.parametrize("change", CLEAN.values(), ids=CLEAN)
def test_what_makes_no_tree_dirty(project: Path, change: Callable[[Path], object]) -> None:
    """An update of the baseline says nothing of what the next run measures; nor do files that are no sources."""
    change(project)
    assert is_dirty(project, project / "baseline.json") is False


@pytest.mark.parametrize("change", DIRTY.values(), ids=DIRTY)
def test_what_makes_a_tree_dirty(project: Path, change: Callable[[Path], object]) -> None:
    """Sources that git does not know count; so do all files that it knows, whatever their names."""
    change(project)
    assert is_dirty(project, project / "baseline.json") is True


def test_without_a_baseline_nothing_is_left_out(project: Path) -> None:
    """Its path may be a symlink, too, or lie elsewhere."""
    write("baseline.json")(project)
    link = project / "ignored" / "link.json"
    link.parent.mkdir()
    link.symlink_to(project / "baseline.json")
    assert is_dirty(project) is True
    assert is_dirty(project, link) is False
    assert is_dirty(project, Path("/nowhere/baseline.json")) is True


def test_no_repository(tmp_path: Path) -> None:
    """Nothing is known."""
    assert tree(tmp_path) is None


def test_no_commit(tmp_path: Path) -> None:
    """As little."""
    git(tmp_path, "init", "-q")
    assert tree(tmp_path) is None


def test_no_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As little, though the repository is there."""
    monkeypatch.setenv("PATH", str(project))
    assert tree(project) is None


def test_a_repository_of_another_user(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git refuses it, and says what to do."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(GitProblem) as raised:
        tree(project)
    assert str(raised.value) == (
        f"detected dubious ownership in repository at '{project.parent}'; "
        f"git config --global --add safe.directory {project.parent}"
    )
