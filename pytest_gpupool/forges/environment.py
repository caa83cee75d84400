"""The environment: which pull request a CI job is about, by the variables of its system."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..values.errors import UsageProblem

GITHUB, GITLAB = "github", "gitlab"
FORGES = (GITHUB, GITLAB)

_SLUG = re.compile(r"\w[\w.-]*/[\w.-]*\w[\w.-]*", re.ASCII)
_REF = re.compile(r"refs/pull/(\d+)/")
_DIGITS = re.compile(r"[1-9]\d{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A pull request, and who may write there.

    ``repo`` is ``owner/name``, on GitLab a project's id or path; ``from_fork`` says that its source is another one.
    """

    forge: str
    api: str
    graphql: str
    repo: str
    number: int
    token: str
    from_fork: bool = False

    def __repr__(self) -> str:
        return f"Destination({self.forge}, {self.api}, {self.repo}, {self.number})"


def destination(
    forge: str, environ: Mapping[str, str], *, api: str | None, repo: str | None, number: str | None
) -> Destination:
    """Return where a comment goes: what is given counts, then what the CI system says.

    Raises:
        UsageProblem: something is not known, or is not what it must be.
    """
    return (_github if forge == GITHUB else _gitlab)(environ, api, repo, number)


def _github(environ: Mapping[str, str], api: str | None, repo: str | None, number: str | None) -> Destination:
    token = _token(environ, ("GITHUB_TOKEN", "GH_TOKEN"), _GITHUB_TOKEN)
    event = _event(environ)
    slug = repo or environ.get("GITHUB_REPOSITORY", "")
    if _SLUG.fullmatch(slug) is None:
        raise UsageProblem(f"{slug!r} is no repository on GitHub: give one such as --repo owner/name")
    base = api or environ.get("GITHUB_API_URL") or "https://api.github.com"
    given = None if api else environ.get("GITHUB_GRAPHQL_URL")
    pull = number or _of_event(event) or _match(_REF, environ.get("GITHUB_REF", ""))
    return Destination(
        forge=GITHUB,
        api=base,
        graphql=given or _graphql(base),
        repo=slug,
        number=_number(pull, "this job is about no pull request (GITHUB_REF, GITHUB_EVENT_PATH)"),
        token=token,
        from_fork=_is_from_fork(event),
    )


def _gitlab(environ: Mapping[str, str], api: str | None, repo: str | None, number: str | None) -> Destination:
    token = _token(environ, ("GITLAB_TOKEN",), _GITLAB_TOKEN)
    names = ("CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID", "CI_PROJECT_PATH")
    project = repo or next((environ[name] for name in names if environ.get(name)), "")
    if not project:
        raise UsageProblem("which project is it (CI_PROJECT_ID)? give its id or its path: --repo group/name")
    source, target = (environ.get(f"CI_MERGE_REQUEST_{name}PROJECT_ID") for name in ("SOURCE_", ""))
    return Destination(
        forge=GITLAB,
        api=api or environ.get("CI_API_V4_URL") or "https://gitlab.com/api/v4",
        graphql="",
        repo=project,
        number=_number(
            number or environ.get("CI_MERGE_REQUEST_IID"), "this job is about no merge request (CI_MERGE_REQUEST_IID)"
        ),
        token=token,
        from_fork=bool(source and target and source != target),
    )


_GITHUB_TOKEN = (
    "in a workflow give the step 'env: GITHUB_TOKEN: ${{ github.token }}' and the job 'permissions: "
    "pull-requests: write'"
)
_GITLAB_TOKEN = (
    "a job's own CI_JOB_TOKEN may not write comments. Make a project access token with the scope 'api' and put it into "
    "the masked variable GITLAB_TOKEN (a protected one reaches no merge request of a fork)"
)


def _token(environ: Mapping[str, str], names: tuple[str, ...], advice: str) -> str:
    token = next((environ[name].strip() for name in names if environ.get(name, "").strip()), None)
    if token is None:
        raise UsageProblem(f"there is no token in {' or '.join(names)}: {advice}")
    return token


def _number(text: str | None, why: str) -> int:
    if not text:
        raise UsageProblem(f"{why}: give its number with --pr")
    if _DIGITS.fullmatch(text) is None:
        raise UsageProblem(f"--pr {text}: give a number such as 12")
    return int(text)


def _match(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.match(text)
    return None if match is None else match[1]


def _event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what GitHub says of the event that started this job, nothing where that cannot be read."""
    path = environ.get("GITHUB_EVENT_PATH")
    try:
        event = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _of_event(event: Mapping[str, Any]) -> str | None:
    """Return the number of its pull request: of a pull request's events, a comment's, and a workflow_run's."""
    issue = event.get("issue")
    runs = _part(event, "workflow_run").get("pull_requests")
    candidates = (
        event.get("pull_request"),
        issue if isinstance(issue, dict) and issue.get("pull_request") else None,
        runs[0] if isinstance(runs, list) and runs else None,
    )
    found = (one["number"] for one in candidates if isinstance(one, dict) and isinstance(one.get("number"), int))
    return next(map(str, found), None)


def _is_from_fork(event: Mapping[str, Any]) -> bool:
    pull = _part(event, "pull_request")
    head, base = (_part(_part(pull, side), "repo").get("full_name") for side in ("head", "base"))
    return bool(pull) and head != base


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = data.get(name)
    return part if isinstance(part, dict) else {}


def _graphql(api: str) -> str:
    """Return where the same host answers GraphQL: GitHub Enterprise has ``/api/v3`` and ``/api/graphql``."""
    parts = urlsplit(api.rstrip("/"))
    return urlunsplit(parts._replace(path=f"{parts.path.removesuffix('/v3')}/graphql"))
