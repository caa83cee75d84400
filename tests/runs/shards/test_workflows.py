"""The workflows of the documentation: what they have a CI system do, done here, command by command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import COMPANIONS, LIMIT, Host

PAGES = [Path(__file__).parents[3] / f"docs/how-to/ci-{system}.md" for system in ("github", "gitlab")]

SUITE = """
    import pytest

    @pytest.mark.parametrize("case", range(5))
    def test_case(case, record_metric): record_metric("case", case)
"""


def texts() -> list[str]:
    """The YAML of several machines, GitHub's and GitLab's: the last one of each page."""
    read = (page.read_text(encoding="utf-8") for page in PAGES)
    return [re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[-1] for text in read]


def workflows() -> list[Any]:
    """What the two say."""
    return [*map(yaml.safe_load, texts())]


@pytest.mark.parametrize(("number", "schema"), [(0, "vendor.github-workflows"), (1, "vendor.gitlab-ci")])
def test_they_are_as_the_ci_systems_own_schemata_have_it(tmp_path: Path, number: int, schema: str) -> None:
    """These come with check-jsonschema; nothing is fetched. What is no workflow does not pass."""
    text = texts()[number]
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(text, encoding="utf-8")
    bad.write_text(re.sub(r"^( +)(needs|stage): .*$", r"\1\2: {}", text, flags=re.MULTILINE), encoding="utf-8")
    assert bad.read_text() != text
    done = [
        subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        for path in (good, bad)
    ]
    assert [one.returncode for one in done] == [0, 1], [one.stdout + one.stderr for one in done]


@pytest.fixture
def project(cpu_host: Host) -> Host:
    """A project with evaluations."""
    cpu_host.write("evals/test_it.py", SUITE)
    return cpu_host


def run(host: Host, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a CI system does, with the programs that pip has installed."""
    # What is installed beside for other tests only takes time, and workers that nobody needs.
    options = " ".join(f"-pno:{name}" for name in COMPANIONS)
    environ = host.environ(PYTEST_ADDOPTS=options, **variables)
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    command = command.replace("-n auto", "-n 1" if "GPUPOOL_SHARD_INDEX" in variables else "-n 0")
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=host.project,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def succeeds(host: Host, command: str, **variables: str) -> str:
    """The same of what is to succeed; what it says."""
    done = run(host, command, **variables)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def commands(job: Mapping[str, Any]) -> Iterator[str]:
    """What a job of GitHub's runs, but for what installs."""
    for step in job["steps"]:
        assert set(step) <= {"id", "if", "run", "uses", "with"}
        assert ("run" in step) != ("uses" in step)
        if "run" in step and not step["run"].startswith("pip install "):
            yield step["run"]


def test_github_actions(project: Host) -> None:
    """The plan's matrix, its shards one after the other, and the merge; a job of its own for each."""
    jobs = workflows()[0]["jobs"]
    assert jobs["evals"]["strategy"]["matrix"] == {"shard": "${{ fromJSON(needs.plan.outputs.shards) }}"}
    outputs, summary = project.directory / "outputs", project.directory / "summary.md"
    for command in commands(jobs["plan"]):
        succeeds(project, command, GITHUB_OUTPUT=str(outputs))
    name, _, shards = outputs.read_text().strip().partition("=")
    assert (name, json.loads(shards)) == ("shards", [1, 2])  # nothing is known yet
    for shard in json.loads(shards):
        values = {"${{ matrix.shard }}": str(shard), "${{ strategy.job-total }}": "2"}
        environ = {name: values[value] for name, value in jobs["evals"]["env"].items()}
        for command in commands(jobs["evals"]):
            succeeds(project, command, **environ)
        folder = project.project / "shards" / f"shard-{shard}"
        folder.mkdir(parents=True)
        shutil.move(project.project / "shard.tar.gz", folder)
    for command in commands(jobs["merge"]):
        assert "2 of 2 shards merged" in succeeds(project, command, GITHUB_STEP_SUMMARY=str(summary))
    assert "5 passed" in summary.read_text()
    # By what this run has measured the next one is planned.
    outputs.unlink()
    for command in commands(jobs["plan"]):
        succeeds(project, command, GITHUB_OUTPUT=str(outputs))
    assert outputs.read_text() == "shards=[1]\n"


def test_gitlab(project: Host) -> None:
    """The same; a number of shards that is more than there are tests."""
    workflow = workflows()[1]
    jobs = {name: job for name, job in workflow.items() if name not in ("stages", "default")}
    assert [job["stage"] for job in jobs.values()] == workflow["stages"]
    for command in jobs["prepare"]["script"]:
        succeeds(project, command)
    count = jobs["evals"]["parallel"]
    for index in range(1, count + 1):
        for command in (*jobs["evals"]["script"], *jobs["evals"]["after_script"]):
            succeeds(project, command, CI_NODE_INDEX=str(index), CI_NODE_TOTAL=str(count))
    for command in jobs["merge"]["script"]:
        assert "4 of 4 shards merged" in succeeds(project, command)
    for name in ("report.html", jobs["merge"]["artifacts"]["reports"]["junit"], "durations.json", "plan.json"):
        assert (project.project / name).stat().st_size > 0
