"""Changes: which sources are others than an earlier run had, between the commits or in the working tree."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ...records.archive import Plan
from ...values.errors import GpupoolError
from . import git
from .git import GitProblem, Tree

_DOCUMENTS = (".md", ".rst")


class UnknownChanges(GpupoolError):
    """It cannot be told what has changed, for this reason."""


def beside_commit(tree: Tree) -> dict[str, str | None]:
    """Return, for a run's plan, what its sources were beside the commit: a digest by path, None for what is gone.

    Raises:
        GitProblem: git does not say.
    """
    return {name: _digest(tree.top / name) for name in (*tree.changed(), *tree.unknown()) if _is_source(name)}


def since(plan: Plan, directory: Path, *, is_covered: Callable[[str], bool], ignoring: Collection[Path]) -> list[str]:
    """Return the sources that have changed since a run had this plan, by their paths from the top of the repository.

    ``is_covered`` is asked for each path from ``directory`` whether a test's recipe tells of it. Where neither the run
    nor this directory is in a repository nothing has.

    Raises:
        UnknownChanges: that cannot be told.
    """
    commit = _commit_of(plan)
    try:
        tree = git.tree(directory)
        if tree is None and commit is None:
            return []
        if tree is None or commit is None or plan.sources is None:
            raise UnknownChanges("its record does not tell which sources it had, or they are in no git repository now")
        names = _differing(tree, commit, plan.sources)
    except GitProblem as problem:
        raise UnknownChanges(f"git does not tell what has changed since: {problem}") from None
    ignored = {path.resolve() for path in ignoring}
    return [
        name
        for name in names
        if _is_source(name)
        and (tree.top / name).resolve() not in ignored
        and not is_covered(_seen_from(directory, tree, name))
    ]


def _commit_of(plan: Plan) -> str | None:
    told = plan.facts.get("git")
    commit = told.get("commit") if isinstance(told, dict) else None
    return commit if isinstance(commit, str) and re.fullmatch("[0-9a-f]{40,64}", commit) else None


def _differing(tree: Tree, commit: str, sources: Mapping[str, str | None]) -> list[str]:
    """Return the files that are not as they were at a commit, with these changes beside it."""
    changed = set(tree.unknown())
    # What was committed since, as it was in the tree then, is no change: it goes by contents.
    changed |= set(tree.changed(since=commit)) if commit != tree.commit else set(tree.changed())
    return sorted(
        name for name in changed | set(sources) if name not in sources or sources[name] != _digest(tree.top / name)
    )


def _seen_from(directory: Path, tree: Tree, name: str) -> str:
    path = (tree.top / name).resolve()
    root = directory.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _is_source(name: str) -> bool:
    """Say whether a result may come from a file: not from documents, nor from what is for git and its hosts."""
    return not name.endswith(_DOCUMENTS) and not any(part.startswith(".git") for part in name.split("/"))


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return None
