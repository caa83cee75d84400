"""The GitHub Action and the GitLab component: what they have a job do, done here, step by step."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from forge_server import Forge, served
from support import COMPANIONS, LIMIT, Host

ROOT = Path(__file__).parents[3]
ACTION, COMPONENT = ROOT / "action.yml", ROOT / "templates" / "evals.yml"

pytestmark = pytest.mark.skipif(not ACTION.exists(), reason="what a CI system reads is no part of this tree")

SUITE = """
    import pathlib, pytest

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric):
        record_metric("score", float(pathlib.Path("score").read_text()), higher_is_better=True)

    def test_named(request):
        assert not pathlib.Path("broken").exists(), "it is broken"
"""


@pytest.fixture
def project(cpu_host: Host) -> Host:
    """A project with evaluations, and a baseline that they were accepted with."""
    cpu_host.write("evals/test_it.py", SUITE)
    (cpu_host.project / "score").write_text("0.9")
    update = ("--gpupool-baseline=baseline.json", "--gpupool-update-baseline", "evals")
    assert cpu_host.pytest(*update).status == 0
    return cpu_host


@pytest.fixture
def forge() -> Iterator[Forge]:
    """Where comments go."""
    with served() as forge:
        yield forge


class Job:
    """A job's steps, as the CI system runs them."""

    def __init__(self, host: Host, **environ: str) -> None:
        self.host = host
        self.summary, self.output = host.project / "summary.md", host.project / "output"
        options = " ".join(f"-pno:{name}" for name in COMPANIONS)
        own = {"GITHUB_STEP_SUMMARY": self.summary, "GITHUB_OUTPUT": self.output, "RUNNER_TEMP": host.directory}
        own |= {"GITHUB_WORKSPACE": host.project, "CI_PROJECT_DIR": host.project}
        self.environ = host.environ(PYTEST_ADDOPTS=options, **{name: str(path) for name, path in own.items()})
        self.environ |= environ
        self.environ["PATH"] = f"{Path(sys.executable).parent}:{self.environ['PATH']}"

    def bash(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one step."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.host.project,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )


def action() -> dict[str, Any]:
    """What the action says."""
    said: dict[str, Any] = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    return said


def step(name: str, **inputs: str) -> tuple[str, dict[str, str]]:
    """A step's script, and its environment with these inputs of the action."""
    said = action()
    values = {key: str(one.get("default", "")) for key, one in said["inputs"].items()} | inputs
    found = next(one for one in said["runs"]["steps"] if one["name"] == name)

    def value(match: re.Match[str]) -> str:
        names = re.findall(r"inputs\.([\w-]+)", match[1])
        return next((values[key] for key in names if values[key]), "")

    environ = {key: re.sub(r"\$\{\{(.*?)\}\}", value, text) for key, text in found.get("env", {}).items()}
    return found["run"], environ


def run_step(
    job: Job, name: str, more: Mapping[str, str] = MappingProxyType({}), **inputs: str
) -> subprocess.CompletedProcess[str]:
    """Run it."""
    script, environ = step(name, **inputs)
    return job.bash(script, **{**environ, **more})


def checked(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    """Have check-jsonschema look at a file, by a schema that comes with it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)


def test_the_action_is_as_github_has_it(tmp_path: Path) -> None:
    """By its own schema; actions are pinned; nothing that others may write is put into a script."""
    bad = tmp_path / "action.yml"
    bad.write_text(ACTION.read_text(encoding="utf-8").replace("using: composite", "using: nothing"), encoding="utf-8")
    assert [checked(path, "vendor.github-actions").returncode for path in (ACTION, bad)] == [0, 1]
    steps = action()["runs"]["steps"]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", one["uses"]) for one in steps if "uses" in one)
    assert not [one for one in steps if "${{" in one.get("run", "")]


def test_a_green_job(project: Host) -> None:
    """Reports, a summary, nothing to annotate; options are taken as a shell takes them, and started by none."""
    job = Job(project)
    ran = run_step(
        job, "Run", tests="evals/", workers="0", baseline="baseline.json", options="-k 'case or named' -rA --color=no"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout
    told = run_step(job, "Annotations")
    assert told.returncode == 0, told.stderr
    assert "::error" not in told.stdout
    assert job.output.read_text().startswith("run=20")
    assert {path.name for path in (project.project / "gpupool-report").iterdir()} >= {
        "report.json",
        "report.html",
        "junit.xml",
    }
    assert "# " in job.summary.read_text()


def test_a_red_job_says_where_and_comments(project: Host, forge: Forge) -> None:
    """At the line of the test, with what got worse; the pull request has one comment."""
    (project.project / "score").write_text("0.5")
    (project.project / "broken").touch()
    job = Job(project, GITHUB_REPOSITORY="octo/evals", GITHUB_API_URL=forge.url, GITHUB_REF="refs/pull/7/merge")
    ran = run_step(job, "Run", tests="evals/", workers="2", baseline="baseline.json")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    told = run_step(job, "Annotations").stdout
    assert re.search(r"^::error file=evals/test_it.py,line=\d+,title=test_named%3A failed::.*it is broken", told, re.M)
    assert re.search(r"^::error file=evals/test_it.py,line=\d+,title=test_case\[0\]%3A score regressed::", told, re.M)
    run = {"RUN": job.output.read_text().removeprefix("run=").strip()}
    secret = {"token": "secret-actions", "baseline": "baseline.json"}
    for _ in range(2):
        said = run_step(job, "Comment", run, **secret)
        assert said.returncode == 0, said.stdout + said.stderr
    (comment,) = forge.bodies("github-actions[bot]")
    assert "3 of 3 metrics regressed" in comment


def test_a_forks_job_is_not_red_for_its_token(project: Host, forge: Forge) -> None:
    """It may not comment, which says nothing of the change."""
    job = Job(project, GITHUB_REPOSITORY="octo/evals", GITHUB_API_URL=forge.url, GITHUB_REF="refs/pull/7/merge")
    assert run_step(job, "Run", tests="evals/", workers="0").returncode == 0
    said = run_step(job, "Comment", {"RUN": "latest"}, token="secret-fork", against="baseline.json")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "::notice title=gpupool::The comment could not be written" in said.stdout


def test_a_job_that_is_killed_has_reports(project: Host) -> None:
    """They are made of what was recorded; where no run was begun that is said."""
    job = Job(project)
    job.bash('touch "$RUNNER_TEMP/gpupool-begun"')
    told = run_step(job, "Annotations")
    assert (told.returncode, told.stdout) == (0, "There is no run to tell of.\n")
    project.write("evals/test_ends.py", "import os, signal\ndef test_ends(): os.kill(os.getpid(), signal.SIGKILL)\n")
    assert run_step(job, "Run", tests="evals/test_ends.py", workers="0").returncode in (137, -9)  # bash may become it
    told = run_step(job, "Annotations")
    assert told.returncode == 0, told.stderr
    assert "gpupool: run 20" in told.stdout
    assert (project.project / "gpupool-report" / "report.html").exists()


def written(value: object) -> str:
    """An input's value in YAML."""
    return value if isinstance(value, str) else json.dumps(value)


def component(**inputs: str) -> dict[str, Any]:
    """The one job of the component with these inputs, in which GitLab puts their values before it reads the YAML."""
    head, _, body = COMPONENT.read_text(encoding="utf-8").partition("\n---\n")
    spec = yaml.safe_load(head)["spec"]["inputs"]
    values = {name: one["default"] for name, one in spec.items()} | inputs
    body = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: written(values[match[1]]), body)
    (job,) = yaml.safe_load(body).values()
    found: dict[str, Any] = job
    return found


def test_the_component_is_as_gitlab_has_it(tmp_path: Path) -> None:
    """By the schema of the file that includes it."""
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(yaml.safe_dump({"evals": component()}), encoding="utf-8")
    bad.write_text(yaml.safe_dump({"evals": component() | {"cache": 1}}), encoding="utf-8")
    assert [checked(path, "vendor.gitlab-ci").returncode for path in (good, bad)] == [0, 1]


def test_a_job_on_gitlab(project: Host, forge: Forge) -> None:
    """Its reports are there for the merge request, and its comment."""
    (project.project / "score").write_text("0.5")
    said = component(install="python3 --version", workers="0", baseline="baseline.json")
    job = Job(
        project, CI_API_V4_URL=forge.url, CI_PROJECT_ID="42", CI_MERGE_REQUEST_IID="7", GITLAB_TOKEN="secret-alice"
    )
    job.environ |= said["variables"]
    ran = job.bash("\n".join(said["script"]))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    after = job.bash("\n".join(said["after_script"]))
    assert after.returncode == 0, after.stdout + after.stderr
    for kind in said["artifacts"]["reports"].values():
        assert (project.project / kind).stat().st_size
    assert '"path": "evals/test_it.py"' in (project.project / "gpupool-report/code-quality.json").read_text()
    (comment,) = forge.bodies("alice")
    assert "3 of 3 metrics regressed" in comment
