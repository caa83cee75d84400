"""A small forge on this host: enough of GitHub's and GitLab's REST API for the comments of one pull request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

COMMENTS = r"/repos/octo/evals/issues/7/comments|/projects/(?:42|group%2Fevals)/merge_requests/7/notes"
COMMENT = r"(?:/repos/octo/evals/issues/comments|/projects/42/merge_requests/7/notes)/(\d+)"
MOST_A_PAGE = 100  # as both have it, whatever is asked for


class Forge:
    """What is said at pull request 7 of ``octo/evals``, project 42; who may say something by which token."""

    def __init__(self) -> None:
        self.users = {"secret-actions": "github-actions[bot]", "secret-alice": "alice", "secret-fork": "reader"}
        self.readers = {"secret-fork"}
        self.notes: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.failing: list[tuple[str, int, Mapping[str, str], str]] = []
        """The next answers to requests of such a method: status, headers, text."""
        self.races = 0
        """So many comments of the same author and text appear before one that is created."""
        self.url = ""

    def say(self, author: str, body: str, **more: Any) -> int:
        """Add a comment; its number."""
        self.notes.append({"id": len(self.notes) + 100, "author": author, "body": body, **more})
        return int(self.notes[-1]["id"])

    def bodies(self, author: str) -> list[str]:
        """What somebody has said."""
        return [note["body"] for note in self.notes if note["author"] == author]

    def answer(self, method: str, target: str, token: str, data: Any) -> tuple[int, Any]:
        """Do what is asked for."""
        path = urlsplit(target).path
        if token not in self.users:
            return 401, {"message": f"Bad credentials {token}"}
        own = {"/graphql": {"data": {"viewer": {"login": self.users[token]}}}, "/user": {"username": self.users[token]}}
        if path in own:
            return 200, own[path]
        if not re.fullmatch(f"{COMMENTS}|{COMMENT}", path):
            return 404, {"message": "Not Found"}
        if method == "GET":
            return 200, self._page(parse_qs(urlsplit(target).query))
        if token in self.readers:
            return 403, {"message": "Resource not accessible by integration"}
        one = re.fullmatch(COMMENT, path)
        return self._create(token, data) if one is None else self._change(int(one[1]), method, data)

    def _create(self, token: str, data: Any) -> tuple[int, Any]:
        for _ in range(self.races):
            self.say(self.users[token], data["body"])
        self.races = 0
        return 201, self._shown(self.say(self.users[token], data["body"]))

    def _change(self, number: int, method: str, data: Any) -> tuple[int, Any]:
        if method == "DELETE":
            self.notes = [note for note in self.notes if note["id"] != number]
            return 204, None
        next(note for note in self.notes if note["id"] == number)["body"] = data["body"]
        return 200, self._shown(number)

    def _page(self, query: Mapping[str, list[str]]) -> list[Any]:
        size, page = min(MOST_A_PAGE, int(query["per_page"][0])), int(query["page"][0])
        return [self._shown(note["id"]) for note in self.notes[(page - 1) * size : page * size]]

    def _shown(self, number: int) -> dict[str, Any]:
        note = next(note for note in self.notes if note["id"] == number)
        link = f"https://github.com/octo/evals/pull/7#issuecomment-{number}"
        user = {"login": note["author"], "username": note["author"]}
        return {**note, "user": user, "author": user, "html_url": link}


@contextmanager
def served() -> Iterator[Forge]:
    """Serve a forge at a free port of this host."""
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            data = json.loads(self.rfile.read(size)) if size else None
            token = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization", "").removeprefix("Bearer ")
            forge.asked.append((self.command, self.path))
            failing = next((one for one in forge.failing if one[0] == self.command), None)
            if failing is not None:
                forge.failing.remove(failing)
                return self._send(failing[1], failing[2], failing[3].encode())
            status, told = forge.answer(self.command, self.path, token, data)
            return self._send(status, {}, b"" if told is None else json.dumps(told).encode())

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
