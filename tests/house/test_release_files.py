"""What a release consists of is of one piece: versions, the Pythons and extras that are promised, workflows, forms."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from support import LIMIT

import pytest_gpupool

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RELEASE = ROOT / ".github" / "workflows" / "release.yml"

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="what a release is made with is no part of this tree")


def read(name: str) -> str:
    """A file of the tree."""
    return (ROOT / name).read_text(encoding="utf-8")


def parsed(path: Path) -> dict[Any, Any]:
    """A file in YAML."""
    return cast("dict[Any, Any]", yaml.safe_load(path.read_text(encoding="utf-8")))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each job of the workflows, with where it is."""
    for path in WORKFLOWS:
        for name, job in parsed(path)["jobs"].items():
            yield f"{path.name}: {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step of them."""
    for where, job in jobs():
        for step in job["steps"]:
            yield where, step


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_are_as_their_schemata_have_it(schema: str, pattern: str, tmp_path: Path) -> None:
    """These come with check-jsonschema; nothing is fetched. What is none of them does not pass."""
    files = sorted(ROOT.glob(pattern))
    assert files
    bad = tmp_path / "bad.yml"
    bad.write_text("jobs: 1\nversion: []\nbody: {}\nblank_issues_enabled: 3\n", encoding="utf-8")
    for paths, status in ((files, 0), ([bad], 1)):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
        assert done.returncode == status, done.stdout + done.stderr


def test_actions_are_pinned_by_commit_with_their_version_beside() -> None:
    """A tag can be moved by whoever has taken an action over."""
    for path in WORKFLOWS:
        used = re.findall(r"uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert used
        assert not [one for one in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)]


def test_one_action_has_one_version() -> None:
    """In all workflows."""
    used = {step["uses"] for _, step in steps() if "uses" in step}
    assert len(used) == len({one.partition("@")[0] for one in used})


def test_jobs_may_do_no_more_than_they_have_to() -> None:
    """Only two jobs write anything, and neither of them runs what a checkout has."""
    granted = {where: job.get("permissions", {"contents": "read"}) for where, job in jobs()}
    more = {where: one for where, one in granted.items() if one != {"contents": "read"}}
    assert more == {
        "release.yml: publish": {"id-token": "write"},
        "release.yml: keep": {"contents": "write", "id-token": "write", "attestations": "write"},
    }
    for path in WORKFLOWS:
        assert parsed(path)["permissions"] in ({}, {"contents": "read"})
    checked_out = {where for where, step in steps() if step.get("uses", "").startswith("actions/checkout@")}
    assert not checked_out & {*more}


def test_no_checkout_leaves_a_token_and_no_command_has_a_value_of_others_in_it() -> None:
    """What is in ``${{ … }}`` would be part of the command."""
    for where, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where
        assert "${{" not in step.get("run", ""), where


def test_what_is_published_is_what_was_tested_and_attested() -> None:
    """One build; the tests come before the upload, without a password, and the upload before the release."""
    release = parsed(RELEASE)["jobs"]
    assert {name: job.get("needs") for name, job in release.items()} == {
        "build": None,
        "test": "build",
        "publish": "test",
        "keep": "publish",
    }
    (upload,) = [step for step in release["publish"]["steps"] if "pypi-publish" in step["uses"]]
    assert upload["with"] == {"attestations": True}
    assert release["publish"]["environment"]["name"] == "pypi"
    builds = [where for where, step in steps() if ".ci/release" in step.get("run", "") and "release.yml" in where]
    assert builds == ["release.yml: build"]


def test_the_scripts_that_workflows_call_are_there() -> None:
    """And can be run."""
    called = {word for _, step in steps() for word in re.findall(r"\.ci/[\w./]+", step.get("run", ""))}
    assert {".ci/run", ".ci/release", ".ci/wheel", ".ci/notes.py"} == called
    assert not [name for name in called if not (ROOT / name).exists()]


def test_the_pythons_that_are_promised_are_those_that_are_tested() -> None:
    """In the metadata, in both workflows, and in the documentation; the lowest is the one that pip asks for."""
    promised = [
        line.rpartition(" ")[2] for line in PYPROJECT["project"]["classifiers"] if re.search(r"Python :: 3\.\d+$", line)
    ]
    matrices = [job["strategy"]["matrix"]["python"] for _, job in jobs() if "strategy" in job]
    assert matrices == [promised] * 2
    assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"
    assert f"Python {promised[0]} to {promised[-1]}" in read("docs/explanation/versions.md")


def test_the_lowest_and_the_newest_versions_are_tested() -> None:
    """Of pytest and of pytest-xdist, as the metadata has them."""
    matrix = parsed(ROOT / ".github/workflows/ci.yml")["jobs"]["versions"]["strategy"]["matrix"]
    needs = {re.split(r"[<>=]", need)[0]: need for need in PYPROJECT["project"]["dependencies"]}
    assert matrix["pytest"] == ["pytest==8.4.*", "pytest==9.*"]
    assert matrix["xdist"] == ["pytest-xdist==3.7.0", "pytest-xdist<4"]
    assert (needs["pytest"], needs["pytest-xdist"]) == ("pytest>=8.4", "pytest-xdist>=3.7,<4")


def test_every_extra_is_documented() -> None:
    """By its name, in README or a page; the table of docs/explanation/versions.md names none that there is not."""
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    pages = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    assert not [name for name in extras if not re.search(rf"`{name}`|\[(\w+,)*{name}(,\w+)*\]", pages)]
    told = re.findall(r"^\| `([\w-]+)` \| ", read("docs/explanation/versions.md"), re.MULTILINE)
    assert set(told) <= extras


def notes_of(tmp_path: Path, **changes: str) -> Callable[[str], str]:
    """What a release says, of files like ours."""
    texts = {
        "pytest_gpupool/__init__.py": '__version__ = "0.2.0"\n',
        "CITATION.cff": "cff-version: 1.2.0\nversion: 0.2.0\n",
        "CHANGELOG.md": "# Changelog\n\n## 0.2.0 - 2026-12-01\n\n- New.\n\n## 0.1.0\n\n- Old.\n",
        **changes,
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    notes = runpy.run_path(str(ROOT / ".ci" / "notes.py"))["notes"]
    return lambda version: cast(str, notes(version, tmp_path))


def test_a_release_says_what_has_changed(tmp_path: Path) -> None:
    """The part of its version alone."""
    assert notes_of(tmp_path)("0.2.0") == "- New.\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CITATION.cff": "version: 0.1.0\n"}, "CITATION.cff says 0.1.0"),
        ({"CHANGELOG.md": "## Unreleased\n\n- New.\n"}, "CHANGELOG.md says Unreleased"),
        ({"pytest_gpupool/__init__.py": ""}, "pytest_gpupool/__init__.py says nothing"),
    ],
)
def test_a_tag_that_is_of_another_version_is_no_release(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    """Each file that says another one is named."""
    with pytest.raises(SystemExit, match=re.escape(f"this is to be version 0.2.0, but {words}")):
        notes_of(tmp_path, **changes)("0.2.0")


def test_the_citation_is_of_this_version() -> None:
    """The changelog has it on top, or what is to be released."""
    assert yaml.safe_load(read("CITATION.cff"))["version"] == pytest_gpupool.__version__
    top = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert top in ("Unreleased", pytest_gpupool.__version__)
