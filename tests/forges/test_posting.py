"""Posting a comment, to a server on this host that speaks as GitHub and GitLab do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forge_server import Forge, served
from made_reports import a_metric, a_report, a_test

from pytest_gpupool.cli.main import main
from pytest_gpupool.forges import client

VARIABLES = ("GITHUB_", "GH_TOKEN", "GITLAB_", "CI_", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
MARKER = "<!-- gpupool-comment gpupool -->"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def forge() -> Iterator[Forge]:
    """The server."""
    with served() as forge:
        yield forge


class Job:
    """A CI job with two reports."""

    def __init__(self, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._capsys, self.monkeypatch = folder, capsys, monkeypatch
        for name, value in (("main", 0.9), ("new", 0.5)):
            self.measured(name, value)

    def measured(self, name: str, value: float) -> None:
        test = a_test("t.py::test_qa", metrics=[a_metric("accuracy", value, higher_is_better=True)])
        (self.folder / f"{name}.json").write_text(json.dumps(a_report(test)))

    def has(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def posts(self, forge: str, *options: str) -> tuple[int, str, str]:
        names = (str(self.folder / f"{name}.json") for name in ("new", "main"))
        new, old = names
        status = main(["comment", new, "--against", old, "--post", forge, *options])
        out, err = self._capsys.readouterr()
        assert "secret" not in out + err
        return status, out, err


@pytest.fixture
def job(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that knows of nothing yet."""
    import os

    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "*")
    return Job(tmp_path, capsys, monkeypatch)


@pytest.fixture
def at_github(job: Job, forge: Forge) -> Job:
    """The job of a workflow, of pull request 7."""
    event = job.folder / "event.json"
    repos: dict[str, Any] = {side: {"repo": {"full_name": "octo/evals"}} for side in ("head", "base")}
    event.write_text(json.dumps({"pull_request": {"number": 7, **repos}}))
    job.has(GITHUB_API_URL=forge.url, GITHUB_GRAPHQL_URL=f"{forge.url}/graphql", GITHUB_REPOSITORY="octo/evals")
    job.has(GITHUB_EVENT_PATH=str(event), GITHUB_REF="refs/pull/7/merge", GITHUB_TOKEN="secret-actions")
    return job


@pytest.fixture
def at_gitlab(job: Job, forge: Forge) -> Job:
    """The job of a merge request's pipeline."""
    job.has(CI_API_V4_URL=forge.url, CI_PROJECT_ID="42", CI_MERGE_REQUEST_IID="7", GITLAB_TOKEN="secret-alice")
    return job


def test_github_has_one_comment(at_github: Job, forge: Forge) -> None:
    """It is created, updated, and left alone where nothing is new, on whichever page of the list it is."""
    for number in range(230):
        forge.say("bob", f"comment {number}")
    forge.say("mallory", f"{MARKER}\n\nit is me")
    forge.say("github-actions[bot]", f"> {MARKER}\n\nquoted")
    forge.say("github-actions[bot]", "<!-- gpupool-comment other -->\n\nof another suite")
    assert at_github.posts("github") == (
        0,
        "gpupool: comment created: https://github.com/octo/evals/pull/7#issuecomment-333\n",
        "",
    )
    for number in range(100):
        forge.say("bob", f"comment {number}")
    assert (
        at_github.posts("github")[1]
        == "gpupool: comment unchanged: https://github.com/octo/evals/pull/7#issuecomment-333\n"
    )
    at_github.measured("new", 0.9)
    assert (
        at_github.posts("github")[1]
        == "gpupool: comment updated: https://github.com/octo/evals/pull/7#issuecomment-333\n"
    )
    own = forge.bodies("github-actions[bot]")
    assert len(own) == 3
    assert "Nothing regressed" in own[2]
    assert forge.bodies("mallory") == [f"{MARKER}\n\nit is me"]
    assert {method for method, _ in forge.asked} == {"GET", "POST", "PATCH"}


def test_gitlab_has_one_comment(at_gitlab: Job, forge: Forge) -> None:
    """The same; what the system says there is passed over."""
    forge.say("alice", f"{MARKER}", system=True)
    forge.say("bob", MARKER)
    assert at_gitlab.posts("gitlab") == (0, "gpupool: comment created\n", "")
    at_gitlab.measured("new", 0.8)
    assert at_gitlab.posts("gitlab", "--repo", "42", "--pr", "7")[1] == "gpupool: comment updated\n"
    assert "-11.1%" in forge.bodies("alice")[1]
    assert len(forge.notes) == 3


def test_two_jobs_at_once_leave_one_comment(at_github: Job, forge: Forge) -> None:
    """The oldest stays."""
    forge.races = 2
    assert at_github.posts("github")[0] == 0
    assert [note["id"] for note in forge.notes] == [100]


def test_a_suite_has_its_own(at_github: Job, forge: Forge) -> None:
    """By --marker; each is updated by its own key."""
    for _ in range(2):
        for key in ("a", "b"):
            assert at_github.posts("github", "--marker", key)[0] == 0
    assert len(forge.notes) == 2


def test_the_token_of_a_fork_is_refused_with_a_sentence(at_github: Job, forge: Forge) -> None:
    """It can read, and not write."""
    event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "x/evals"}}, "base": {"repo": None}}}
    (at_github.folder / "event.json").write_text(json.dumps(event))
    at_github.has(GITHUB_TOKEN="secret-fork")
    status, out, err = at_github.posts("github")
    assert (status, out) == (77, "")
    assert "127.0.0.1" in err
    assert "refuses the comment (403 Resource not accessible by integration): this pull request is from a fork" in err
    assert "have a second workflow, on 'workflow_run', take the report as an artefact" in err
    assert forge.notes == []


def test_a_reader_of_gitlab_is_refused(at_gitlab: Job) -> None:
    """What the token must be is said."""
    at_gitlab.has(GITLAB_TOKEN="secret-fork")
    status, _, err = at_gitlab.posts("gitlab")
    assert status == 77
    assert "must have the scope 'api' and be at least a Reporter" in err


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ((429, {"Retry-After": "90"}, ""), 75, "takes no more requests of this token now, for 90 s"),
        ((403, {"x-ratelimit-remaining": "0"}, "{}"), 75, "takes no more requests of this token now: run"),
        ((403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, ""), 75, "now, for 0 s"),
        ((502, {}, "<html>secret-actions"), 75, "failed with status 502 (no reason given): run this again"),
        ((500, {}, '{"message": "no secret-actions today"}'), 75, "failed with status 500 (no *** today)"),
        ((401, {}, '{"message": "Bad credentials"}'), 77, "does not know the token (401 Bad credentials)"),
        ((404, {}, '{"message": "Not Found"}'), 77, "does not list the comments (404 Not Found)"),
        ((200, {}, "<html>"), 4, "answers, and not in JSON: it is no API"),
        ((200, {}, '{"a": 1}'), 77, "does not list the comments (200 )"),
        ((301, {"Location": "http://evil.example/x"}, ""), 4, "sends GET repos/octo/evals/issues/7/comments to evil"),
    ],
)
def test_what_a_server_answers(
    at_github: Job, forge: Forge, answer: tuple[int, dict[str, str], str], status: int, told: str
) -> None:
    """Each says what to do, and has its exit status; the token is in none of them, and goes nowhere else."""
    forge.failing.append(("GET", *answer))
    got, out, err = at_github.posts("github")
    assert (got, out) == (status, "")
    assert told in err
    assert "Traceback" not in err


def test_a_server_that_does_not_answer(at_github: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection, and none in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at_github.has(GITHUB_API_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        at_github.monkeypatch.delenv("GITHUB_GRAPHQL_URL")
        monkeypatch.setattr(client.Client.__init__, "__defaults__", (0.2,))
        status, _, err = at_github.posts("github")
    assert (status, "took too long" in err) == (75, True), err
    status, _, err = at_github.posts("github")
    assert (status, "Connection refused" in err) == (75, True), err


@pytest.mark.parametrize(
    ("variables", "options", "told"),
    [
        ({"GITHUB_TOKEN": ""}, [], "there is no token in GITHUB_TOKEN or GH_TOKEN"),
        ({"GITHUB_TOKEN": "secret\r\nX: y"}, [], "the token has characters that no token has"),
        ({"GITHUB_REPOSITORY": ""}, [], "'' is no repository on GitHub"),
        ({}, ["--repo", "../x"], "'../x' is no repository on GitHub"),
        ({"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": "/none"}, [], "this job is about no pull request"),
        ({}, ["--pr", "seven"], "--pr seven: give a number such as 12"),
        ({}, ["--api", "file:///etc/passwd"], "'file:///etc/passwd' is no address of an API"),
    ],
)
def test_what_is_not_given(at_github: Job, variables: dict[str, str], options: list[str], told: str) -> None:
    """It is said before anything is asked of the server."""
    at_github.has(**variables)
    status, out, err = at_github.posts("github", *options)
    assert (status, out) == (4, "")
    assert told in err


@pytest.mark.parametrize(
    ("event", "options"),
    [
        ({"issue": {"number": 7, "pull_request": {}}}, []),
        ({"workflow_run": {"pull_requests": [{"number": 7}]}}, []),
        ({"pull_request": {"number": 9}}, ["--pr", "7"]),
        ([], ["--pr", "7"]),
        ({}, []),  # then GITHUB_REF counts
    ],
)
def test_the_pull_request_is_found(at_github: Job, forge: Forge, event: Any, options: list[str]) -> None:
    """By the event that started the workflow, unless it is said."""
    (at_github.folder / "event.json").write_text(json.dumps(event))
    assert at_github.posts("github", *options)[0] == 0
    assert len(forge.notes) == 1


def test_gitlab_by_path_and_with_what_is_missing(at_gitlab: Job, forge: Forge) -> None:
    """A project's path is one part of the address; a job's own token is none for this."""
    assert at_gitlab.posts("gitlab", "--repo", "group/evals")[0] == 0
    assert ("POST", "/projects/group%2Fevals/merge_requests/7/notes") in forge.asked
    at_gitlab.monkeypatch.delenv("GITLAB_TOKEN")
    at_gitlab.has(CI_JOB_TOKEN="secret-job")
    status, _, err = at_gitlab.posts("gitlab")
    assert (status, "a job's own CI_JOB_TOKEN may not write comments" in err) == (4, True)
    at_gitlab.has(GITLAB_TOKEN="secret-alice", CI_MERGE_REQUEST_IID="")
    assert "about no merge request (CI_MERGE_REQUEST_IID)" in at_gitlab.posts("gitlab")[2]


def test_github_enterprise(job: Job, forge: Forge) -> None:
    """Its API is below /api/v3, its GraphQL is not."""
    from pytest_gpupool.forges.environment import destination

    environ = {"GH_TOKEN": "secret", "GITHUB_REPOSITORY": "a/b"}
    to = destination("github", environ, api="https://git.example/api/v3/", repo=None, number="3")
    assert (to.api, to.graphql) == ("https://git.example/api/v3/", "https://git.example/api/graphql")
    assert "secret" not in repr(to)
    assert destination("github", environ, api=None, repo=None, number="3").graphql == "https://api.github.com/graphql"
