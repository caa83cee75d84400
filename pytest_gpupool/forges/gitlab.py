"""GitLab: a merge request's notes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from .client import Answer, Client, Refused
from .environment import Destination
from .note import Note

MOST_CHARACTERS = 1_000_000

REFUSED = (
    "the token may not write comments there. It must have the scope 'api' and be at least a Reporter of the project "
    "that the merge request goes to; one of a fork is not: post from a pipeline of that project"
)


class GitLab:
    """The notes of one merge request."""

    def __init__(self, to: Destination) -> None:
        self.client = Client(to.api, to.token, lambda token: ("PRIVATE-TOKEN", token))
        self._notes = f"projects/{quote(to.repo, safe='')}/merge_requests/{to.number}/notes"

    def author(self) -> str:
        """Return who writes with this token. Raises Refused where it does not say that."""
        answer = self.client.call("GET", "user")
        name = answer.data.get("username") if isinstance(answer.data, dict) else None
        if not answer.is_good or not isinstance(name, str):
            raise Refused(
                f"{self.client.host} does not say whose the token is ({answer.status} {answer.told}): {REFUSED}"
            )
        return name

    def notes(self) -> Iterator[Note]:
        """Yield what people and programs say there, the oldest first."""
        for one in self.client.pages(f"{self._notes}?sort=asc&order_by=created_at"):
            if not one.get("system"):
                name = (one.get("author") or {}).get("username") or ""
                yield Note(one["id"], name, one.get("body") or "", "")

    def create(self, body: str) -> Answer:
        """Say something new."""
        return self.client.call("POST", self._notes, {"body": body})

    def update(self, note: Note, body: str) -> Answer:
        """Say something else in its place."""
        return self.client.call("PUT", f"{self._notes}/{note.id}", {"body": body})

    def delete(self, note: Note) -> Answer:
        """Take it back."""
        return self.client.call("DELETE", f"{self._notes}/{note.id}")

    def link(self, answer: Answer) -> str:
        """Return where people find what was written: GitLab does not say it."""
        return ""
