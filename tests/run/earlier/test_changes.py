"""Which sources are others than an earlier run had: between the commits, and in the working tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_git import git

from pytest_gpupool.records.archive import Plan
from pytest_gpupool.run.earlier import changes
from pytest_gpupool.run.earlier.changes import UnknownChanges
from pytest_gpupool.run.earlier.git import tree


class Project:
    """A repository with a project in a folder of it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = top / "project"
        self.root.mkdir()
        git(top, "init", "-q")
        self.write("library.py")
        self.write("project/model.py")
        self.write("project/test_a.py")
        self.write("project/README.md")
        self.write("project/data.csv")
        self.commit()

    def write(self, name: str, text: str = "") -> None:
        """Write a file, by its path from the top."""
        (self.top / name).write_text(text)

    def commit(self) -> None:
        """Commit all that there is."""
        git(self.top, "add", "-A")
        git(self.top, "commit", "-qm", "one more")

    def plan(self) -> Plan:
        """What a run that begins now writes down."""
        found = tree(self.root)
        assert found is not None
        return Plan(facts={"git": found.facts([])}, sources=changes.beside_commit(found))

    def since(self, plan: Plan, *ignoring: str) -> list[str]:
        """What has changed since, where recipes cover test files."""
        paths = [self.top / name for name in ignoring]
        return changes.since(plan, self.root, is_covered=lambda name: name.startswith("test_"), ignoring=paths)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """As it was committed."""
    return Project(tmp_path)


def test_nothing(project: Project) -> None:
    """Nor where all is committed that was in the tree."""
    plan = project.plan()
    assert project.since(plan) == []
    project.write("project/model.py", "1")
    project.write("project/new.py", "1")
    plan = project.plan()
    assert project.since(plan) == []
    project.commit()
    assert project.since(plan) == []


def test_in_the_tree(project: Project) -> None:
    """What git knows, data too, and new modules; beside the project, too."""
    plan = project.plan()
    project.write("library.py", "1")
    project.write("project/data.csv", "1")
    project.write("project/new.py", "1")
    project.write("project/results.csv", "1")
    (project.top / "project" / "model.py").unlink()
    assert project.since(plan) == ["library.py", "project/data.csv", "project/model.py", "project/new.py"]


def test_between_the_commits(project: Project) -> None:
    """One that is taken back is none."""
    plan = project.plan()
    project.write("project/model.py", "1")
    project.commit()
    assert project.since(plan) == ["project/model.py"]
    project.write("project/model.py")
    assert project.since(plan) == []


def test_what_was_changed_before_and_is_not_now(project: Project) -> None:
    """The run had another file than there is."""
    project.write("project/model.py", "1")
    project.write("project/new.py", "1")
    plan = project.plan()
    project.write("project/model.py")
    (project.top / "project" / "new.py").unlink()
    assert project.since(plan) == ["project/model.py", "project/new.py"]


def test_what_does_not_count(project: Project) -> None:
    """Documents, what a recipe covers, and what the run itself writes."""
    plan = project.plan()
    for name in ("project/README.md", "project/test_a.py", "project/test_new.py", "project/data.csv"):
        project.write(name, "1")
    assert project.since(plan, "project/data.csv") == []


def test_what_cannot_be_told(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A commit that is not here, as in a shallow clone, and a record that does not say."""
    plan = project.plan()
    gone = Plan(facts={"git": {"commit": "0" * 40}}, sources={})
    with pytest.raises(UnknownChanges, match=r"git does not tell what has changed since: .*bad object"):
        project.since(gone)
    for silent in (Plan(), Plan(facts=plan.facts), Plan(facts={"git": {"commit": "--output=x"}}, sources={})):
        with pytest.raises(UnknownChanges, match="its record does not tell which sources it had"):
            project.since(silent)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.raises(UnknownChanges, match="in no git repository now"):
        changes.since(plan, elsewhere, is_covered=lambda name: False, ignoring=[])


def test_outside_git(tmp_path: Path) -> None:
    """Recipes alone decide."""
    assert changes.since(Plan(), tmp_path, is_covered=lambda name: False, ignoring=[]) == []
