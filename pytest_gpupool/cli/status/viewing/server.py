"""The server: pages at this host's own address, for those who have the secret in it; nothing can be changed by it.

Other users of the host can reach the port: they have no secret. A page of somebody else that is open in the same
browser can send requests: it gets no cookie along (``SameSite=Strict``), and where its name was made to lead here (DNS
rebinding), the ``Host`` is not ours. The only paths that are looked up on the disk are those of attachments of a run on
record, in its folder of them and nowhere else; what these are is another person's, see ``attached``.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ....values.texts import safe_repr
from .attached import Attached
from .pages import Page, Pages

LOOPBACK = "127.0.0.1"

_HTML = "text/html; charset=utf-8"

_OF_ALL = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_SECONDS = 30.0  # a connection on which nothing comes


class Server(ThreadingHTTPServer):
    """Listens from the moment when it is made, at a free port for 0. Raises OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, pages: Pages, port: int = 0) -> None:
        self.pages = pages
        self.token = secrets.token_urlsafe(24)
        super().__init__((LOOPBACK, port), _Handler)
        self.port: int = self.server_address[1]

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers do not tell ports apart."""
        return f"gpupool-{self.port}"

    def address(self, place: str) -> str:
        """Return the address of a place, with the secret."""
        return f"http://{LOOPBACK}:{self.port}{place}?token={self.token}"

    def is_own(self, host: str | None) -> bool:
        """Say whether a request was meant for this server, by the name that the browser knew it under."""
        return host in {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}

    def is_token(self, given: str) -> bool:
        """Say whether this is the secret, in the same time for any other text."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _SECONDS
    server_version, sys_version = "gpupool", ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _refuse(self) -> None:
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, "Pages can only be read.", {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: addresses have the secret in them."""

    def _answer(self) -> None:
        if not self.server.is_own(self.headers.get("Host")):
            self._send(HTTPStatus.FORBIDDEN, "This server answers at 127.0.0.1 and localhost only.")
            return
        address = urlsplit(self.path)
        token = parse_qs(address.query).get("token", [""])[-1]
        if self.server.is_token(token) and self._page_place(address.path):
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            # Without the secret, which would stand in the history and be copied with the address.
            self._send(HTTPStatus.SEE_OTHER, "", {"Location": address.path, "Set-Cookie": cookie})
        elif not self.server.is_token(self._cookie()):
            told = "The secret is missing: open the address that 'gpupool view' has printed."
            self._send(HTTPStatus.FORBIDDEN, told)
        else:
            self._send_page(address.path)

    def _page_place(self, path: str) -> bool:
        """Say whether a browser can be sent there: ``//host`` would lead to another one."""
        return path.startswith("/") and not path.startswith("//")

    def _send_page(self, place: str) -> None:
        if self.command == "HEAD" and (mark := self.server.pages.mark(place)) is not None:
            self._begin(HTTPStatus.OK, {"Content-Type": _HTML, "ETag": f'"{mark}"'})  # to make the page takes long
            return
        try:
            page = self.server.pages.of(place)
            file = self.server.pages.attached(place) if page is None else None
        except Exception as error:  # a damaged run must not cost the others
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"This page could not be made: {safe_repr(error)}")
            return
        if file is not None:
            with file:
                self._send_file(file)
        elif page is None:
            self._send(HTTPStatus.NOT_FOUND, "There is no such page; the runs on record are at /.")
        else:
            self._send(HTTPStatus.OK, page)

    def _send_file(self, file: Attached) -> None:
        self._begin(HTTPStatus.OK, file.headers())
        if self.command != "HEAD":
            with contextlib.suppress(OSError):  # the browser has enough of it, or it cannot be read on
                for piece in file.pieces():
                    self.wfile.write(piece)

    def _cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _send(self, status: HTTPStatus, content: str | Page, more: dict[str, str] | None = None) -> None:
        page = content if isinstance(content, Page) else None
        text = page.text if page is not None else f"{content}\n"
        body = text.encode("utf-8", "backslashreplace")
        headers = {
            "Content-Type": "text/plain; charset=utf-8" if page is None else _HTML,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'" if page is None else page.policy,
            **({} if page is None or page.refresh is None else {"Refresh": str(page.refresh)}),
            **({} if page is None or page.mark is None else {"ETag": f'"{page.mark}"'}),
            **(more or {}),
        }
        self._begin(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        """Send the head of an answer: these headers, and what goes for all."""
        self.send_response(status)
        for name, value in {**headers, **_OF_ALL}.items():
            self.send_header(name, value)
        self.end_headers()
