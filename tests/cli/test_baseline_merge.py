"""Branches that update different tests of a baseline merge without a conflict."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_gpupool.cli.main import main
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.baselines.baseline_file import load, save, update
from pytest_gpupool.verdicts.baselines.cohort_files import Addition
from pytest_gpupool.verdicts.chance.cohort import Measurement

ENTRIES = tuple(
    Entry(test=f"test_{name}.py::test_it[{k}]", metric="accuracy", device="NVIDIA H200", value=0.75, n=4)
    for name in "ab"
    for k in range(4)
)


@dataclass(frozen=True)
class Changed:
    """What an update is told to write."""

    entries: tuple[Entry, ...]
    additions: tuple[Addition, ...]
    removed: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Clone:
    """A clone of a project with a baseline."""

    path: Path

    def git(self, *args: str, status: int = 0) -> str:
        told = ["git", "-C", str(self.path), "-c", "user.name=a", "-c", "user.email=a@b", *args]
        done = subprocess.run(told, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    @property
    def file(self) -> Path:
        return self.path / "evals" / "baseline.json"

    def branch(self, name: str, value: float, *numbers: int) -> None:
        """On a branch of its own, accept another value of these entries, from a run of its own."""
        self.git("switch", "-q", "-c", name, "main")
        run = f"20261121T10000{len(name)}Z-{len(name):06x}"
        new = [replace(ENTRIES[k], value=value, run=run, commit=name, reason=f"for {name}") for k in numbers]
        told = {"run": run, "commit": name, "date": "2026-11-21T10:00:00Z", "reason": f"for {name}"}
        additions = [Addition(entry=one, found=Measurement(value=value, n=4), **told) for one in new]  # type: ignore[arg-type]
        update(self.file, lambda _: Changed(tuple(new), tuple(additions)))
        self.git("add", ".")
        self.git("commit", "-qm", name)

    def values(self) -> list[tuple[float, str]]:
        """Of each entry its value, and why it was accepted."""
        return [(entry.value, entry.reason) for entry in load(self.file).entries]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / "evals").mkdir()
    made = Clone(tmp_path)
    made.git("init", "-q", "-b", "main")
    save(made.file, Baseline(ENTRIES))
    made.git("add", ".")
    made.git("commit", "-qm", "first")
    return made


def test_git_alone_merges_what_does_not_touch(clone: Clone) -> None:
    """The files of runs, which are each branch's own, and lines with another one between them."""
    clone.branch("one", 0.5, 1)
    clone.branch("other", 1.0, 3, 6)
    clone.git("merge", "-q", "--no-edit", "one")
    expected = [(0.75, "")] * 8
    expected[1], expected[3], expected[6] = (0.5, "for one"), (1.0, "for other"), (1.0, "for other")
    assert clone.values() == expected


def test_the_driver_merges_entry_by_entry(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """Also lines beside each other, and the last one, after which a comma comes and goes."""
    assert main(["baseline", "merge", "--install", str(clone.file)]) == 0
    assert main(["baseline", "merge", "--install", str(clone.file)]) == 0
    assert (clone.path / "evals" / ".gitattributes").read_text() == "baseline.json merge=gpupool-baseline\n"
    assert "git merges" in capsys.readouterr().out
    assert sys.executable in clone.git("config", "merge.gpupool-baseline.driver")
    clone.git("add", ".")
    clone.git("commit", "-qm", "attributes")
    clone.branch("one", 0.5, 0, 2, 4, 6)
    clone.branch("other", 1.0, 1, 3, 5, 7)
    clone.git("merge", "-q", "--no-edit", "one")
    assert clone.values() == [(0.5, "for one"), (1.0, "for other")] * 4
    clone.branch("both", 0.25, 2)
    clone.git("switch", "-q", "one")
    clone.git("merge", "-q", "both", status=1)
    text = clone.file.read_text()
    assert [text.count(mark) for mark in ("<<<<<<< ours\n", "\n=======\n", "\n>>>>>>> theirs\n")] == [1, 1, 1]
    assert main(["baseline", "show", str(clone.file)]) == 4
    assert "is a conflict marker of git: finish the merge" in capsys.readouterr().err


def test_what_cannot_be_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, and nothing is written."""
    for name in ("base", "ours", "theirs"):
        (tmp_path / name).write_text("")
    (tmp_path / "theirs").write_text("{")
    files = [str(tmp_path / name) for name in ("base", "ours", "theirs")]
    assert main(["baseline", "merge", *files]) == 4
    assert f"the baseline file {files[2]} cannot be merged: line 1 is not JSON" in capsys.readouterr().err
    assert main(["baseline", "merge", *files[:2]]) == 4
    assert main(["baseline", "merge", "--install", str(tmp_path / "b.json")]) == 4
    assert "git cannot be told to merge" in capsys.readouterr().err
    assert (tmp_path / "ours").read_text() == ""
