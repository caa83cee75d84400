"""The client: one request to a forge's REST API, and what its answer means. No token is ever in what it says."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from .. import __version__
from ..values.errors import GpupoolError, UsageProblem
from ..values.texts import cut, duration_text, one_line

TIMEOUT = 30.0
"""Seconds that a forge may take to answer one request."""

EXIT_REFUSED = 77  # EX_NOPERM of sysexits.h
EXIT_LATER = 75  # EX_TEMPFAIL

_MOST_BYTES = 64 << 20
_PER_PAGE, _MOST_PAGES = 100, 200
_LONGEST_WORD = 300
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Refused(GpupoolError):
    """The token may not do this: nobody needs to try it again."""

    exit_status = EXIT_REFUSED


class NotNow(GpupoolError):
    """No answer, too many requests, or a failure of the server: the same call may work later."""

    exit_status = EXIT_LATER


@dataclass(frozen=True, slots=True)
class Answer:
    """What a forge says: the status, its headers, by lower-case names, and the JSON, None where there is none."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def is_good(self) -> bool:
        """Whether it did what was asked for."""
        return 200 <= self.status < 300

    @property
    def told(self) -> str:
        """What the forge says of an error, in a few words."""
        data = self.data if isinstance(self.data, dict) else {}
        told = next((data[key] for key in ("message", "error") if data.get(key)), "")
        return cut(one_line(told if isinstance(told, str) else json.dumps(told)), _LONGEST_WORD)


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to one API as the owner of one token."""

    base: str
    token: str = field(repr=False)
    header: Callable[[str], tuple[str, str]] = field(repr=False)
    """Makes the header that carries the token."""
    timeout: float = TIMEOUT

    def __post_init__(self) -> None:
        parts = urlsplit(self.base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageProblem(f"{self.base!r} is no address of an API: give one such as https://api.github.com")
        if _TOKEN.fullmatch(self.token) is None:
            raise UsageProblem("the token has characters that no token has, such as a line's end: set it anew")

    @property
    def host(self) -> str:
        """Whom it speaks to."""
        return urlsplit(self.base).netloc.rpartition("@")[2]

    def call(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> Answer:
        """Send one request; ``path`` is below the base, or an address of its own on the same host.

        Raises:
            NotNow: there is no answer, or it says that there will be one later.
            Refused: the token is none that the forge knows.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.base.rstrip('/')}/{path}"
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(url, data=body, method=method)
        name, value = self.header(self.token)
        request.add_unredirected_header(name, value)
        request.add_header("Accept", "application/json")
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", f"pytest-gpupool/{__version__}")
        try:
            with _OPENER.open(request, timeout=self.timeout) as response:
                answer = self._answer(response.status, response.headers, response)
        except urllib.error.HTTPError as error:
            with error:
                answer = self._answer(error.code, error.headers, error)
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            self._fail(error)
        self._refuse(answer, method, path)
        return answer

    def pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield what a list has, page after page. Raises as :meth:`call`, and Refused where it cannot be read."""
        for page in range(1, _MOST_PAGES + 1):
            answer = self.call("GET", f"{path}{'&' if '?' in path else '?'}per_page={_PER_PAGE}&page={page}")
            if not answer.is_good or not isinstance(answer.data, list):
                raise Refused(f"{self.host} does not list the comments ({answer.status} {answer.told}): {MAY_READ}")
            yield from (one for one in answer.data if isinstance(one, dict))
            if len(answer.data) < _PER_PAGE:
                return

    def _answer(self, status: int, headers: Any, response: Any) -> Answer:
        try:
            raw = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._fail(error)
        text = raw.decode("utf-8", "replace").replace(self.token, "***")
        try:
            data = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            if 200 <= status < 300:
                raise UsageProblem(
                    f"{self.host} answers, and not in JSON: it is no API, or a proxy is in between; give the API's "
                    "address with --api"
                ) from None
            data = None
        return Answer(status, {name.lower(): value for name, value in headers.items()}, data)

    def _refuse(self, answer: Answer, method: str, path: str) -> None:
        """Raise what holds of any request."""
        status, left = answer.status, answer.headers
        is_limited = status == 429 or (
            status == 403 and (left.get("x-ratelimit-remaining") == "0" or "retry-after" in left)
        )
        if is_limited:
            raise NotNow(f"{self.host} takes no more requests of this token now{_until(left)}: run this again then")
        if status >= 500 or status == 408:
            raise NotNow(
                f"{self.host} failed with status {status} ({answer.told or 'no reason given'}): run this again"
            )
        if status == 401:
            raise Refused(
                f"{self.host} does not know the token (401 {answer.told}): it is wrong, has ended, or is one of "
                "another host"
            )
        if 300 <= status < 400:
            where = urlsplit(left.get("location", "")).netloc or "another address"
            raise UsageProblem(
                f"{self.host} sends {method} {urlsplit(path).path} to {one_line(where)}: give the API's own address "
                "with --api, and the project's present name with --repo; a token goes to no other place"
            )

    def _fail(self, error: Exception) -> NoReturn:
        reason = getattr(error, "reason", error)
        told = "took too long" if isinstance(reason, TimeoutError) else one_line(str(reason) or type(reason).__name__)
        told = told.replace(self.token, "***")
        raise NotNow(f"no answer from {self.host}: {told} (a request may take {self.timeout:.0f} s)") from None


MAY_READ = "may the token read this pull request, and is it there?"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another host would get the token."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse, which makes it an error with that status."""


_OPENER = urllib.request.build_opener(_NoRedirects())


def _until(headers: Mapping[str, str]) -> str:
    """Return when more requests are taken, as far as the answer says it."""
    wait, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset", "")
    if wait.isdigit():
        return f", for {duration_text(int(wait))}"
    if reset.isdigit():
        return f", for {duration_text(max(0.0, int(reset) - time.time()))}"
    return ""
