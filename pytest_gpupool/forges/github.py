"""GitHub: a pull request's comments, which are those of its issue."""

from __future__ import annotations

from collections.abc import Iterator

from .client import Answer, Client
from .environment import Destination
from .note import Note

MOST_CHARACTERS = 65_536

ACTIONS = "github-actions[bot]"
"""Whom a workflow's own token writes as."""

REFUSED = (
    "the job's token may not write comments. Give the job 'permissions: pull-requests: write'. The token of a pull "
    "request from a fork, or from Dependabot, can only read: have a second workflow, on 'workflow_run', take the "
    "report as an artefact and post the comment"
)


class GitHub:
    """The comments of one pull request."""

    def __init__(self, to: Destination) -> None:
        self.client = Client(to.api, to.token, lambda token: ("Authorization", f"Bearer {token}"))
        self._graphql = to.graphql
        self._comments = f"repos/{to.repo}/issues/{to.number}/comments"
        self._comment = f"repos/{to.repo}/issues/comments"

    def author(self) -> str:
        """Return who writes with this token. REST does not say it of a workflow's own, GraphQL does."""
        answer = self.client.call("POST", self._graphql, {"query": "query { viewer { login } }"})
        data = answer.data if isinstance(answer.data, dict) else {}
        login = ((data.get("data") or {}).get("viewer") or {}).get("login")
        return login if isinstance(login, str) and login else ACTIONS

    def notes(self) -> Iterator[Note]:
        """Yield what is said there, the oldest first."""
        for one in self.client.pages(self._comments):
            login = (one.get("user") or {}).get("login") or ""
            yield Note(one["id"], login, one.get("body") or "", one.get("html_url") or "")

    def create(self, body: str) -> Answer:
        """Say something new."""
        return self.client.call("POST", self._comments, {"body": body})

    def update(self, note: Note, body: str) -> Answer:
        """Say something else in its place."""
        return self.client.call("PATCH", f"{self._comment}/{note.id}", {"body": body})

    def delete(self, note: Note) -> Answer:
        """Take it back."""
        return self.client.call("DELETE", f"{self._comment}/{note.id}")

    def link(self, answer: Answer) -> str:
        """Return where people find what was written."""
        return str(answer.data.get("html_url") or "") if isinstance(answer.data, dict) else ""
